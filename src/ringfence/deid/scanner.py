"""Where in a block a pattern or a term could be: Vectorscan, or Python where there is no wheel for it. Both lead to the same spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from ringfence.deid.terms import TermSearch

Range = tuple[int, int]
Hits = dict[int, list[Range]]  # number of the pattern (terms: the number after the last one) -> ranges of characters, ascending
_CONTINUATION, _IS_CONTINUATION = 0xC0, 0x80  # UTF-8: the bytes 10xxxxxx begin no character
_FIRST_NON_ASCII = 0x80


class Scanner(Protocol):
    """Finds ranges that cover every match of each pattern, and the exact ranges of the terms."""

    def scan(self, text: str) -> Hits:
        """Return the hits in one folded block."""
        ...


class ReScanner:
    """Points at the whole block for every pattern and lets the search do the work."""

    def __init__(self, patterns: Sequence[str], terms: Sequence[str]) -> None:
        self._count = len(patterns)
        self._terms = TermSearch(terms)

    def scan(self, text: str) -> Hits:
        """Return the whole block as the range of every pattern."""
        return {n: [(0, len(text))] for n in range(self._count)} | {self._count: self._terms.find(text)}


class VectorScanner:
    """All patterns and terms in one automaton.

    The database works on bytes, not in UTF-8 mode, which would be undefined for the lone surrogates that JSON can hold: patterns use
    ASCII classes and whole characters only, and UTF-8 is self-synchronising, so byte matches are character matches.
    """

    def __init__(self, patterns: Sequence[str], terms: Sequence[str]) -> None:
        import hyperscan  # noqa: PLC0415  optional, and only in the child

        self._count = len(patterns)
        self._lengths = [len(term.encode("utf-8", "surrogatepass")) for term in terms]
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[*(pattern.encode() for pattern in patterns), *map(_literal, terms)],
            ids=list(range(len(patterns) + len(terms))),
            # a literal's start follows from its end, so only patterns pay for start offsets
            flags=[hyperscan.HS_FLAG_SOM_LEFTMOST] * len(patterns) + [hyperscan.HS_FLAG_CASELESS] * len(terms),
        )
        self._scratch = hyperscan.Scratch(self._database)

    def scan(self, text: str) -> Hits:
        """Return merged match ranges of each pattern and all occurrences of terms."""
        block = text.encode("utf-8", "surrogatepass")
        events = self._events(block)
        if events and len(block) != len(text):
            events = _in_characters(events, block)
        return self._merged(events)

    def _events(self, block: bytes) -> list[tuple[int, int, int]]:
        events: list[tuple[int, int, int]] = []
        append, count, lengths = events.append, self._count, self._lengths

        def on_match(number: int, start: int, end: int, _flags: int, _context: Any) -> None:  # noqa: ANN401  the library's signature
            append((number, start, end) if number < count else (count, end - lengths[number - count], end))

        if block:
            self._database.scan(block, match_event_handler=on_match, scratch=self._scratch)
        events.sort()
        return events

    def _merged(self, events: list[tuple[int, int, int]]) -> Hits:
        hits: Hits = {}
        for number, start, end in events:
            ranges = hits.setdefault(number, [])
            if number < self._count and ranges and start < ranges[-1][1]:
                if end > ranges[-1][1]:
                    ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
        return hits


def _in_characters(events: list[tuple[int, int, int]], block: bytes) -> list[tuple[int, int, int]]:
    """Return events in bytes as events in characters."""
    begins = (np.frombuffer(block, dtype=np.uint8) & _CONTINUATION) != _IS_CONTINUATION
    places = np.concatenate(([0], np.cumsum(begins, dtype=np.int64)))  # [bytes + 1]: characters before each byte
    table = np.array(events, dtype=np.int64)  # [events, 3]
    table[:, 1:] = places[table[:, 1:]]
    return list(map(tuple, table.tolist()))


def _literal(term: str) -> bytes:
    return b"".join(re.escape(bytes([b])) if b < _FIRST_NON_ASCII else b"\\x%02x" % b for b in term.encode("utf-8", "surrogatepass"))


def has_vectorscan() -> bool:
    """Return True when the wheel is installed."""
    return find_spec("hyperscan") is not None
