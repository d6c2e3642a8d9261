"""Reads the model files of CRFsuite: what each feature weighs for each tag, and what it weighs that one tag follows another.

Source: CRFsuite 0.12, lib/crf/src/crf1d_model.c and lib/cqdb/src/cqdb.c: a header of offsets, a list of features (kind, attribute or first tag, tag,
weight), and two tables of names. All numbers are little-endian; each table ends with the places of its names in the order of their numbers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<4sI4sI3I5I")
_FEATURE = np.dtype([("kind", "<u4"), ("source", "<u4"), ("target", "<u4"), ("weight", "<f8")])
_FEATURES_BEGIN = 12  # bytes before the first feature: name, size and number of the chunk
_STATE, _TRANSITION = 0, 1


@dataclass(frozen=True)
class CrfModel:
    """A linear-chain field."""

    tags: tuple[str, ...]
    attributes: tuple[str, ...]
    weights: NDArray[np.float64]  # [attributes, tags]
    between: NDArray[np.float64]  # [from, to]


def read(data: bytes) -> CrfModel:
    """Return the model of a file.

    Raises: ValueError for what is none.
    """
    try:
        magic, size, kind, _, _, tag_count, attribute_count, features_at, tags_at, attributes_at, _, _ = _HEADER.unpack_from(data)
        if magic != b"lCRF" or kind != b"FOMC" or size > len(data):
            raise ValueError("not a model of CRFsuite")
        tags, attributes = _names(data, tags_at, tag_count), _names(data, attributes_at, attribute_count)
        (count,) = struct.unpack_from("<I", data, features_at + 8)
        features = np.frombuffer(data, _FEATURE, count=count, offset=features_at + _FEATURES_BEGIN)
        weights, between = np.zeros((len(attributes), len(tags))), np.zeros((len(tags), len(tags)))
        for number, table in ((_STATE, weights), (_TRANSITION, between)):
            some = features[features["kind"] == number]
            table[some["source"], some["target"]] = some["weight"]
    except (struct.error, IndexError, UnicodeDecodeError) as cause:
        raise ValueError("not a model of CRFsuite") from cause
    return CrfModel(tags, attributes, weights, between)


def _names(data: bytes, at: int, count: int) -> tuple[str, ...]:
    """Return the names of a table by their numbers. Its head: name, size, flag, byte order, number and place of what leads back."""
    name, _, _, _, _, back = struct.unpack_from("<4s5I", data, at)
    if name != b"CQDB":
        raise ValueError("not a table of names")
    names = []
    for place in struct.unpack_from(f"<{count}I", data, at + back):
        (length,) = struct.unpack_from("<I", data, at + place + 4)
        names.append(data[at + place + 8 : at + place + 8 + length - 1].decode())  # without the zero at the end
    return tuple(names)
