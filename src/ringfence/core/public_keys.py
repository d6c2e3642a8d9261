"""The public keys of a workspace: the one file that a verifier brings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.digest import canonical, parse_canonical, sha256
from ringfence.core.errors import NotCanonical
from ringfence.core.settings import Digest, Settings, SlotId


class PublicKeys(Settings):
    """Canonical JSON on disk; the SHA-256 of those bytes is the fingerprint that two people compare."""

    format: Literal["ringfence.keys/1"] = "ringfence.keys/1"
    tenant: SlotId
    evidence: Digest  # raw Ed25519 public key, hex: signs statements and manifests (DSSE)
    ledger: Digest  # raw Ed25519 public key, hex: signs checkpoints (C2SP signed note)
    release: Annotated[str, Field(max_length=400)]  # P-256 public key, PEM SubjectPublicKeyInfo: OpenSSF model signing
    auditor: Annotated[str, Field(max_length=4_000)]  # Tink HPKE public keyset, JSON

    def to_bytes(self) -> bytes:
        """Return the bytes of the exported file."""
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicKeys:
        """Return the keys of an exported file.

        Raises: NotCanonical.
        """
        try:
            return cls.model_validate(parse_canonical(data))
        except ValueError as cause:
            raise NotCanonical from cause

    def fingerprint(self) -> str:
        """Return the SHA-256 of the exported file."""
        return sha256(self.to_bytes())

    @property
    def origin(self) -> str:
        """The ledger's name inside its checkpoints (C2SP: "origin")."""
        return f"ringfence/{self.tenant}"
