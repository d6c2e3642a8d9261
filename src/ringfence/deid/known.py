"""The values that were found in a set, looked up in any other text of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.deid.recogniser import KNOWN, Span, cuts_a_run

_WORD = re.compile(r"[0-9]+|[A-Za-z]+")
_OTHER = re.compile(r"[^\W\x00-\x7f]{2,}")  # words of other scripts
_STEM = 2  # characters under which a value in it is filed


@dataclass
class Known:
    """Originals by value. Lives in the memory of one job and is never written.

    A value occurs in a text where its characters stand, unless a digit at its edge is followed by more digits or a letter by more letters:
    `tel13800138000` holds the number, `138001380001` does not. Values are filed under all their words, so that a text costs one pass over its
    words however many values there are, and however many of them begin alike: every URL does, and the addresses of one network. A value without
    such words, a Chinese or Russian name for one, is filed under its first two characters; where its letters have cases, no letter may go on there.
    """

    kinds: dict[str, str] = field(default_factory=dict)  # folded value -> kind
    normal: set[tuple[str, str]] = field(default_factory=set)  # (kind, normal form)
    _ranks: dict[str, tuple[float, str]] = field(default_factory=dict)
    _by_words: dict[int, tuple[str, ...]] = field(
        default_factory=dict
    )  # hash of the words -> values; a text is compared with the value itself
    _lengths: dict[str, tuple[int, ...]] = field(default_factory=dict)  # first word -> how many words the values have that begin with it
    _shared: dict[Any, Any] = field(
        default_factory=dict
    )  # one object for equal ones: there are few ranks and lengths, and millions of values
    _by_stem: dict[str, list[str]] = field(default_factory=dict)  # first two characters of Han -> values

    def add(self, kind: str, value: str, *, normal: str, score: float) -> None:
        """Remember an original and look it up from now on.

        A value that has neither an ASCII letter or digit nor two letters of another script to begin with is remembered by its normal form alone. Of several kinds the surest counts, of equally sure ones the first by the alphabet: the order in which they are seen decides nothing.
        """
        self.normal.add((kind, normal))
        rank = (-score, kind)
        is_new = value not in self.kinds
        if is_new or rank < self._ranks[value]:
            self.kinds[value], self._ranks[value] = kind, self._shared.setdefault(rank, rank)
        if not is_new:
            return
        if words := tuple(_WORD.findall(value)):
            self._by_words[hash(words)] = (*self._by_words.get(hash(words), ()), value)
            lengths = tuple(sorted({*self._lengths.get(words[0], ()), len(words)}))
            self._lengths[words[0]] = self._shared.setdefault(lengths, lengths)
        elif _OTHER.match(value):
            self._by_stem.setdefault(value[:_STEM], []).append(value)

    def note(self, kind: str, *, normal: str) -> None:
        """Remember an original that is too short to be looked up anywhere: 高明 is a name in one record and an adjective in the next."""
        self.normal.add((kind, normal))

    def find(self, text: str) -> list[Span]:
        """Return every occurrence of a known value in a folded text; occurrences may overlap."""
        found = list(self._by_first_characters(text)) if self._by_stem else []
        words = _WORD.findall(text) if self._lengths else []
        if not self._lengths.keys().isdisjoint(words):
            found += self._occurrences(text, words)
        return found

    def _by_first_characters(self, text: str) -> Iterator[Span]:
        stems = self._by_stem
        for run in _OTHER.finditer(text):
            first, characters = run.start(), run[0]
            pairs = map(str.__add__, characters, characters[1:])
            for start, pair in enumerate(pairs, first):
                if pair in stems:
                    for value in stems[pair]:
                        if text.startswith(value, start) and not _goes_on(text, start) and not _goes_on(text, start + len(value)):
                            yield Span(start, start + len(value), self.kinds[value], KNOWN)

    def _occurrences(self, text: str, words: list[str]) -> Iterator[Span]:
        lengths = self._lengths
        starts = [word.start() for word in _WORD.finditer(text)]
        for number in [number for number, word in enumerate(words) if word in lengths]:
            for length in lengths[words[number]]:
                for value in self._by_words.get(hash(tuple(words[number : number + length])), ()):
                    offset = value.find(words[number])  # below 0: other words of the same hash
                    start = starts[number] - offset  # the value's words are whole ones, so nothing goes on to its left
                    end = start + len(value)
                    if offset >= 0 and start >= 0 and text.startswith(value, start) and not cuts_a_run(text, end):
                        yield Span(start, end, self.kinds[value], KNOWN)


def _goes_on(text: str, at: int) -> bool:
    """Return True when `at` stands between two letters of a script with cases: a name inside a longer word is another word."""
    return 0 < at < len(text) and all(c.lower() != c.upper() for c in text[at - 1 : at + 1])
