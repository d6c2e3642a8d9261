"""Safetensors headers: what a file holds, read without touching a weight. Shared by the host, which loads no weights."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import NamedTuple

from ringfence.core.errors import UnsafeFile
from ringfence.core.text import t

_MAX_HEADER = 16 << 20  # bytes; a model of 100,000 tensors needs about 12 MB
_MAX_TENSOR = 1 << 48  # elements; keeps the products below in machine range
_MAX_DIMENSIONS = 8
_PREFIX = 8  # bytes of the little-endian header length
_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}


class TensorInfo(NamedTuple):
    """What one tensor is: dtype as safetensors writes it ("F32"), and shape."""

    dtype: str
    shape: tuple[int, ...]


class Header(NamedTuple):
    """What one file is."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Return the header of a safetensors file; reads no weight.

    Raises: UnsafeFile when the file is anything but exactly one well-formed safetensors file.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        prefix = stream.read(_PREFIX)
        length = header_length(prefix, file=path.name)
        return parse_header(prefix + stream.read(length), size=size, file=path.name)


def header_length(prefix: bytes, *, file: str) -> int:
    """Return how many bytes of header follow the first eight.

    Raises: UnsafeFile.
    """
    length = int.from_bytes(prefix[:_PREFIX], "little")
    if len(prefix) < _PREFIX or not 2 <= length <= _MAX_HEADER:  # noqa: PLR2004  "{}" is the shortest header
        raise UnsafeFile(file=file, reason=t("no safetensors header", "没有 safetensors 文件头"))
    return length


def parse_header(data: bytes, *, size: int, file: str) -> Header:
    """Return the header at the start of `data`, a safetensors file of `size` bytes (or its first bytes).

    The reasons are constants: the header of an adapter was written by a child, so nothing in it may be quoted.
    Source: the safetensors format, https://huggingface.co/docs/safetensors#format. Stricter: duplicate names are refused.

    Raises: UnsafeFile.
    """
    length = header_length(data[:_PREFIX], file=file)
    text = data[_PREFIX : _PREFIX + length]
    try:
        tensors, metadata = _parse(text, length=length, room=size - _PREFIX - length)
    except (ValueError, TypeError, KeyError, RecursionError) as cause:
        raise UnsafeFile(file=file, reason=t("malformed safetensors header", "safetensors 文件头格式不对")) from cause
    return Header(tensors, metadata)


def _parse(text: bytes, *, length: int, room: int) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    if len(text) != length:
        raise ValueError("the file ends inside its header")
    raw = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    if not isinstance(raw, dict):
        raise TypeError("the header is not an object")
    metadata = raw.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("the metadata are not text")
    spans = {name: _span(entry) for name, entry in raw.items()}
    _tile([(begin, end) for _, begin, end in spans.values()], total=room)
    return {name: info for name, (info, _, _) in spans.items()}, metadata


def _span(entry: object) -> tuple[TensorInfo, int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise TypeError("a tensor has other keys")
    dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(_is_size(n) for n in (*shape, begin, end)):
        raise TypeError("a size is not a whole number")
    if end - begin != prod(shape) * _BYTES[dtype]:
        raise ValueError("offsets and shape differ")
    return TensorInfo(dtype, tuple(shape)), begin, end


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_TENSOR


def _tile(spans: list[tuple[int, int]], *, total: int) -> None:
    """Check that the tensors fill the file without a gap or an overlap: nothing can hide between them."""
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise ValueError("a gap or an overlap")
        at = end
    if at != total:
        raise ValueError("bytes after the last tensor, or too few")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _refuse(_: str) -> object:
    raise ValueError("NaN or infinity")
