"""A small signer of its own: signatures of OpenSSF model signing in the spelling of the stock command, from the specification alone."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

GIT = (".git", ".github", ".gitignore", ".gitattributes")
TYPE = "application/vnd.in-toto+json"


def pem(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def statement(folder: Path, *, ignored=GIT) -> dict:
    """What is signed: every file below the folder in order of its path, and one digest over their digests."""
    resources, total = [], hashlib.sha256()
    paths = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not {str(path.relative_to(folder)), path.relative_to(folder).parts[0]} & set(ignored)
    ]
    for path in sorted(paths):
        digest = hashlib.sha256(path.read_bytes())
        total.update(digest.digest())
        resources.append({"digest": digest.hexdigest(), "name": path.relative_to(folder).as_posix(), "algorithm": "sha256"})
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": folder.name, "digest": {"sha256": total.hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "ignore_paths": list(ignored), "hash_type": "sha256", "allow_symlinks": False},
            "resources": resources,
        },
    }


def bundle(said: dict, key, *, indent=2, hint=None) -> dict:
    """The bundle around a statement."""
    payload = json.dumps(said, indent=indent).encode()
    signed = f"DSSEv1 {len(TYPE)} {TYPE} {len(payload)} ".encode() + payload
    algorithm = {256: hashes.SHA256(), 384: hashes.SHA384()}[key.curve.key_size]
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hashlib.sha256(pem(key)).hexdigest() if hint is None else hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": TYPE,
            "signatures": [{"sig": base64.b64encode(key.sign(signed, ec.ECDSA(algorithm))).decode(), "keyid": ""}],
        },
    }


def sign(folder: Path, key, *, ignored=GIT) -> bytes:
    return json.dumps(bundle(statement(folder, ignored=ignored), key)).encode()
