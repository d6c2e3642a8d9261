"""Bytes of a file, cut where rows end, never more than one row in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ringfence.core.errors import BadEncoding, LineTooLong

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SKIP = 1 << 20  # bytes read at a time while an overlong line is passed over


def skip_bom(file: BinaryIO) -> None:
    """Leave `file` after its UTF-8 byte order mark, if it begins with one.

    Raises: BadEncoding for UTF-16 or UTF-32.
    """
    start = file.tell()
    head = file.read(3)
    if head[:2] in _UTF16:
        raise BadEncoding(first=1)
    if head != _BOM:
        file.seek(start)


def bounded_lines(file: BinaryIO, *, limit: int) -> Iterator[bytes | None]:
    """Yield each line with its end; None stands for a line of more than `limit` bytes, which is passed over unread."""
    while line := file.readline(limit + 1):
        if len(line) <= limit or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(_SKIP)) and not rest.endswith(b"\n"):
            pass
        yield None


class BoundedSource:
    """A file for a streaming parser that refuses to read on when one row grows beyond `limit` bytes.

    The consumer sets `row` to the number of rows it has got; whatever is read after that belongs to the next row,
    up to the parser's read-ahead of one block.
    """

    def __init__(self, file: BinaryIO, *, limit: int) -> None:
        self.row = 0
        self._file, self._limit = file, limit
        self._seen, self._since = 0, 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        Raises: LineTooLong.
        """
        if self.row != self._seen:
            self._seen, self._since = self.row, 0
        if self._since > self._limit:
            raise LineTooLong(first=self.row + 1, limit=self._limit)
        data = self._file.read(size)
        self._since += len(data)
        return data
