"""Manifests: what an object is and of which ciphertext files it consists. They hold no record text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.digest import canonical, object_digest, parse_canonical, sha256
from ringfence.core.errors import NotCanonical
from ringfence.core.order import ObjectKind, StoredFile
from ringfence.core.settings import Digest, Name, RunId, Settings, SlotId
from ringfence.core.statement import Label, Stage


class Manifest(Settings):
    """Canonical JSON on disk, named by its SHA-256; it counts only if a ledger entry holds that digest."""

    format: Literal["ringfence.object/1"] = "ringfence.object/1"
    tenant: SlotId
    slot: SlotId
    version: Annotated[int, Field(ge=1)] = 1
    kind: ObjectKind
    stage: Stage
    name: Name
    label: Label
    files: Annotated[tuple[StoredFile, ...], Field(min_length=1)]
    parents: tuple[Digest, ...] = ()
    run: RunId

    @property
    def digest(self) -> str:
        """The digest that names the object."""
        return object_digest((f.name, f.size, f.sha256) for f in self.files)

    def to_bytes(self) -> bytes:
        """Return the bytes of the file."""
        return canonical(self.model_dump(mode="json"))

    def own_digest(self) -> str:
        """Return the SHA-256 of the file."""
        return sha256(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest of a file.

        Raises: NotCanonical.
        """
        try:
            return cls.model_validate(parse_canonical(data))
        except ValueError as cause:
            raise NotCanonical from cause
