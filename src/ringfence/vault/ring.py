"""The ring: every key of a workspace but the root, in one authenticated file.

Wrapped under the root key: the tenant key, the tenant secret and the signing keys. Wrapped under the tenant key: one Tink keyset an object.
An HMAC under the root key covers the whole file, so that no entry can be dropped, added or brought back from an older ring.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field

from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.errors import KeyMissing, KeysBroken, NotCanonical
from ringfence.core.settings import Digest, Settings, SlotId
from ringfence.vault.sealing import hkdf

KEY = 32  # bytes of a root key, a tenant key and the tenant secret
_NONCE = 12  # bytes; random: a wrapping key stays far below 2^32 uses
_FILE = "ring"

Wrapped = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+=*$")]  # base64 of nonce, ciphertext, tag


class _RingFile(Settings):
    format: Literal["ringfence.ring/1"] = "ringfence.ring/1"
    tenant: SlotId
    is_solo: bool
    public: Digest  # SHA-256 of the other files, so that an alteration of them shows
    auditor: Digest
    version: Annotated[int, Field(ge=1)]  # of the tenant key
    mark: Annotated[int, Field(ge=0)]  # entries that the ledger had: a shorter one was rolled back
    tenant_key: Wrapped
    secrets: Mapping[str, Wrapped]
    objects: Mapping[SlotId, Wrapped]
    mac: Digest


@dataclass(frozen=True, repr=False)
class Ring:
    """An opened ring. Objects stay wrapped until they are asked for."""

    tenant: str
    is_solo: bool
    public: str
    auditor: str
    version: int
    tenant_key: bytes
    secrets: Mapping[str, bytes]
    objects: Mapping[str, str]
    mark: int = 0

    @classmethod
    def from_bytes(cls, data: bytes, roots: Iterable[bytes]) -> tuple[Ring, bytes]:
        """Return the ring and that one of the root keys which authenticates it.

        Raises: KeysBroken.
        """
        try:
            value = parse_canonical(data)
            file = _RingFile.model_validate(value)
        except (ValueError, NotCanonical) as cause:
            raise KeysBroken(file=_FILE) from cause
        body = canonical(file.model_dump(mode="json", exclude={"mac"}))
        for root in roots:
            if hmac.compare_digest(_mac(root, body), file.mac):
                return cls._unwrapped(file, root), root
        raise KeysBroken(file=_FILE)

    @classmethod
    def _unwrapped(cls, file: _RingFile, root: bytes) -> Ring:
        wrapping = _wrapping(root)
        return cls(
            tenant=file.tenant,
            is_solo=file.is_solo,
            public=file.public,
            auditor=file.auditor,
            version=file.version,
            tenant_key=_unwrap(wrapping, file.tenant_key, _label(file.tenant, "tenant-key", file.version)),
            secrets={name: _unwrap(wrapping, text, _label(file.tenant, name, 0)) for name, text in file.secrets.items()},
            objects=file.objects,
            mark=file.mark,
        )

    def to_bytes(self, root: bytes) -> bytes:
        """Return the bytes of the file, everything wrapped anew under `root`."""
        wrapping = _wrapping(root)
        body = {
            "format": "ringfence.ring/1",
            "tenant": self.tenant,
            "is_solo": self.is_solo,
            "public": self.public,
            "auditor": self.auditor,
            "version": self.version,
            "mark": self.mark,
            "tenant_key": _wrap(wrapping, self.tenant_key, _label(self.tenant, "tenant-key", self.version)),
            "secrets": {name: _wrap(wrapping, secret, _label(self.tenant, name, 0)) for name, secret in self.secrets.items()},
            "objects": dict(self.objects),
        }
        return canonical(body | {"mac": _mac(root, canonical(body))})

    def with_keys(self, keys: Mapping[str, bytes]) -> Ring:
        """Return a ring that also holds these object keys."""
        aead = AESGCM(self.tenant_key)
        added = {slot: _wrap(aead, key, _label(self.tenant, slot, self.version)) for slot, key in keys.items()}
        return replace(self, objects={**self.objects, **added})

    def without_keys(self, slots: Iterable[str]) -> Ring:
        """Return a ring under a new tenant key that holds the other object keys only."""
        gone = set(slots)
        kept = {slot: self.data_key(slot) for slot in self.objects if slot not in gone}
        return replace(self, version=self.version + 1, tenant_key=os.urandom(KEY), objects={}).with_keys(kept)

    def data_key(self, slot: str) -> bytes:
        """Return the key of an object.

        Raises: KeyMissing, KeysBroken.
        """
        if slot not in self.objects:
            raise KeyMissing(object=slot)
        return _unwrap(AESGCM(self.tenant_key), self.objects[slot], _label(self.tenant, slot, self.version))


def _label(tenant: str, what: str, version: int) -> bytes:
    return f"{tenant}|{what}|{version}".encode()


def _wrapping(root: bytes) -> AESGCM:
    return AESGCM(hkdf(root, "ringfence/1|ring-wrap"))


def _mac(root: bytes, body: bytes) -> str:
    return hmac.digest(hkdf(root, "ringfence/1|ring-mac"), body, "sha256").hex()


def _wrap(aead: AESGCM, key: bytes, label: bytes) -> str:
    nonce = os.urandom(_NONCE)
    return base64.b64encode(nonce + aead.encrypt(nonce, key, label)).decode()


def _unwrap(aead: AESGCM, text: str, label: bytes) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
        return aead.decrypt(data[:_NONCE], data[_NONCE:], label)
    except (InvalidTag, ValueError) as cause:
        raise KeysBroken(file=_FILE) from cause
