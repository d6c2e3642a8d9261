"""The manifest of a bundle: every file but the two signature files, with size and digest."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.errors import NotCanonical
from ringfence.core.settings import Digest, Name, RunId, Settings, SlotId

ADAPTER = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
POLICY = "policy.json"
EVIDENCE = "evidence"
MANIFEST = "manifest.json"
MANIFEST_SIGNATURE = "manifest.dsse.json"
MODEL_SIGNATURE = "model.sig"

REQUIRED = (CARD, POLICY)
OF_ADAPTER = (ADAPTER, CONFIG)  # a run that trained the base's own weights leaves merged weights instead
# Closed, so that a bundle never carries code or a pickle.
OPTIONAL = frozenset(
    {
        "LICENSE",
        "added_tokens.json",
        "chat_template.jinja",
        "generation_config.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
    }
)
PAYLOAD_TYPE = "application/vnd.ringfence.bundle+json"


class BaseRef(Settings):
    """The base model that the adapter belongs to. A name, never a path of the machine that trained."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$", max_length=128)]
    digest: Digest


class BundleFile(Settings):
    """One file, by its path inside the bundle."""

    path: Annotated[str, Field(pattern=r"^((evidence|merged|gguf)/)?[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    size: Annotated[int, Field(ge=0)]  # bytes
    sha256: Digest


class Manifest(Settings):
    """What the bundle is and holds. Its canonical bytes are signed."""

    format: Literal["ringfence.bundle/1"] = "ringfence.bundle/1"
    name: Name
    tenant: SlotId
    run: RunId  # the run that trained the adapter
    base: BaseRef
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    files: tuple[BundleFile, ...]

    @field_validator("files")
    @classmethod
    def _sorted_and_unique(cls, files: tuple[BundleFile, ...]) -> tuple[BundleFile, ...]:
        if any(a.path >= b.path for a, b in pairwise(files)):
            raise ValueError("files are not sorted by path, or one is named twice")
        return files

    def to_bytes(self) -> bytes:
        """Return the bytes of `manifest.json`."""
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest of `manifest.json`.

        Raises: NotCanonical when the bytes are not exactly what `to_bytes` writes.
        """
        try:
            manifest = cls.model_validate(parse_canonical(data))
        except ValueError as cause:
            raise NotCanonical from cause
        if manifest.to_bytes() != data:
            raise NotCanonical
        return manifest
