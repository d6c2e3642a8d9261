"""Where in a block a pattern or a term could be: Vectorscan, or Python where there is no wheel for it. Both lead to the same spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ringfence.deid import compiled
from ringfence.deid.recogniser import SEPARATOR, Trigger
from ringfence.deid.terms import TermSearch

Range = tuple[int, int]
Events = NDArray[np.int64]
Hits = dict[int, list[Range]]  # number of the pattern (terms: the number after the last one) -> ranges of characters, ascending
_CONTINUATION, _IS_CONTINUATION = 0xC0, 0x80  # UTF-8: the bytes 10xxxxxx begin no character
_FIRST_NON_ASCII = 0x80
_SMALL = 256  # bytes
_TOLD = 5  # numbers that the library tells of a match
_QUANTIFIED = re.compile(r"([^\x00-\x7f])(?=[?*+{])")


class Scanner(Protocol):
    """Finds ranges that cover every match of each pattern, and the exact ranges of the terms."""

    def scan(self, text: str) -> Hits:
        """Return the hits in one folded block."""
        ...


class ReScanner:
    """Points at the whole block for every pattern and lets the search do the work."""

    def __init__(self, triggers: Sequence[Trigger], terms: Sequence[str]) -> None:
        self._count = len(triggers)
        self._terms = TermSearch(terms)

    def scan(self, text: str) -> Hits:
        """Return the whole block as the range of every pattern."""
        return {n: [(0, len(text))] for n in range(self._count)} | {self._count: self._terms.find(text)}


class VectorScanner:
    """All triggers in one automaton, those that need many digits in a second one, which reads only where there are that many, terms in a third.

    The databases work on bytes, not in UTF-8 mode, which would be undefined for the lone surrogates that JSON can hold: patterns use
    ASCII classes and whole characters only, and UTF-8 is self-synchronising, so byte matches are character matches.
    """

    def __init__(self, triggers: Sequence[Trigger], terms: Sequence[str], *, kept: compiled.Kept | None = None) -> None:
        """`kept`: automata that were compiled before."""
        self._count, self._triggers = len(triggers), list(triggers)
        self._lengths = np.array([len(term.encode("utf-8", "surrogatepass")) for term in terms], dtype=np.int64)
        self._behind = {n: re.compile(f"{trigger.behind}*") for n, trigger in enumerate(triggers) if trigger.behind}
        self._before = np.array([trigger.before for trigger in triggers], dtype=np.int64)
        everywhere, numbers = parted(triggers)
        self._everywhere = _Database(compiled.automaton(everywhere, kept) if everywhere else None)
        self._numbers = _Database(compiled.automaton(numbers, kept) if numbers else None)
        self._terms = _Database(_of_terms(terms, first=self._count) if terms else None)

    def scan(self, text: str) -> Hits:
        """Return merged match ranges of each pattern and all occurrences of terms."""
        block = text.encode("utf-8", "surrogatepass")
        if len(block) <= _SMALL:
            return self._scan_small(block, text)
        # [events, 3]: number, start, end in bytes
        events = np.concatenate((self._everywhere.events(block), self._in_numbers(block), self._terms.events(block)))
        if len(events) == 0:
            return {}
        numbers = events[:, 0]
        is_term = numbers >= self._count
        if is_term.any():  # a literal's start follows from its end
            events[is_term, 1] = events[is_term, 2] - self._lengths[numbers[is_term] - self._count]
            numbers[is_term] = self._count
        if len(block) != len(text):
            events[:, 1:] = _in_characters(events[:, 1:], block)
        if not is_term.all():
            events[~is_term, 1] = np.maximum(events[~is_term, 1] - self._before[numbers[~is_term]], 0)
        return self._lengthened(_merged(events, terms=self._count, length=len(text)), text)

    def _lengthened(self, hits: Hits, text: str) -> Hits:
        """Return the hits with what triggers say that may stand behind theirs."""
        for number, behind in self._behind.items():
            if number in hits:
                longer: list[Range] = []
                for start, end in hits[number]:
                    if longer and end <= longer[-1][1]:  # inside what was behind the one before: each stretch is read once
                        continue
                    match = behind.match(text, end)
                    last = match.end() if match else end
                    if longer and start < longer[-1][1]:
                        longer[-1] = (longer[-1][0], last)
                    else:
                        longer.append((start, last))
                hits[number] = longer
        return hits

    def _scan_small(self, block: bytes, text: str) -> Hits:
        """Do the same for few bytes: counting and sorting them in arrays would cost more than the search."""
        found: list[tuple[int, int, int]] = []
        for number, start, end, *_ in chain(self._everywhere.found(block), self._numbers.found(block), self._terms.found(block)):
            is_term = number >= self._count
            places = (end - int(self._lengths[number - self._count]) if is_term else start, end)
            if len(block) != len(text):
                places = _characters_before(block, places[0]), _characters_before(block, end)
            found.append((self._count, *places) if is_term else (number, max(0, places[0] - self._triggers[number].before), places[1]))
        hits: Hits = {}
        for number, start, end in sorted(found):
            ranges = hits.setdefault(number, [])
            if number < self._count and ranges and start < ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
            else:
                ranges.append((start, end))
        return self._lengthened(hits, text)

    def _in_numbers(self, block: bytes) -> Events:
        """Return the events of the second automaton."""
        data = np.frombuffer(block, dtype=np.uint8)
        digits = np.flatnonzero((data - ord("0")) <= 9)  # noqa: PLR2004  unsigned: what is below 0 is far above 9
        others = Trigger.DIGITS - 1
        near = digits[others:] - digits[: max(0, len(digits) - others)] < Trigger.REACH
        starts = np.maximum(digits[others:][near] - Trigger.REACH + 1, 0)
        if len(starts) == 0:
            return _NONE
        ends = np.minimum(digits[: len(digits) - others][near] + Trigger.REACH, len(block))
        begins = np.concatenate(([True], starts[1:] > ends[:-1]))
        starts, ends = starts[begins], ends[np.concatenate((begins[1:], [True]))]  # [windows]
        places = np.concatenate(([0], np.cumsum(ends - starts + 1)[:-1]))  # where each window begins in what is read
        read = SEPARATOR.encode().join([block[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)])
        events = self._numbers.events(read)
        window = np.searchsorted(places, events[:, 1] + 1, side="right") - 1  # a match may begin with the separator before its window
        shift = (starts - places)[window]
        events[:, 1] = np.maximum(events[:, 1] + shift, starts[window])
        events[:, 2] = np.minimum(events[:, 2] + shift, ends[window])
        return events


class _Database:
    """An automaton with the memory that it needs to search."""

    def __init__(self, database: Any) -> None:  # noqa: ANN401  of an untyped library
        """`database`: None finds nothing."""
        import hyperscan  # noqa: PLC0415  optional, and only in the child

        self._database = database
        self._scratch = hyperscan.Scratch(database) if database is not None else None

    def found(self, block: bytes) -> list[tuple[int, ...]]:
        """Return every match as the library tells it: number, start and end in bytes, and two numbers that say nothing."""
        found: list[tuple[int, ...]] = []
        append = found.append
        if self._database is not None and block:
            self._database.scan(block, match_event_handler=lambda *event: append(event), context=0, scratch=self._scratch)
        return found

    def events(self, block: bytes) -> Events:
        """Return number, start and end in bytes of every match, [events, 3]."""
        found = self.found(block)
        told = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=_TOLD * len(found))
        return told.reshape(-1, _TOLD)[:, :3] if found else _NONE


def parted(triggers: Sequence[Trigger]) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Return the patterns of two automata, with their numbers: of triggers that are looked for everywhere, and of those that need many digits."""
    numbered = [(n, _in_bytes(t.pattern), t.is_number) for n, t in enumerate(triggers)]
    return [(n, p) for n, p, is_number in numbered if not is_number], [(n, p) for n, p, is_number in numbered if is_number]


def _of_terms(terms: Sequence[str], *, first: int) -> Any:  # noqa: ANN401
    """Return the automaton of terms. A literal's start follows from its end, so only patterns pay for start offsets."""
    import hyperscan  # noqa: PLC0415

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    ids = list(range(first, first + len(terms)))
    database.compile(expressions=[_literal(term) for term in terms], ids=ids, flags=[hyperscan.HS_FLAG_CASELESS] * len(terms))
    return database


_NONE: Events = np.empty((0, 3), dtype=np.int64)


def _characters_before(block: bytes, at: int) -> int:
    return sum(byte & _CONTINUATION != _IS_CONTINUATION for byte in block[:at])


def _in_characters(places: Events, block: bytes) -> Events:
    """Return places in bytes as places in characters: less the bytes before them that begin none."""
    others = np.flatnonzero((np.frombuffer(block, dtype=np.uint8) & _CONTINUATION) == _IS_CONTINUATION)
    found: Events = places - np.searchsorted(others, places)
    return found


def _merged(events: Events, *, terms: int, length: int) -> Hits:
    """Return the events of each number as ascending ranges, those of patterns without overlap.

    events: [events, 3], number, start and end.
    """
    order = np.lexsort((events[:, 2], events[:, 1], events[:, 0]))
    numbers, starts, ends = events[order].T
    hits: Hits = {}
    is_pattern = numbers < terms
    if not is_pattern.all():
        hits[terms] = list(zip(starts[~is_pattern].tolist(), ends[~is_pattern].tolist(), strict=True))
    numbers, starts, ends = numbers[is_pattern], starts[is_pattern], ends[is_pattern]
    if len(numbers) == 0:
        return hits
    apart = numbers * (length + 1)  # as if each pattern had a text of its own behind that of the one before
    reached = np.maximum.accumulate(ends + apart)
    begins = np.concatenate(([True], (starts + apart)[1:] >= reached[:-1]))
    last = np.concatenate((begins[1:], [True]))
    ranges = list(zip(starts[begins].tolist(), (reached - apart)[last].tolist(), strict=True))
    firsts = np.searchsorted(numbers[begins], np.arange(terms + 1)).tolist()
    hits |= {n: ranges[first:end] for n, (first, end) in enumerate(pairwise(firsts)) if first < end}
    return hits


def _in_bytes(pattern: str) -> bytes:
    """Return a pattern for bytes: what is optional or repeated is the whole of a character, not its last byte."""
    return _QUANTIFIED.sub(r"(?:\1)", pattern).encode()


def _literal(term: str) -> bytes:
    return b"".join(re.escape(bytes([b])) if b < _FIRST_NON_ASCII else b"\\x%02x" % b for b in term.encode("utf-8", "surrogatepass"))


def has_vectorscan() -> bool:
    """Return True when the wheel is installed."""
    return find_spec("hyperscan") is not None
