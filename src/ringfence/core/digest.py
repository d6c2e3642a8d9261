"""Digests and canonical JSON: the same value always has the same bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.core.errors import NotCanonical

if TYPE_CHECKING:
    from pydantic import BaseModel


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def keyed(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA256 truncated to 16 bytes, as NIST SP 800-107r1 §5.3.3 allows."""
    return hmac.digest(key, data, "sha256")[:16]


def canonical(value: object) -> bytes:
    """Return the one JSON encoding of `value`: keys sorted, no spaces, UTF-8, no NaN or infinity.

    Raises: NotCanonical for a value that JSON cannot hold.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, UnicodeEncodeError) as cause:
        raise NotCanonical from cause


def parse_canonical(data: bytes) -> object:
    """Return the value of canonical JSON; any other encoding of the same value is refused.

    Raises: NotCanonical.
    """
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise NotCanonical from cause
    if canonical(value) != data:
        raise NotCanonical
    return value


def settings_digest(settings: BaseModel) -> str:
    """Return the digest under which settings stand in the evidence."""
    return sha256(canonical(settings.model_dump(mode="json")))


def object_digest(files: Iterable[tuple[str, int, str]]) -> str:
    """Return the digest that names an object, from (name, bytes, SHA-256) of its files in order."""
    return sha256("".join(f"{name} {size} {digest}\n" for name, size, digest in files).encode())
