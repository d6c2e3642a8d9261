"""Base64 with exactly one encoding per value, so that a signed file has no byte that may change unnoticed."""

from __future__ import annotations

import base64


def to_base64(data: bytes) -> str:
    """Return the standard base64 of `data`, padded, on one line.

    Source: RFC 4648 §4.
    """
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return the bytes of `text`.

    Raises: ValueError for white space, a foreign alphabet, wrong padding or trailing bits that are not zero (RFC 4648 §3.5).
    """
    data = base64.b64decode(text.encode("ascii"), validate=True)
    if to_base64(data) != text:
        raise ValueError("not canonical base64")
    return data
