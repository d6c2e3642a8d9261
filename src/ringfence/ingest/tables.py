"""Rows of a CSV or TSV file with a header line, streamed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from ringfence.core.errors import BadEncoding, DocumentBroken, LineTooLong
from ringfence.ingest.lines import bounded_lines
from ringfence.ingest.rows import Row

_DELIMITERS = ",\t;"


def read_csv(file: BinaryIO, limit: int) -> Iterator[Row]:
    """Yield the rows below the header; a blank line is none. Cells are text; a row of another length than the header is refused.

    Raises: BadEncoding, DocumentBroken for the header, LineTooLong, DocumentBroken where an open quote swallows the rest.
    """
    csv.field_size_limit(limit)
    lines = _Lines(file, limit)
    first = next(lines, "")
    table = csv.reader(chain([first], lines), delimiter=max(_DELIMITERS, key=first.count), strict=True)
    header = _header(_cells(table))
    while (cells := _cells(table)) is not None:
        if not cells:
            continue
        lines.row += 1
        if cells == _BROKEN and lines.is_at_end:
            raise DocumentBroken(first=lines.row)
        yield _row(lines.row, header, cells)


_BROKEN = ["\x00broken"]  # stands for a row whose quotes do not close as they must


def _cells(table: Iterator[list[str]]) -> list[str] | None:
    try:
        return next(table, None)
    except csv.Error:
        return _BROKEN


def _header(cells: list[str] | None) -> list[str]:
    names = [name.strip() for name in cells or []]
    if any(map(_is_undecodable, names)):
        raise BadEncoding(first=1)
    if names == _BROKEN or len(set(names)) != len(names):
        raise DocumentBroken(first=1)
    return names


def _row(number: int, header: list[str], cells: list[str]) -> Row:
    if cells == _BROKEN or len(cells) != len(header):
        return Row(number, problem="broken-csv")
    if any(map(_is_undecodable, cells)):
        return Row(number, problem="bad-encoding")
    return Row(number, dict(zip(header, cells, strict=True)))


def _is_undecodable(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text)


class _Lines(Iterator[str]):
    """Lines as text; bytes that are not UTF-8 become lone surrogates, so that only their row is lost.

    The reader raises `row` when a row is complete; the lines after that belong to the next one.
    """

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.row, self.is_at_end = 0, False
        self._lines, self._limit = bounded_lines(file, limit=limit), limit
        self._counted_row, self._bytes = 0, 0

    def __next__(self) -> str:
        line = next(self._lines, b"")
        if self.row != self._counted_row:
            self._counted_row, self._bytes = self.row, 0
        self._bytes += self._limit + 1 if line is None else len(line)
        if line is None or self._bytes > self._limit:
            raise LineTooLong(first=self.row + 1, limit=self._limit)
        if not line:
            self.is_at_end = True
            raise StopIteration
        return line.decode("utf-8", "surrogateescape")
