"""`model.sig`: one byte string per signature, and the stock command of the OpenSSF agrees."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ringfence.core.digest import canonical, sha256
from ringfence.core.errors import InvalidSettings, NotCanonical, RingfenceError, SignatureInvalid, WrongSigner
from ringfence.release import openssf
from ringfence.release.verify import verify_bundle

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DIGESTS = {"README.md": sha256(b"card"), "evidence/01-import.dsse.json": sha256(b"one"), "a.json": sha256(b"two")}
STOCK = Path(__file__).parents[3] / ".cache" / "model-signing-venv" / "bin" / "model_signing"


def with_signature(data: bytes, signature: bytes) -> bytes:
    value = json.loads(data)
    value["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return canonical(value)


def signature_of(data: bytes) -> bytes:
    return base64.b64decode(json.loads(data)["dsseEnvelope"]["signatures"][0]["sig"])


@pytest.fixture
def signed(space) -> bytes:
    return openssf.sign(DIGESTS, name="model", key=space.release)


def test_what_was_signed_passes(signed, space):
    openssf.check(signed, digests=DIGESTS, name="model", public=space.pem)


def test_signatures_are_written_with_low_s(space):
    for number in range(20):
        data = openssf.sign(DIGESTS, name=f"model-{number}", key=space.release)
        assert decode_dss_signature(signature_of(data))[1] <= ORDER // 2


def test_the_mirrored_signature_is_refused_although_it_verifies(signed, space):
    r, s = decode_dss_signature(signature_of(signed))
    mirrored = encode_dss_signature(r, ORDER - s)
    payload = base64.b64decode(json.loads(signed)["dsseEnvelope"]["payload"])
    space.release.public_key().verify(mirrored, openssf._encoded(payload), ec.ECDSA(openssf.hashes.SHA256()))
    with pytest.raises(SignatureInvalid):
        openssf.check(with_signature(signed, mirrored), digests=DIGESTS, name="model", public=space.pem)


@pytest.mark.parametrize("signature", [b"", b"\x30\x00", b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\x30\x06\x02\x01\x01\x02\x01\x01"])
def test_a_signature_of_another_shape_is_refused(signed, space, signature):
    with pytest.raises(SignatureInvalid):
        openssf.check(with_signature(signed, signature), digests=DIGESTS, name="model", public=space.pem)


@pytest.mark.parametrize(
    "edit",
    [
        lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
        lambda v: v.update(extra=1),
        lambda v: v["verificationMaterial"].update(tlogEntries=[{}]),
        lambda v: v["dsseEnvelope"].update(payloadType="text/plain"),
        lambda v: v["dsseEnvelope"]["signatures"].append({"sig": "", "keyid": ""}),
        lambda v: v["dsseEnvelope"]["signatures"][0].update(keyid="x"),
        lambda v: v["dsseEnvelope"]["signatures"][0].update(sig=v["dsseEnvelope"]["signatures"][0]["sig"] + "===="),
        lambda v: v["verificationMaterial"]["publicKey"].update(hint=None),
        lambda v: v.pop("dsseEnvelope"),
        lambda v: v["dsseEnvelope"].update(signatures=[]),
        lambda v: v["dsseEnvelope"].update(signatures="é"),
    ],
)
def test_every_other_shape_is_refused(signed, space, edit):
    value = json.loads(signed)
    edit(value)
    with pytest.raises((SignatureInvalid, NotCanonical)):
        openssf.check(canonical(value), digests=DIGESTS, name="model", public=space.pem)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"3", b"{}", b'"text"', b"\xff"])
def test_anything_else_is_not_canonical(space, data):
    with pytest.raises(NotCanonical):
        openssf.check(data, digests=DIGESTS, name="model", public=space.pem)


@pytest.mark.parametrize("digests", [DIGESTS | {"b": sha256(b"")}, {"README.md": sha256(b"card")}, DIGESTS | {"a.json": sha256(b"")}])
def test_other_files_are_refused(signed, space, digests):
    with pytest.raises(SignatureInvalid):
        openssf.check(signed, digests=digests, name="model", public=space.pem)


def test_another_name_is_refused(signed, space):
    with pytest.raises(SignatureInvalid):
        openssf.check(signed, digests=DIGESTS, name="other", public=space.pem)


def test_another_key_is_another_signer(signed, stranger):
    with pytest.raises(WrongSigner):
        openssf.check(signed, digests=DIGESTS, name="model", public=stranger.pem)


@pytest.mark.parametrize("public", ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_key_file_without_a_p256_key_is_said_so(signed, public):
    with pytest.raises(InvalidSettings):
        openssf.check(signed, digests=DIGESTS, name="model", public=public)


# ── the stock command ─────────────────────────────────────────────────────────────────────────────────────────────────


def stock(folder: Path, key: Path) -> subprocess.CompletedProcess:
    command = [STOCK, "verify", "key", folder, "--signature", folder / "model.sig", "--public_key", key]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.full
def test_the_stock_command_verifies_a_bundle_and_finds_what_we_find(bundle, space, stranger, tmp_path):
    if not STOCK.exists():
        pytest.skip(".cache/model-signing-venv is not there: make test-full builds it with model_signing and pyopenssl")
    key, other = tmp_path / "release.pem", tmp_path / "other.pem"
    key.write_text(space.pem)
    other.write_text(stranger.pem)
    assert stock(bundle, key).returncode == 0
    assert stock(bundle, other).returncode != 0
    for path in ("README.md", "manifest.dsse.json", "evidence/05-train.proof"):
        copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
        (copy / path).write_bytes((copy / path).read_bytes() + b" ")
        assert stock(copy, key).returncode != 0
        shutil.rmtree(copy)
    (bundle / "extra").write_bytes(b"")
    assert stock(bundle, key).returncode != 0


@pytest.mark.full
def test_what_the_stock_command_signs_is_the_statement_that_we_rebuild(bundle, space, tmp_path):
    """Only the spelling differs: its payload is indented and lists its own defaults of paths to ignore."""
    if not STOCK.exists():
        pytest.skip(".cache/model-signing-venv is not there: make test-full builds it with model_signing and pyopenssl")
    from cryptography.hazmat.primitives import serialization

    ours = json.loads(base64.b64decode(json.loads((bundle / "model.sig").read_bytes())["dsseEnvelope"]["payload"]))
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(space.release.private_bytes(encoding, kind, serialization.NoEncryption()))
    command = [STOCK, "sign", "key", bundle, "--signature", bundle / "model.sig", "--private_key", tmp_path / "key.pem"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    theirs = json.loads(base64.b64decode(json.loads((bundle / "model.sig").read_bytes())["dsseEnvelope"]["payload"]))
    assert theirs["predicate"]["resources"] == ours["predicate"]["resources"]
    assert theirs["subject"] == ours["subject"]
    with pytest.raises(RingfenceError):  # a good signature in another spelling is not the one that we wrote
        verify_bundle(bundle, space.public)
