"""What a recogniser is, and the one search that all of them share.

A recogniser states a cheap `pattern` and a strict `check`. The pattern lies in the common subset of Python's `re` and Vectorscan
(no look-around, no word boundary: a Chinese character is a word character, so a number glued to one has no boundary in the usual sense),
and any number of patterns are compiled into one automaton. `check` judges a candidate and may narrow or widen it. Texts are searched in blocks,
joined by NUL: neither a pattern nor a check looks across one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple, Protocol

from ringfence.core.registry import Registry
from ringfence.deid.draw import Draw

# How sure a span is, which also decides conflicts: secret > checked > Luhn > term > known > keyworded > shape.
# Luhn alone passes one number in ten, so a resident number that also passes it is a resident number.
SECRET, CHECKED, LUHN, TERM, KNOWN, KEYWORDED, SHAPE = 1.0, 0.9, 0.85, 0.8, 0.75, 0.7, 0.5

_ALNUM = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset("0123456789")
_NO_SEPARATORS = dict.fromkeys(map(ord, " -.·•()+_/,"))
SEPARATOR = "\x00"  # between the texts of one block: no recogniser looks across it
_BACK = 64  # characters of a refused candidate that are searched again, so that a good one inside it is not lost


class Span(NamedTuple):
    """Half-open range of characters in one text, what it holds and how sure that is (0 to 1)."""

    start: int
    end: int
    kind: str
    score: float

    @property
    def type(self) -> str:
        """The kind, under the name that other tools give it."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Trigger:
    """Where an automaton sends the search of a recogniser: to what matches `pattern`, and what stands before and behind it.

    That is `before` characters to the left, and to the right as many as are of the class `behind`. Those ranges must cover whatever match of the
    recogniser's own pattern its check accepts. A trigger may be stricter than that pattern, because an automaton, unlike a search from left to
    right, can ask what stands before a match; where it is not, the two are the same.
    behind: for a pattern that goes on without a limit, which an automaton that tells where a match began pays for: it gets the shortest match.
    is_number: what the check accepts lies in a stretch of at most REACH bytes that begins and ends anywhere around DIGITS digits; a run of
    any length in which each DIGITS digits do is such stretches, one over the other.
    """

    pattern: str
    before: int = 0
    behind: str = ""
    is_number: bool = False

    DIGITS: ClassVar[int] = 6
    REACH: ClassVar[int] = 40


def alone(pattern: str) -> str:
    """Return a pattern of the matches that no ASCII letter or digit touches, each with the bytes around it."""
    return f"(?:^|[^0-9A-Za-z])(?:{pattern})(?:[^0-9A-Za-z]|$)"


class Recogniser(Protocol):
    """Finds spans of one or more kinds in one text. Pure: no I/O, no state, no logging."""

    @property
    def kinds(self) -> frozenset[str]:
        """What it finds."""
        ...

    @property
    def example(self) -> str:
        """One synthetic value, with the key word it needs; the docs show it and the contract test hides it in random text."""
        ...

    @property
    def pattern(self) -> str:
        """A regular expression of ASCII classes and literals that every span's core matches."""
        ...

    @property
    def trigger(self) -> Trigger:
        """What leads to it."""
        ...

    @property
    def searched(self) -> str:
        """The pattern as Python's `re` searches it; it may leave out matches that the check always refuses."""
        ...

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the spans that the candidate `text[start:end]` holds, in order and disjoint; empty when it is a false alarm."""
        ...

    def find(self, text: str) -> Iterable[Span]:
        """Yield the spans of a folded text, in order and disjoint."""
        ...

    def normalise(self, value: str) -> str:
        """Return the form in which two spellings of one value are equal."""
        ...

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a stand-in of the same look that was never issued to anybody. Total: any string has one."""
        ...


class Finder(Protocol):
    """A recogniser that searches a folded block in its own way, not by a pattern of the common automaton."""

    @property
    def kinds(self) -> frozenset[str]:
        """What it finds."""
        ...

    def find(self, text: str) -> Iterable[Span]:
        """Yield the spans of a folded block, none across its separators."""
        ...

    def normalise(self, value: str) -> str:
        """Return the form in which two spellings of one value are equal."""
        ...

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return what stands there instead. Total: any string has one."""
        ...


class Shaped:
    """The part of a recogniser that is the same for all: searching, and a normal form without separators."""

    pattern: ClassVar[str]
    is_alone: ClassVar[bool] = False  # the check refuses a match that a letter or digit touches, and no other match begins where one does
    is_number: ClassVar[bool] = False  # see Trigger

    @property
    def trigger(self) -> Trigger:
        """What leads to it: its pattern."""
        return Trigger(alone(self.pattern) if self.is_alone else self.pattern, is_number=self.is_number)

    @property
    def searched(self) -> str:
        """The pattern for Python's `re`, which need not stop where the check would refuse at once."""
        return f"(?<![0-9A-Za-z])(?:{self.pattern})" if self.is_alone else self.pattern

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the spans that the candidate holds."""
        raise NotImplementedError

    def find(self, text: str) -> Iterator[Span]:
        """Yield the spans of a folded text, in order and disjoint."""
        return search(self, text, [(0, len(text))])

    def normalise(self, value: str) -> str:
        """Return `value` in upper case without separators."""
        return value.translate(_NO_SEPARATORS).upper()


class Searchable(Protocol):
    """What `search` needs of a recogniser."""

    @property
    def searched(self) -> str:
        """Its regular expression."""
        ...

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the spans that the candidate holds."""
        ...


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern for Python's `re`, with ASCII classes and ASCII case folding as in Vectorscan."""
    return re.compile(pattern, re.ASCII)


def search(part: Searchable, text: str, regions: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Yield the spans of `part` inside `regions` (ascending, disjoint).

    Any regions that cover every match of the pattern give the same spans as the whole text does: that is what makes the two
    engines agree.
    """
    find, check, at, done = compiled(part.searched).search, part.check, 0, 0
    for start, end in regions:
        at = max(at, start)
        while at < end and (match := find(text, at, end)):
            spans = check(text, match.start(), match.end())
            if spans:
                for span in spans:  # a check that looks to the left must not claim again what was claimed
                    if span.end > done:
                        yield span if span.start >= done else Span(done, span.end, span.kind, span.score)
                        done = span.end
                at = max(match.end(), spans[-1].end)
            else:
                at = max(match.start() + 1, match.end() - _BACK)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Return True when no ASCII letter or digit touches the range; a Chinese character may."""
    return (start == 0 or text[start - 1] not in _ALNUM) and (end == len(text) or text[end] not in _ALNUM)


def cuts_a_word(text: str, at: int) -> bool:
    """Return True when ASCII letters or digits stand on both sides of `at`."""
    return 0 < at < len(text) and text[at - 1] in _ALNUM and text[at] in _ALNUM


def cuts_a_run(text: str, at: int) -> bool:
    """Return True when `at` stands between two digits or between two ASCII letters."""
    return cuts_a_word(text, at) and (text[at - 1] in _DIGITS) == (text[at] in _DIGITS)


def in_decimal(text: str, start: int, end: int) -> bool:
    """Return True when the range continues a decimal number: `0.4111…` or `…4111.50`."""
    before = start >= 2 and text[start - 1] == "." and text[start - 2] in _DIGITS  # noqa: PLR2004  a point and a digit
    after = end + 1 < len(text) and text[end] == "." and text[end + 1] in _DIGITS
    return before or after


def has_word(text: str, start: int, end: int, *, words: re.Pattern[str], left: int = 24, right: int = 8) -> bool:
    """Return True when a key word stands within `left` characters before or `right` characters after the range."""
    begin = max(text.rfind(SEPARATOR, max(0, start - left), start) + 1, start - left)
    after = text.find(SEPARATOR, end, end + right)
    return bool(words.search(text, begin, start) or words.search(text, end, end + right if after < 0 else after))


RECOGNISERS = Registry[Recogniser]("recogniser", package="ringfence.deid.recognisers")
