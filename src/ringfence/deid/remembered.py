"""What was found in texts when they were first read, for when they are read again."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ringfence.deid.recogniser import Span

_MOST = 64 << 20  # bytes; what goes beyond is found again


class Packed(NamedTuple):
    """Spans in ten bytes each."""

    starts: array[int]
    lengths: array[int]
    sorts: array[int]  # of each span, its place among (kind, score)
    names: tuple[tuple[str, float], ...]

    @property
    def size(self) -> int:
        """Return the bytes of the arrays."""
        return self.starts.itemsize * 2 * len(self.starts) + self.sorts.itemsize * len(self.sorts)


class Remembered:
    """The spans of blocks of text, by the digest of the text. Holds no text, and no more than 64 MiB."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Packed] = {}
        self._size = 0

    def put(self, text: str, spans: Sequence[Span]) -> None:
        """Remember the spans of a text."""
        sorts: dict[tuple[str, float], int] = {}
        numbers = array("H", (sorts.setdefault((span.kind, span.score), len(sorts)) for span in spans))
        starts = array("I", (span.start for span in spans))
        lengths = array("I", (span.end - span.start for span in spans))
        self._keep([(_digest(text), Packed(starts, lengths, numbers, tuple(sorts)))])

    def take(self, text: str) -> list[Span] | None:
        """Return the spans of a text and forget them; None if they are not known."""
        packed = self._blocks.pop(_digest(text), None) if self._blocks else None
        if packed is None:
            return None
        self._size -= packed.size
        starts, lengths, numbers, names = packed
        return [Span(start, start + length, *names[number]) for start, length, number in zip(starts, lengths, numbers, strict=True)]

    def handed_over(self) -> dict[bytes, Packed]:
        """Return everything and forget it: from a worker to those who read the texts again."""
        blocks, self._blocks, self._size = self._blocks, {}, 0
        return blocks

    def add(self, blocks: Mapping[bytes, Packed]) -> None:
        """Take over what another one handed over, as far as there is room."""
        self._keep(blocks.items())

    def _keep(self, blocks: Iterable[tuple[bytes, Packed]]) -> None:
        for digest, packed in blocks:
            if digest not in self._blocks and self._size + packed.size <= _MOST:
                self._blocks[digest] = packed
                self._size += packed.size


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
