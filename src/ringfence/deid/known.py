"""The values that were found in a set, looked up in any other text of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ringfence.deid.recogniser import KNOWN, Span, cuts_a_run

_WORD = re.compile(r"[0-9]+|[A-Za-z]+")


@dataclass
class Known:
    """Originals by value. Lives in the memory of one job and is never written.

    A value occurs in a text where its characters stand, unless a digit at its edge is followed by more digits or a letter by more letters:
    `tel13800138000` holds the number, `138001380001` does not. Values are filed under all their words, so that a text costs one pass over its
    words however many values there are, and however many of them begin alike: every URL does, and the addresses of one network.
    """

    kinds: dict[str, str] = field(default_factory=dict)  # folded value -> kind
    normal: set[tuple[str, str]] = field(default_factory=set)  # (kind, normal form)
    _ranks: dict[str, tuple[float, str]] = field(default_factory=dict)
    _by_words: dict[tuple[str, ...], list[tuple[str, int]]] = field(default_factory=dict)  # words -> (value, offset of the first one in it)
    _lengths: dict[str, set[int]] = field(default_factory=dict)  # first word -> how many words the values have that begin with it

    def add(self, kind: str, value: str, *, normal: str, score: float) -> None:
        """Remember an original. A value without any ASCII letter or digit is remembered by its normal form alone.

        Of several kinds the surest counts, of equally sure ones the first by the alphabet: the order in which they are seen decides nothing.
        """
        self.normal.add((kind, normal))
        rank = (-score, kind)
        is_new = value not in self.kinds
        if is_new or rank < self._ranks[value]:
            self.kinds[value], self._ranks[value] = kind, rank
        if not is_new:
            return
        if words := tuple(_WORD.findall(value)):
            self._by_words.setdefault(words, []).append((value, value.index(words[0])))
            self._lengths.setdefault(words[0], set()).add(len(words))

    def find(self, text: str) -> list[Span]:
        """Return every occurrence of a known value in a folded text; occurrences may overlap."""
        words = _WORD.findall(text)
        if self._lengths.keys().isdisjoint(words):
            return []
        return list(self._occurrences(text, words))

    def _occurrences(self, text: str, words: list[str]) -> Iterator[Span]:
        for number, word in enumerate(_WORD.finditer(text)):
            for length in self._lengths.get(word[0], ()):
                for value, offset in self._by_words.get(tuple(words[number : number + length]), ()):
                    start = word.start() - offset  # the value's words are whole ones, so nothing goes on to its left
                    end = start + len(value)
                    if start >= 0 and text.startswith(value, start) and not cuts_a_run(text, end):
                        yield Span(start, end, self.kinds[value], KNOWN)
