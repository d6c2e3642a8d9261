"""Proofs that travel: an entry's place, the path to the root and the signed checkpoint, in one text.

Source: c2sp.org/tlog-proof.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.ledger.encoding import from_base64, to_base64
from ringfence.ledger.merkle import HASH

_HEAD = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,17})")
_MAX = 1 << 17  # bytes: 63 hashes and the largest checkpoint are less


@dataclass(frozen=True, slots=True)
class Proof:
    """An inclusion proof. `path` leads from the leaf's sibling up; `checkpoint` is the signed note, not yet verified."""

    index: int
    path: Sequence[bytes]
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        """Return the text of the proof."""
        lines = [_HEAD, f"index {self.index}", *map(to_base64, self.path), "", ""]
        return "\n".join(lines).encode() + self.checkpoint

    @classmethod
    def from_bytes(cls, data: bytes) -> Proof:
        """Return the parts of a proof. The optional `extra` line is refused: nothing signs it, and ringfence never writes one.

        Raises: ValueError.
        """
        head, gap, checkpoint = data.partition(b"\n\n")
        if not gap or len(data) > _MAX:
            raise ValueError("not a proof")
        first, second, *path = head.decode("ascii").split("\n")
        index = _INDEX.fullmatch(second)
        hashes = [from_base64(line) for line in path]
        if first != _HEAD or index is None or any(len(step) != HASH for step in hashes):
            raise ValueError("not a proof")
        return cls(int(index[1]), hashes, checkpoint)
