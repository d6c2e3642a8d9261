"""The child halves of `ringfence scan` and `ringfence scan --keep`: a set comes in, a cleared and a quarantined one go out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ringfence.core.errors import NothingLeft
from ringfence.core.order import Child, Progress
from ringfence.core.records import Record
from ringfence.scan.settings import KeepSettings, ScanFigures, ScanSettings
from ringfence.scan.sorting import count_by_part, flagged, flags_of, look, merged, released
from ringfence.vault.sets import SetReader, SetWriter

_EVERY = 5_000  # rows between two words to the host


def run(child: Child[ScanSettings]) -> ScanFigures:
    """Write what no detector flags to `set` and the rest to `quarantine`, in order; return how many there are.

    Raises: NothingLeft, UnknownPart, ObjectBroken, StorageFull.
    """
    source = _reader(child, "set")
    flags = look(_Watched(child, source, passes=4), child.order.settings.parts)
    if len(flags) == len(source):
        raise NothingLeft(rows=len(source))
    with _writer(child, "set", source) as cleared, _writer(child, "quarantine", source) as quarantine:
        for row, record in enumerate(source):
            if names := flags.get(row):
                quarantine.write(flagged(record, row, names))
            else:
                cleared.write(record)
    return ScanFigures(rows=len(source), cleared=len(source) - len(flags), flagged=len(flags), by_part=count_by_part(flags.values()))


def keep(child: Child[KeepSettings]) -> ScanFigures:
    """Write the cleared set with the readmitted rows back in their places, and what stays in quarantine.

    Raises: ObjectBroken, StorageFull.
    """
    only = child.order.settings.only
    cleared, held = _reader(child, "set"), _reader(child, "quarantine")
    left: Counter[str] = Counter()
    stays = 0
    with _writer(child, "set", cleared) as output, _writer(child, "quarantine", cleared) as quarantine:
        for record, is_held in merged(cleared, held):
            if is_held and only is not None and flags_of(record) != [only]:
                quarantine.write(record)
                left.update(flags_of(record))
                stays += 1
            else:
                output.write(released(record) if is_held else record)
    rows = len(cleared) + len(held)
    return ScanFigures(rows=rows, cleared=rows - stays, flagged=stays, by_part=dict(left))


def _reader(child: Child[Any], role: str) -> SetReader:
    slot = child.order.inputs[role]
    return SetReader(slot, child.keys.data[slot.slot])


def _writer(child: Child[Any], role: str, source: SetReader) -> SetWriter:
    slot = child.order.outputs[role]
    has_units = source.index.unit_table is not None  # what import fixed holds behind a scan, too: an export says the units by it
    return SetWriter(slot, child.keys.data[slot.slot], child.keys.purpose["content"], unit_table=has_units)


class _Watched:
    """A set that tells the host, now and then, how far its readers have come; `passes` is how often it is expected to be read."""

    def __init__(self, child: Child[ScanSettings], source: SetReader, *, passes: int) -> None:
        self._child, self._source = child, source
        self._total, self._done = passes * len(source), 0

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Record]:
        for record in self._source:
            if self._done % _EVERY == 0:
                self._child.channel.progress(Progress(done=min(self._done, self._total), total=self._total, phase="read"))
            self._done += 1
            yield record
