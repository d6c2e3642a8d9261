"""Who published a base model: signatures of OpenSSF model signing, made with a P-256 key, as the stock command writes and reads them.

A signature is a sigstore bundle: a DSSE envelope around an in-toto statement that lists every file of a folder by SHA-256. Other publishers write
it, so any spelling of the JSON is read; what is signed are the bytes of the statement.
Source: model_signing 1.1.1, `_signing/sign_ec_key.py`, `_signing/signing.py` and `hashing.py`; DSSE v1 for the pre-authentication encoding.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ringfence.core.digest import sha256
from ringfence.core.errors import SignatureMismatch, SignatureUnreadable
from ringfence.core.text import t

METHOD: Literal["ecdsa-p256-sha256"] = "ecdsa-p256-sha256"
LARGEST = 16 << 20  # bytes of a signature; one of 100,000 files needs about 15 MB
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that is good under a key that the user brought, and what it says."""

    data: bytes = field(repr=False)  # of the signature file
    key: bytes = field(repr=False)  # PEM of the publisher's public key
    fingerprint: str  # SHA-256 of that key as DER SubjectPublicKeyInfo, hex
    files: Mapping[str, str]  # path inside the folder -> SHA-256
    ignored: frozenset[str]  # paths that the publisher left unsigned: files, or folders with all that is in them

    def match(self, folder: Path) -> None:
        """Return when the folder holds the signed files and no other, but for the signature and what the publisher left unsigned. Reads names only.

        Raises: SignatureMismatch.
        """
        there = set(_walk(folder, self.ignored))
        if missing := sorted(self.files.keys() - there):
            raise SignatureMismatch(problem=t("{file}, which is signed, is missing", "缺少已签名的 {file}", file=missing[0]))
        if extra := sorted(path for path in there - self.files.keys() if not self._is_own(folder / path)):
            raise SignatureMismatch(problem=t("{file} is not signed", "{file} 未被签名", file=ascii(extra[0])))

    def compare(self, path: str, digest: str) -> None:
        """Return when a file of this SHA-256 is the one that was signed.

        Raises: SignatureMismatch.
        """
        if self.files[path] != digest:
            raise SignatureMismatch(problem=t("{file} is not the file that was signed", "{file} 不是签名时的文件", file=path))

    def _is_own(self, path: Path) -> bool:
        return path.stat().st_size == len(self.data) and path.read_bytes() == self.data


def read_signature(data: bytes, key: bytes) -> Signature:
    """Return what a signature says, after verifying it. key: PEM.

    Raises: SignatureUnreadable for what is no such signature or key; SignatureMismatch when the signature is not the key's.
    """
    # (1) a P-256 key, and a bundle whose signature was made with a key
    public = _public(key)
    payload, signature, hint = _parts(data)
    # (2) the same key, (3) the signature over type and payload
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if hint not in (sha256(pem), ""):
        raise SignatureMismatch(problem=t("it was signed with another key", "它由另一把密钥签名"))
    try:
        public.verify(signature, _encoded(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as cause:
        raise SignatureMismatch(problem=t("the signature is not valid under this key", "签名在该密钥下无效")) from cause
    # (4) a statement of the one kind whose every line is understood, (5) with the digest over its lines
    files, ignored = _statement(payload)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Signature(data=data, key=pem, fingerprint=sha256(der), files=files, ignored=ignored)


def _public(data: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise SignatureUnreadable(problem=t("the public key is no PEM file", "公钥不是 PEM 文件")) from cause
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SignatureUnreadable(problem=t("the public key is no P-256 key", "公钥不是 P-256 密钥"))
    return key


def _parts(data: bytes) -> tuple[bytes, bytes, str]:
    """Return payload, signature and the hint which key it was ("" where an older signer wrote none)."""
    value = _json(data)
    try:
        material, envelope = value["verificationMaterial"], value["dsseEnvelope"]
        if "publicKey" not in material:
            problem = t("it was made with a certificate, not with a key", "它由证书而非密钥签署")
            raise SignatureUnreadable(problem=problem)
        (one,) = envelope["signatures"]
        parts = base64.b64decode(envelope["payload"], validate=True), base64.b64decode(one["sig"], validate=True)
        is_known = envelope["payloadType"] == _PAYLOAD_TYPE
        hint = str(material["publicKey"].get("hint") or "")
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as cause:
        raise SignatureUnreadable(problem=t("it is no sigstore bundle", "它不是 sigstore bundle")) from cause
    if not is_known:
        raise SignatureUnreadable(problem=t("it signs no in-toto statement", "它签署的不是 in-toto 声明"))
    return *parts, hint


def _json(data: bytes) -> Any:  # noqa: ANN401  any JSON value
    if len(data) > LARGEST:
        raise SignatureUnreadable(problem=t("it is too large", "它过大"))
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise SignatureUnreadable(problem=t("it is not JSON, or cut off", "它不是 JSON，或被截断")) from cause


def _encoded(payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _statement(payload: bytes) -> tuple[dict[str, str], frozenset[str]]:
    """Return the signed files by path, and the paths that were left unsigned."""
    value = _json(payload)
    try:
        if (value["_type"], value["predicateType"]) != (_STATEMENT, _PREDICATE):
            raise SignatureUnreadable(problem=t("its statement is of another kind", "其声明属于另一类型"))
        (subject,) = value["subject"]
        how, resources = value["predicate"]["serialization"], value["predicate"]["resources"]
        if how["method"] != "files" or how["hash_type"] != "sha256" or {one["algorithm"] for one in resources} - {"sha256"}:
            raise SignatureUnreadable(problem=t("it does not list whole files by SHA-256", "它没有以 SHA-256 列出完整的文件"))
        files = {_path(one["name"]): one["digest"] for one in resources}
        is_whole = len(files) == len(resources) and all(_DIGEST.fullmatch(digest) for digest in files.values())
        total = hashlib.sha256(b"".join(map(bytes.fromhex, files.values()))).hexdigest()
        ignored = frozenset(map(str, how.get("ignore_paths", ())))
        if not is_whole or subject["digest"]["sha256"] != total:
            raise SignatureUnreadable(problem=t("its statement contradicts itself", "其声明自相矛盾"))
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise SignatureUnreadable(problem=t("its statement is malformed", "其声明格式不对")) from cause
    return files, ignored


def _path(name: str) -> str:
    if not name.isprintable() or not name or name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
        raise SignatureUnreadable(problem=t("it lists a path that no file of a folder has", "它列出了文件夹中不可能有的路径"))
    return name


def _walk(folder: Path, ignored: frozenset[str]) -> Iterator[str]:
    """Yield the path of every file; what is ignored is not looked at, and anything but files and folders is refused."""
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if (inside / name).as_posix() not in ignored]
        for name in (*folders, *names):
            path = (inside / name).as_posix()
            mode = (folder / path).lstat().st_mode
            if path not in ignored and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise SignatureMismatch(problem=t("{file} is no plain file", "{file} 不是普通文件", file=ascii(path)))
        yield from (path for name in names if (path := (inside / name).as_posix()) not in ignored)
