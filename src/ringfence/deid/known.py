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
    `tel13800138000` holds the number, `138001380001` does not. Values are filed under their first word, so that a text costs one pass over
    its words however many values there are.
    """

    kinds: dict[str, str] = field(default_factory=dict)  # folded value -> kind
    normal: set[tuple[str, str]] = field(default_factory=set)  # (kind, normal form)
    _by_word: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # first word -> (value, offset of the word in it)

    def add(self, kind: str, value: str, *, normal: str) -> None:
        """Remember an original. A value without any ASCII letter or digit is remembered by its normal form alone."""
        self.normal.add((kind, normal))
        if value in self.kinds:
            return
        self.kinds[value] = kind
        if word := _WORD.search(value):
            self._by_word.setdefault(word[0], []).append((value, word.start()))

    def find(self, text: str) -> list[Span]:
        """Return every occurrence of a known value in a folded text; occurrences may overlap."""
        if self._by_word.keys().isdisjoint(_WORD.findall(text)):
            return []
        return list(self._occurrences(text))

    def _occurrences(self, text: str) -> Iterator[Span]:
        for word in _WORD.finditer(text):
            for value, offset in self._by_word.get(word[0], ()):
                start = word.start() - offset  # the value's first word is a whole one, so nothing goes on to its left
                end = start + len(value)
                if start >= 0 and text.startswith(value, start) and not cuts_a_run(text, end):
                    yield Span(start, end, self.kinds[value], KNOWN)
