"""Sets: shards of about 4 MB of JSON Lines and a sealed index. Plaintext exists in memory only."""

from __future__ import annotations

import io
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ringfence.core.durable import full_disk_as_error, sync_folder
from ringfence.core.errors import ObjectBroken
from ringfence.core.order import Slot
from ringfence.core.records import Record
from ringfence.vault.index import RowIndex, read_index, row_hmac
from ringfence.vault.streams import BLOCK, INDEX, ObjectStreams

SHARD_BYTES = 4 << 20  # a shard is cut at the first row past this size
_NEWLINE = ord("\n")


def shard_name(i: int) -> str:
    """Return the file name of shard `i`."""
    return f"{i:06}.shard"


class SetWriter:
    """Writes one set into an output slot. Leaving the context cleanly writes the index; after an exception there is none.

    content_key: purpose key `content`; None for a job that has none: `write` then stores no content HMACs.
    unit_table: a unit was chosen at import, so seal how many rows each unit has.
    """

    __slots__ = ("_content_key", "_hmac", "_hmacs", "_ids", "_index", "_lines", "_size", "_streams", "_unit_table", "_units")

    def __init__(self, slot: Slot, key: bytes, content_key: bytes | None = None, *, unit_table: bool = False) -> None:
        self._streams = ObjectStreams(slot, key)
        self._content_key, self._unit_table = content_key, unit_table
        self._hmac = row_hmac(content_key) if content_key is not None else None
        self._index = RowIndex()
        self._lines: list[bytes] = []  # of the shard that is filling; four lists and a sum are all that a row costs here
        self._size: float = 0  # bytes in `_lines`; infinity once closed, so that a later row takes the slow path and is refused
        self._ids: list[bytes] = []  # of rows that are not yet in the index
        self._units: list[bytes] = []
        self._hmacs: list[bytes | None] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        self._lines, self._size = [], math.inf

    @property
    def index(self) -> RowIndex:
        """The index of the rows so far."""
        hmacs = [value for value in self._hmacs if value is not None]
        if hmacs and len(hmacs) != len(self._hmacs):
            raise ValueError("either all rows have a content HMAC or none")
        if self._ids:
            self._index.add(self._ids, self._units, hmacs or None)
            self._ids, self._units, self._hmacs = [], [], []
        return self._index

    def write(self, record: Record) -> None:
        """Append one record.

        Raises: StorageFull.
        """
        self.write_line(
            record.to_line(),
            record_id=bytes.fromhex(record.id),
            unit_id=bytes.fromhex(record.unit),
            content_hmac=self._hmac(record.content()) if self._hmac else None,
        )

    def write_line(self, line: bytes, *, record_id: bytes, unit_id: bytes, content_hmac: bytes | None = None) -> None:
        """Append one record that is already a line of JSON, newline included; ids and HMAC have 16 bytes (ValueError when its shard is cut).

        Raises: StorageFull.
        """
        if self._size >= SHARD_BYTES:
            self._cut(last=False)
        self._lines.append(line)
        self._ids.append(record_id)
        self._units.append(unit_id)
        self._hmacs.append(content_hmac)
        self._size += len(line)

    def _cut(self, *, last: bool) -> None:
        """Write the rows held as one shard. The latest shard is always held back: only the end says whether it is the last."""
        if self._size == math.inf:
            raise ValueError("the set is closed")
        i = len(self.index.shard_rows)
        self._streams.seal(shard_name(i), _joined(self._lines, int(self._size)), position=str(i), last=last)
        self._index.shard_rows.append(len(self._lines))
        self._lines, self._size = [], 0

    def _finish(self) -> None:
        if self._lines:
            self._cut(last=True)
        self._index.finish(self._content_key, with_units=self._unit_table)
        self._streams.seal(INDEX, self._index.blocks(), position=INDEX, last=True)
        with full_disk_as_error():
            sync_folder(self._streams.folder)


class SetReader:
    """Reads one set: in order, or any range of rows. A shard's rows come out only after the whole shard is authenticated.

    Raises on opening: ObjectBroken when the index or the list of files does not fit.
    """

    def __init__(self, slot: Slot, key: bytes) -> None:
        self.index = read_index(slot, key)
        self._streams = ObjectStreams(slot, key)
        self._ends = list(itertools.accumulate(self.index.shard_rows))  # row number after each shard
        self._held: tuple[int, list[bytes]] = (-1, [])  # the latest shard of `rows`: neighbours are often asked for next
        self._streams.check_files([shard_name(i) for i in range(len(self._ends))] + [INDEX])

    @property
    def folder(self) -> Path:
        """Where the object lies."""
        return self._streams.folder

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Record]:
        for i in range(len(self._ends)):
            yield from _records(i, self._shard(i))

    def lines(self) -> Iterator[bytes]:
        """Yield every row as its line of JSON, newline included.

        Raises: ObjectBroken.
        """
        for i in range(len(self._ends)):
            yield from self._shard(i)

    def rows(self, start: int, stop: int) -> Iterator[Record]:
        """Yield the rows of a range, which is cut to the set as a slice is; reads the shards that hold them only.

        Raises: ObjectBroken.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        while start < stop:
            i = bisect_right(self._ends, start)
            first = self._ends[i] - self.index.shard_rows[i]
            if self._held[0] != i:
                self._held = (i, self._shard(i))
            yield from _records(i, self._held[1][start - first : stop - first])
            start = self._ends[i]

    def _shard(self, i: int) -> list[bytes]:
        lines: list[bytes] = []
        rest = b""  # of a line that goes on in the next block
        for block in self._streams.opened(shard_name(i), position=str(i), last=i == len(self._ends) - 1):
            more = io.BytesIO(block).readlines()
            more[0] = rest + more[0]
            rest = b"" if more[-1].endswith(b"\n") else more.pop()
            lines += more
        if rest or len(lines) != self.index.shard_rows[i]:
            raise ObjectBroken(file=i)
        return lines


def _joined(lines: list[bytes], size: int) -> Iterator[bytes]:
    """Yield `lines`, of `size` bytes together, in blocks of about BLOCK bytes."""
    step = max(1, len(lines) * BLOCK // max(size, 1))
    for start in range(0, len(lines), step):
        some = lines[start : start + step]
        block = b"".join(some)
        newlines = np.count_nonzero(np.frombuffer(block, np.uint8) == _NEWLINE)  # bytes.count takes ten times as long
        if newlines != len(some) or {*map(itemgetter(slice(-1, None)), some)} != {b"\n"}:
            raise ValueError("a line ends with its only newline")
        yield block


def _records(shard: int, lines: list[bytes]) -> Iterator[Record]:
    for line in lines:
        try:
            record = Record.from_line(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ObjectBroken(file=shard) from None  # a JSON error would carry the text
        yield record
