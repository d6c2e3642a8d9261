"""C2SP signed notes with Ed25519: text that a person can read, and who vouches for it.

Source: c2sp.org/signed-note.
"""

from __future__ import annotations

import re
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringfence.core.errors import SignatureInvalid
from ringfence.ledger.encoding import from_base64, to_base64

MAX_NOTE = 1 << 16  # bytes; a checkpoint with sixteen witnesses takes about 4 KiB
_ED25519 = b"\x01"  # signature type
_ID = 4  # bytes
_NAME = re.compile(r"[^\s+]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LINE = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/=]+)")


def key_id(name: str, public: Ed25519PublicKey) -> bytes:
    """Return the four bytes that tell keys of one name apart."""
    return sha256(name.encode() + b"\n" + _ED25519 + public.public_bytes_raw()).digest()[:_ID]


def sign_note(text: str, *, name: str, key: Ed25519PrivateKey) -> bytes:
    """Return `text` with one signature line.

    Raises: ValueError when the text does not end in a newline, holds control characters, or the name cannot stand in a note.
    """
    if not text.endswith("\n") or _CONTROL.search(text) or not _NAME.fullmatch(name):
        raise ValueError("a note needs printable text that ends in a newline, and a name without spaces or plus signs")
    signature = key_id(name, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {name} {to_base64(signature)}\n".encode()


def verify_note(note: bytes, *, name: str, public: Ed25519PublicKey) -> str:
    """Return the text of a note that `name` signed with the key `public`.

    Signatures of other keys (witnesses) are passed over, as the format demands; a malformed line is not.

    Raises: SignatureInvalid when the note is malformed, no line is by that key, or any line by that key does not verify.
    """
    try:
        text, lines = _split(note)
        expected, is_signed = key_id(name, public), False
        for line in lines:
            signer, signature = _parse_line(line)
            if signer == name and signature[:_ID] == expected:
                public.verify(signature[_ID:], text.encode())
                is_signed = True
    except (ValueError, InvalidSignature) as cause:
        raise SignatureInvalid(file="checkpoint") from cause
    if not is_signed:
        raise SignatureInvalid(file="checkpoint")
    return text


def _split(note: bytes) -> tuple[str, list[str]]:
    """Return the text, final newline included, and the signature lines."""
    whole = note.decode("utf-8") if len(note) <= MAX_NOTE else ""
    text, gap, signatures = whole.rpartition("\n\n")
    if not gap or not signatures.endswith("\n") or _CONTROL.search(whole):
        raise ValueError("not a signed note")
    return text + "\n", signatures[:-1].split("\n")


def _parse_line(line: str) -> tuple[str, bytes]:
    """Return the key name and the bytes (key id, then signature) of one signature line."""
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise ValueError("not a signature line")
    signature = from_base64(parts["signature"])
    if len(signature) <= _ID:
        raise ValueError("no signature after the key id")
    return parts["name"], signature
