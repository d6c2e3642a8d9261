"""The Merkle tree of RFC 6962: append, root, inclusion and consistency proofs. Pure: no files.

The hashes are kept in memory by levels of tiles: level L holds the hashes of all complete subtrees of 256**L leaves, so that
32 bytes per leaf (and 0.4 % more) answer every question in a few hundred hash operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

HASH = 32  # bytes
TILE = 256  # hashes per tile: eight levels of the binary tree
_TILE_BITS = 8
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry. Source: RFC 6962 §2.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node. Source: RFC 6962 §2.1."""
    return sha256(b"\x01" + left + right).digest()


class HashTree:
    """An append-only tree. Entry texts are not kept, only their hashes."""

    def __init__(self) -> None:
        self._levels = [bytearray()]

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0]) // HASH

    def extend(self, entries: Sequence[bytes]) -> None:
        """Append entries in order."""
        self.extend_hashed(b"".join([sha256(b"\x00" + entry).digest() for entry in entries]))

    def extend_hashed(self, leaves: bytes) -> None:
        """Append entries of which only the leaf hashes are known: [n * 32]."""
        self._levels[0] += leaves
        level = 0
        while full := len(self._levels[level]) // (TILE * HASH):
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            below, above = self._levels[level], self._levels[level + 1]
            for index in range(len(above) // HASH, full):
                above += _fold(bytes(below[index * TILE * HASH : (index + 1) * TILE * HASH]))
            level += 1

    def truncate(self, size: int) -> None:
        """Forget every leaf from `size` on."""
        for level, hashes in enumerate(self._levels):
            del hashes[(size >> _TILE_BITS * level) * HASH :]

    def hashes(self, level: int, start: int, *, count: int) -> bytes:
        """Return `count` hashes of complete subtrees of 256**level leaves, from the one numbered `start`: [count * 32]."""
        return bytes(self._levels[level][start * HASH : (start + count) * HASH])

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves (default: all)."""
        size = self.size if size is None else size
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the siblings that lead from leaf `index` to the root, the leaf's own sibling first.

        Source: RFC 6962 §2.1.1.
        """
        start, stop = 0, self.size if size is None else size
        path: list[bytes] = []
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the tree of the first `old` leaves is a prefix of the tree of `size` leaves.

        Source: RFC 6962 §2.1.2.
        """
        start, stop = 0, self.size if size is None else size
        path: list[bytes] = []
        while 0 < old < stop:
            middle = start + _split(stop - start)
            if old <= middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        if start:  # the old tree's own root is known to the verifier; any smaller subtree is not
            path.append(self._range(start, stop))
        return path[::-1]

    def _range(self, start: int, stop: int) -> bytes:
        """Return MTH(D[start:stop]); `start` is a multiple of the largest power of two that fits, as in RFC 6962."""
        count = stop - start
        if count & (count - 1) == 0:
            level, extra = divmod(count.bit_length() - 1, _TILE_BITS)
            return _fold(self.hashes(level, start >> _TILE_BITS * level, count=1 << extra))
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, stop))


def _split(count: int) -> int:
    """Return the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _fold(hashes: bytes) -> bytes:
    """Return the root over a power of two of concatenated hashes."""
    while len(hashes) > HASH:
        hashes = b"".join([sha256(b"\x01" + hashes[at : at + 2 * HASH]).digest() for at in range(0, len(hashes), 2 * HASH)])
    return hashes


def root_from_inclusion(leaf: bytes, path: Sequence[bytes], *, index: int, size: int) -> bytes | None:
    """Return the root that an inclusion proof leads to, or None if its length cannot belong to `index` and `size`.

    Source: RFC 9162 §2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(path: Sequence[bytes], *, old_size: int, old_root: bytes, size: int, root: bytes) -> bool:
    """Return whether the tree of `old_size` leaves is proved to be a prefix of the tree of `size` leaves.

    Source: RFC 9162 §2.1.4.2. The empty tree is a prefix of every tree, with an empty proof.
    """
    if not 0 <= old_size <= size:
        return False
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if old_size == size:
        return not path and old_root == root
    steps = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    return bool(steps) and _climb(steps, old_size=old_size, size=size) == (old_root, root)


def _climb(steps: Sequence[bytes], *, old_size: int, size: int) -> tuple[bytes, bytes] | None:
    """Return the two roots that a consistency proof leads to, or None if its length is wrong."""
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None
