"""Counting over columns of hashes. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.uint64] | NDArray[np.uint32]
NOBODY = np.uint32(0xFFFFFFFF)  # no row


def distinct_partners(keys: Column, partners: Column) -> NDArray[np.int64]:
    """Return for each row how many different partners occur beside its key, [n]."""
    order = np.lexsort((partners, keys))
    keys, partners = keys[order], partners[order]
    is_new_key = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    is_new_pair = is_new_key | np.append(True, partners[1:] != partners[:-1])[: len(keys)]
    group = np.cumsum(is_new_key) - 1
    counts = np.bincount(group, weights=is_new_pair).astype(np.int64)
    found = np.empty(len(keys), np.int64)
    found[order] = counts[group]
    return found


def leaders(keys: Column, is_member: NDArray[np.bool_], *, least: int) -> NDArray[np.uint32]:
    """Return for each row the first row that has its key, [n]; NOBODY for keys of fewer than `least` members and for rows that are none."""
    found = np.full(len(keys), NOBODY)
    rows = np.flatnonzero(is_member)
    _, first, group, counts = np.unique(keys[rows], return_index=True, return_inverse=True, return_counts=True)
    is_big = counts[group] >= least
    found[rows[is_big]] = rows[first[group[is_big]]]
    return found
