"""`model.sig`: the released folder also verifies with the stock `model_signing` command of the OpenSSF.

A sigstore bundle with a DSSE envelope around an in-toto statement that lists every file, signed with ECDSA P-256 and SHA-256.
What we write is one byte string per (files, name, key, signature), so a verifier rebuilds it and compares: no second encoding passes.
Source: model_signing 1.1.1, `_signing/sign_ec_key.py` and `_signing/signing.py`; DSSE v1 for the pre-authentication encoding.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ringfence.core.digest import canonical, parse_canonical, sha256
from ringfence.core.errors import InvalidSettings, NotCanonical, SignatureInvalid, WrongSigner
from ringfence.core.text import t
from ringfence.release.manifest import MODEL_SIGNATURE

_ALGORITHM = ec.ECDSA(hashes.SHA256())
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the P-256 group; SEC 2 §2.4.2
_PAYLOAD_TYPE = "application/vnd.in-toto+json"


def sign(digests: Mapping[str, str], *, name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the bytes of `model.sig`.

    digests: path inside the bundle -> SHA-256, of every file but `model.sig`.
    """
    payload = _payload(digests, name)
    r, s = decode_dss_signature(key.sign(_encoded(payload), _ALGORITHM))
    return _bundle(payload, encode_dss_signature(r, min(s, _ORDER - s)), _hint(key.public_key()))


def check(data: bytes, *, digests: Mapping[str, str], name: str, public: str) -> None:
    """Return when `data` is what `sign` writes for these files under the private half of `public` (PEM).

    Raises: NotCanonical, SignatureInvalid; WrongSigner when it names another key; InvalidSettings when `public` is no P-256 key.
    """
    key, payload, (signature, hint) = _public(public), _payload(digests, name), _parts(data)
    if hint != _hint(key):
        raise WrongSigner
    if _bundle(payload, signature, hint) != data:
        raise SignatureInvalid(file=MODEL_SIGNATURE)
    try:
        r, s = decode_dss_signature(signature)
        # (r, n - s) would verify, too, and DER has more than one reading: only the form that `sign` writes counts.
        if encode_dss_signature(r, min(s, _ORDER - s)) != signature:
            raise SignatureInvalid(file=MODEL_SIGNATURE)
        key.verify(signature, _encoded(payload), _ALGORITHM)
    except (ValueError, InvalidSignature) as cause:
        raise SignatureInvalid(file=MODEL_SIGNATURE) from cause


def _public(text: str) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise InvalidSettings(where="public keys", problem=t("release is no PEM key", "release 不是 PEM 密钥")) from cause
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidSettings(where="public keys", problem=t("release is no P-256 key", "release 不是 P-256 密钥"))
    return key


def _payload(digests: Mapping[str, str], name: str) -> bytes:
    paths = sorted(digests, key=PurePosixPath)
    total = hashlib.sha256(b"".join(bytes.fromhex(digests[path]) for path in paths)).hexdigest()
    return canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": name, "digest": {"sha256": total}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {
                "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [MODEL_SIGNATURE]},
                "resources": [{"name": path, "algorithm": "sha256", "digest": digests[path]} for path in paths],
            },
        }
    )


def _encoded(payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    return sha256(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def _bundle(payload: bytes, signature: bytes, hint: str) -> bytes:
    return canonical(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": _PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    )


def _parts(data: bytes) -> tuple[bytes, str]:
    """Return the signature and the key hint; the rest is compared as a whole."""
    value = parse_canonical(data)
    try:
        signature = base64.b64decode(value["dsseEnvelope"]["signatures"][0]["sig"], validate=True)  # type: ignore[index]  # any shape may come; a wrong one is caught
        hint = value["verificationMaterial"]["publicKey"]["hint"]  # type: ignore[index]
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error) as cause:
        raise NotCanonical from cause
    if not isinstance(hint, str):
        raise NotCanonical
    return signature, hint
