"""DSSE envelopes with Ed25519: how statements and manifests are signed.

Source: DSSE v1.0 (secure-systems-lab/dsse). The library makes and checks the signature; this module refuses every second spelling of an
envelope, which the specification allows.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Signature, SSlibKey  # type: ignore[attr-defined]  # documented names, re-exported without __all__

from ringfence.core.digest import canonical, parse_canonical, sha256
from ringfence.core.errors import InvalidSettings, NotCanonical, SignatureInvalid
from ringfence.core.text import t
from ringfence.ledger.encoding import from_base64

_FILE = "envelope"


def ed25519_public(text: str) -> Ed25519PublicKey:
    """Return the public key of 64 lower-case hexadecimal digits.

    Raises: InvalidSettings.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError as cause:
        raise InvalidSettings(where="public key", problem=t("not 64 hexadecimal digits", "不是 64 位十六进制数字")) from cause
    if key.public_bytes_raw().hex() != text:
        raise InvalidSettings(where="public key", problem=t("not 64 lower-case hexadecimal digits", "不是 64 位小写十六进制数字"))
    return key


def key_id(public: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the raw public key, in hex: how an envelope names its signer."""
    return sha256(public.public_bytes_raw())


def sign(payload: bytes, payload_type: str, key: Ed25519PrivateKey) -> bytes:
    """Return the signed envelope as canonical JSON."""
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(CryptoSigner(key, _named(key.public_key())))
    return canonical(envelope.to_dict())


def verify(envelope: bytes, payload_type: str, public: Ed25519PublicKey) -> bytes:
    """Return the payload of an envelope that the owner of `public`, and nobody else, signed as a `payload_type`.

    Raises: NotCanonical when the envelope is not exactly what `sign` writes; SignatureInvalid when the type, key id or signature is
    not the expected one.
    """
    # (1) canonical JSON of the one shape, (2) strict base64
    payload, found_type, found_id, signature = _parse(parse_canonical(envelope))
    # (3) the expected type and key id
    if found_type != payload_type or found_id != key_id(public):
        raise SignatureInvalid(file=_FILE)
    # (4) the signature over type and payload
    try:
        parsed = Envelope(payload, payload_type, {found_id: Signature(found_id, signature.hex())})
        parsed.verify([_named(public)], 1)
    except VerificationError as cause:
        raise SignatureInvalid(file=_FILE) from cause
    return payload


def _named(public: Ed25519PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(public, key_id(public))


def _parse(value: Any) -> tuple[bytes, str, str, bytes]:  # noqa: ANN401  anything that JSON holds
    """Return payload, payload type, key id and signature.

    Raises: NotCanonical.
    """
    try:
        (signature,) = value["signatures"]
        parts = value["payload"], value["payloadType"], signature["keyid"], signature["sig"]
        is_closed = len(value) == len(("payload", "payloadType", "signatures")) and len(signature) == len(("keyid", "sig"))
        if not is_closed or not all(isinstance(part, str) for part in parts):
            raise NotCanonical
        return from_base64(parts[0]), parts[1], parts[2], from_base64(parts[3])
    except (KeyError, TypeError, ValueError) as cause:
        raise NotCanonical from cause
