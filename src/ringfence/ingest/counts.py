"""Counting equal ids among millions of rows, in 8 bytes each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 20  # ids compared at a time


def repeats(ids: NDArray[np.uint8]) -> tuple[int, int]:
    """Return how many ids repeat an earlier one, and how often the most frequent id occurs.

    ids: [rows, 16], HMACs. Only the first 64 bits are compared: two of 10 million distinct ids share them with probability 3e-6.
    """
    rows = len(ids)
    if not rows:
        return 0, 0
    heads = ids[:, :8].copy().view(np.uint64).ravel()  # [rows]
    heads.sort()
    distinct, most, start = 1, 0, 0
    for first in range(1, rows, _CHUNK):
        last = min(first + _CHUNK, rows)
        changes = np.flatnonzero(heads[first:last] != heads[first - 1 : last - 1]) + first
        if len(changes):
            most = max(most, int(np.diff(changes, prepend=start).max()))
            distinct, start = distinct + len(changes), int(changes[-1])
    return rows - distinct, max(most, rows - start)
