"""Checkpoints: how long the log is and what it hashes to, signed.

Source: c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringfence.core.errors import SignatureInvalid
from ringfence.ledger.encoding import from_base64, to_base64
from ringfence.ledger.merkle import HASH
from ringfence.ledger.notes import sign_note, verify_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


class Checkpoint(NamedTuple):
    """The head of a log. `origin` names the log and its key."""

    origin: str
    size: int
    root: bytes

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """Return the signed note."""
        return sign_note(f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n", name=self.origin, key=key)

    @classmethod
    def verify(cls, note: bytes, *, origin: str, public: Ed25519PublicKey) -> Checkpoint:
        """Return the checkpoint of a note that the log `origin` signed. Extension lines are refused: no ringfence log writes them.

        Raises: SignatureInvalid.
        """
        text = verify_note(note, name=origin, public=public)
        try:
            found, size, root = text[:-1].split("\n")
            checkpoint = cls(found, int(size), from_base64(root))
        except ValueError as cause:
            raise SignatureInvalid(file="checkpoint") from cause
        if found != origin or not _SIZE.fullmatch(size) or len(checkpoint.root) != HASH:
            raise SignatureInvalid(file="checkpoint")
        return checkpoint
