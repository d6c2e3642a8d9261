"""A small file that opens under a person's secret: the root key, and the auditor's private key."""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field, model_validator

from ringfence.core.digest import canonical, parse_canonical, sha256
from ringfence.core.errors import BadArgument, KeysBroken, NotCanonical, WrongPassphrase
from ringfence.core.settings import Digest, Settings, SlotId
from ringfence.core.text import t

_LEAST_KEY_FILE = 32  # bytes: a key file stands for a random key, so it must be able to hold one
_NONCE = 12  # bytes; random, and no key here seals more than a few thousand times

Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")]


class Passphrase(bytes):
    """What a person types. Never printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Passphrase(…)"


class KeyFile(bytes):
    """The content of a key file, at least 32 random bytes. Never printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "KeyFile(…)"


Secret = Passphrase | KeyFile


class Argon2Cost(Settings):
    """The price of one guess. Defaults: RFC 9106 §4, second recommended option. The upper bounds stop a forged file from using up the host."""

    kdf: Literal["argon2id"] = "argon2id"
    memory: Annotated[int, Field(ge=8, le=4 << 20)] = 64 << 10  # KiB
    iterations: Annotated[int, Field(ge=1, le=64)] = 3
    lanes: Annotated[int, Field(ge=1, le=16)] = 4

    @model_validator(mode="after")
    def _memory_fits_lanes(self) -> Self:
        if self.memory < 8 * self.lanes:
            raise ValueError("Argon2 needs 8 KiB a lane")
        return self


class _KeyFileCost(Settings):
    kdf: Literal["hkdf-sha256"] = "hkdf-sha256"


class _Header(Settings):
    """Authenticated with the content."""

    format: Literal["ringfence.sealed/1"] = "ringfence.sealed/1"
    purpose: Literal["root", "auditor"]
    tenant: SlotId
    cost: Annotated[Argon2Cost | _KeyFileCost, Field(discriminator="kdf")]
    salt: Hex

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))


class _Sealed(Settings):
    header: _Header
    nonce: Annotated[Hex, Field(min_length=2 * _NONCE, max_length=2 * _NONCE)]
    content: Hex
    check: Digest  # SHA-256 of the rest: tells a damaged file from a wrong passphrase, proves nothing against an attacker


def hkdf(key: bytes, label: str) -> bytes:
    """Return 32 bytes derived from a uniformly random key; different labels give independent keys. Source: RFC 5869, SHA-256."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode()).derive(key)


class Lock:
    """An opened way to seal and open one file: holds the key derived from the secret, not the secret."""

    def __init__(self, header: _Header, secret: Secret) -> None:
        self._header = header
        self._aead = AESGCM(_derive(header, secret))

    @classmethod
    def new(cls, secret: Secret, *, purpose: Literal["root", "auditor"], tenant: str, cost: Argon2Cost) -> Lock:
        """Return a lock with a fresh salt. `cost` is for passphrases.

        Raises: BadArgument for an empty passphrase or a key file under 32 bytes.
        """
        if isinstance(secret, KeyFile) and len(secret) < _LEAST_KEY_FILE:
            raise BadArgument(
                option="--key-file",
                problem=t("{n} bytes; {least} are the least", "{n} 字节；至少要 {least} 字节", n=len(secret), least=_LEAST_KEY_FILE),
                verb="init",
            )
        if not secret:
            raise BadArgument(option="--passphrase-file", problem=t("the passphrase is empty", "口令为空"), verb="init")
        chosen = _KeyFileCost() if isinstance(secret, KeyFile) else cost
        return cls(_Header(purpose=purpose, tenant=tenant, cost=chosen, salt=os.urandom(16).hex()), secret)

    @classmethod
    def of(cls, data: bytes, secret: Secret, *, purpose: Literal["root", "auditor"]) -> Lock:
        """Return the lock of a sealed file; `open` then tells whether the secret was right.

        Raises: KeysBroken, WrongPassphrase for the wrong kind of secret.
        """
        header = _parse(data, purpose).header
        if (header.cost.kdf == "argon2id") != isinstance(secret, Passphrase):
            raise WrongPassphrase
        return cls(header, secret)

    @property
    def tenant(self) -> str:
        """The workspace that the file was sealed for."""
        return self._header.tenant

    def seal(self, content: bytes) -> bytes:
        """Return the bytes of a sealed file."""
        nonce = os.urandom(_NONCE)
        sealed = {
            "header": self._header.model_dump(mode="json"),
            "nonce": nonce.hex(),
            "content": self._aead.encrypt(nonce, content, self._header.to_bytes()).hex(),
        }
        return canonical(sealed | {"check": sha256(canonical(sealed))})

    def open(self, data: bytes) -> bytes:
        """Return the content of a file that this lock sealed.

        Raises: KeysBroken for a damaged file, WrongPassphrase.
        """
        sealed = _parse(data, self._header.purpose)
        if sealed.header != self._header:
            raise WrongPassphrase
        try:
            return self._aead.decrypt(bytes.fromhex(sealed.nonce), bytes.fromhex(sealed.content), self._header.to_bytes())
        except InvalidTag as cause:
            raise WrongPassphrase from cause


def _parse(data: bytes, purpose: Literal["root", "auditor"]) -> _Sealed:
    try:
        value = parse_canonical(data)
        sealed = _Sealed.model_validate(value)
    except (ValueError, NotCanonical) as cause:
        raise KeysBroken(file=purpose) from cause
    body = sealed.model_dump(mode="json", exclude={"check"})
    if sealed.header.purpose != purpose or sha256(canonical(body)) != sealed.check:
        raise KeysBroken(file=purpose)
    return sealed


def _derive(header: _Header, secret: Secret) -> bytes:
    salt, cost = bytes.fromhex(header.salt), header.cost
    if isinstance(cost, _KeyFileCost):
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"ringfence/1|key-file").derive(secret)
    kdf = Argon2id(salt=salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory)
    return kdf.derive(bytes(secret))
