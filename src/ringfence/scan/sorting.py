"""Which rows are flagged, and how flagged rows find back to their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ringfence.core.records import Record
from ringfence.scan.detector import DETECTORS, Records
from ringfence.scan.settings import FLAGS, ROW

Flags = dict[int, list[str]]  # row number from 0 -> names of the detectors that flagged it


def look(records: Records, parts: Sequence[str]) -> Flags:
    """Return what each detector flags. Holds the scores of one detector at a time.

    Raises: UnknownPart.
    """
    flags: Flags = {}
    for name in parts:
        detector = DETECTORS.create(name)
        for row in (detector.score(records) >= detector.threshold).nonzero()[0].tolist():
            flags.setdefault(row, []).append(name)
    return flags


def count_by_part(flags: Iterable[Sequence[str]]) -> dict[str, int]:
    """Return how many rows each detector flagged."""
    return dict(Counter(name for names in flags for name in names))


def flagged(record: Record, row: int, names: Sequence[str]) -> Record:
    """Return `record` as it goes into quarantine: with what flagged it and where it stood."""
    return replace(record, fields={**record.fields, FLAGS: list(names), ROW: row})


def flags_of(record: Record) -> list[str]:
    """Return the names of the detectors that put a record into quarantine."""
    return list(record.fields[FLAGS])


def released(record: Record) -> Record:
    """Return a quarantined record as it was before."""
    return replace(record, fields={name: value for name, value in record.fields.items() if name not in (FLAGS, ROW)})


def merged(cleared: Iterable[Record], quarantined: Iterable[Record]) -> Iterator[tuple[Record, bool]]:
    """Yield the records of both sets in the order of the set that was scanned, each with whether it comes from quarantine."""
    rest, row = iter(cleared), 0
    for record in quarantined:  # in order, each knows its row; what lies between comes from the cleared set
        while row < record.fields[ROW] and (free := next(rest, None)) is not None:
            yield free, False
            row += 1
        yield record, True
        row += 1
    yield from ((record, False) for record in rest)
