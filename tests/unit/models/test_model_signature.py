"""A publisher's signature: what it covers is registered, anything else is refused before it is stored, and the store can be checked again."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ringfence.core.digest import canonical, sha256
from ringfence.core.errors import ModelBroken, ModelUnsupported, SignatureMismatch, SignatureUnreadable, UnsafeFile
from ringfence.models import store
from ringfence.models.signature import LARGEST, read_signature
from tests.unit.models.model_parts import write_folder
from tests.unit.models.signing_parts import bundle, pem, sign, statement

STOCK = Path(__file__).parents[3] / ".cache" / "model-signing-venv" / "bin" / "model_signing"
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path):
    """A publisher's folder: what a base model has, and a picture and pickled weights beside it."""
    made = write_folder(tmp_path / "m", LICENSE=b"x", pytorch_model__bin=b"\x80\x04")
    (made / "figures").mkdir()
    (made / "figures" / "loss.png").write_bytes(b"png")
    return made


def register(folder, data=None, key=None):
    return store.register(folder, "tiny", signature=read_signature(data or sign(folder, KEY), key or pem(KEY)))


def is_empty(where):
    return not where.exists() or not list(where.iterdir())


# ── what is accepted ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_signed_folder_is_registered_with_its_signer(folder, where):
    data = sign(folder, KEY)
    entry = register(folder, data)
    der = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert entry.signature.fingerprint == sha256(der)
    assert entry.signature.file == sha256(data)
    assert entry.signature.left_out == ("figures/loss.png", "pytorch_model.bin")
    assert [file.name for file in entry.files] == ["LICENSE", "config.json", "model.safetensors", "tokenizer.json"]
    assert {one.rule: one.outcome for one in entry.verdict}["signature"] == "pass"
    assert (where / f"{entry.digest}.sig").read_bytes() == data
    assert store.verify("tiny") == store.verify("tiny", public=pem(KEY)) == entry


@pytest.mark.parametrize("indent", [None, 2, 4])
@pytest.mark.parametrize("hint", [None, ""])
def test_other_spellings_of_the_same_statement_are_read(folder, indent, hint):
    value = bundle(dict(reversed(statement(folder).items())), KEY, indent=indent, hint=hint)
    assert register(folder, json.dumps(value, indent=indent).encode()).signature


def test_the_signature_may_lie_in_the_folder_and_is_not_kept_there(folder):
    data = sign(folder, KEY)
    (folder / "publisher.sig").write_bytes(data)
    assert "publisher.sig" not in [file.name for file in register(folder, data).files]
    for other in (data + b" ", data[:-1] + b" "):
        (folder / "publisher.sig").write_bytes(other)
        with pytest.raises(SignatureMismatch, match=r"publisher\.sig"):
            register(folder, data)


def test_what_the_publisher_left_unsigned_is_never_stored(folder):
    (folder / ".gitattributes").write_bytes(b"unsigned")
    (folder / ".git").mkdir()
    (folder / ".git" / "hook.py").write_bytes(b"unsigned")
    assert ".gitattributes" not in [file.name for file in register(folder).files]
    with pytest.raises(ModelUnsupported):  # not even weights
        register(folder, sign(folder, KEY, ignored=("model.safetensors", ".git", ".gitattributes")))


def test_a_later_import_without_a_signature_keeps_it(folder, tmp_path):
    first = register(folder)
    again = store.register(first.path, "renamed", provenance="the same again")
    assert (again.signature, again.digest, again.provenance) == (first.signature, first.digest, "the same again")
    assert store.verify("renamed", public=pem(KEY)) == again


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


def change(folder, fault):
    weights = folder / "model.safetensors"
    if fault == "weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elif fault == "left out":
        (folder / "figures" / "loss.png").write_bytes(b"gnp")
    elif fault == "missing":
        (folder / "LICENSE").unlink()
    elif fault == "extra":
        (folder / "vocab.json").write_text("{}")
    elif fault == "extra below":
        (folder / "figures" / "x.bin").write_bytes(b"")
    elif fault == "renamed":
        (folder / "LICENSE").rename(folder / "NOTICE")
    elif fault == "link":
        weights.rename(folder.parent / "elsewhere")
        weights.symlink_to(folder.parent / "elsewhere")
    elif fault == "linked folder":
        (folder / "figures").rename(folder.parent / "elsewhere")
        (folder / "figures").symlink_to(folder.parent / "elsewhere")
    else:
        os.mkfifo(folder / "pipe")


@pytest.mark.parametrize("fault", ["weights", "left out", "missing", "extra", "extra below", "renamed", "link", "linked folder", "pipe"])
def test_any_other_folder_is_refused_and_nothing_is_stored(folder, where, fault):
    data = sign(folder, KEY)
    change(folder, fault)
    with pytest.raises(SignatureMismatch):
        register(folder, data)
    assert is_empty(where)


def test_another_key_and_a_forged_signature_are_refused(folder):
    data = sign(folder, KEY)
    with pytest.raises(SignatureMismatch, match="another key"):
        register(folder, data, pem(OTHER))
    value = bundle(statement(folder), OTHER)
    value["verificationMaterial"]["publicKey"]["hint"] = bundle(statement(folder), KEY)["verificationMaterial"]["publicKey"]["hint"]
    with pytest.raises(SignatureMismatch, match="not valid"):
        register(folder, json.dumps(value).encode())
    value = json.loads(data)
    (folder / "LICENSE").write_bytes(b"y")
    value["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement(folder)).encode()).decode()
    with pytest.raises(SignatureMismatch, match="not valid"):
        register(folder, json.dumps(value).encode())


STATEMENTS = {
    "kind": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "predicate": lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
    "shards": lambda s: s["predicate"]["serialization"].update(method="shards"),
    "hash": lambda s: s["predicate"]["serialization"].update(hash_type="blake3"),
    "hash of one": lambda s: s["predicate"]["resources"][0].update(algorithm="blake2b"),
    "subject": lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "subjects": lambda s: s["subject"].append(s["subject"][0]),
    "twice": lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
    "digest": lambda s: s["predicate"]["resources"][0].update(digest="zz"),
    "parent": lambda s: s["predicate"]["resources"][0].update(name="../config.json"),
    "absolute": lambda s: s["predicate"]["resources"][0].update(name="/config.json"),
    "control": lambda s: s["predicate"]["resources"][0].update(name="a\x1b[2Jb"),
    "no resources": lambda s: s["predicate"].pop("resources"),
    "resources": lambda s: s["predicate"].update(resources=[3]),
    "predicate gone": lambda s: s.update(predicate=None),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_well_signed_statement_that_is_not_understood_is_refused(folder, case):
    said = statement(folder)
    STATEMENTS[case](said)
    with pytest.raises(SignatureUnreadable):
        read_signature(json.dumps(bundle(said, KEY)).encode(), pem(KEY))


BUNDLES = {
    "certificate": lambda v: v.update(verificationMaterial={"certificate": {"rawBytes": ""}}),
    "payload type": lambda v: v["dsseEnvelope"].update(payloadType="text/plain"),
    "two signatures": lambda v: v["dsseEnvelope"]["signatures"].append({"sig": ""}),
    "base64": lambda v: v["dsseEnvelope"].update(payload="é"),
    "no envelope": lambda v: v.pop("dsseEnvelope"),
    "no material": lambda v: v.update(verificationMaterial=None),
    "hint": lambda v: v["verificationMaterial"].update(publicKey=3),
}


@pytest.mark.parametrize("case", BUNDLES)
def test_another_bundle_is_refused(folder, case):
    value = bundle(statement(folder), KEY)
    BUNDLES[case](value)
    with pytest.raises(SignatureUnreadable):
        read_signature(json.dumps(value).encode(), pem(KEY))


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"\xff", b"[" * 100_000, b"null"])
def test_anything_else_is_no_signature(data):
    with pytest.raises(SignatureUnreadable):
        read_signature(data, pem(KEY))


def test_a_signature_that_is_cut_off_or_endless_is_refused(folder):
    data = sign(folder, KEY)
    for cut in (1, len(data) // 2, len(data) - 1):
        with pytest.raises(SignatureUnreadable, match="JSON"):
            read_signature(data[:cut], pem(KEY))
    with pytest.raises(SignatureUnreadable, match="large"):
        read_signature(b" " * (LARGEST + 1), pem(KEY))


def test_only_p256_keys_are_read(folder):
    larger, otherwise = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)
    data = json.dumps(bundle(statement(folder), larger)).encode()
    for key in (pem(larger), pem(otherwise), b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(SignatureUnreadable, match="key"):
            read_signature(data, key)


def test_a_signature_excuses_nothing_that_is_refused_otherwise(tmp_path, where):
    folder = write_folder(tmp_path / "m", config__json={"model_type": "llama", "auto_map": {}})
    with pytest.raises(UnsafeFile):
        register(folder)
    assert is_empty(where)


def test_a_signature_that_was_not_named_is_pointed_out(tmp_path):
    folder = write_folder(tmp_path / "m", model__sig=b"{}")
    with pytest.raises(UnsafeFile) as caught:
        store.register(folder, "tiny")
    assert "--signature" in caught.value.facts["reason"]


# ── the store, looked at again ────────────────────────────────────────────────────────────────────────────────────────


def edit_entry(where, entry, **changes):
    path = where / f"{entry.digest}.json"
    path.write_bytes(canonical(json.loads(path.read_bytes()) | changes))


def resign(where, entry, key):
    """What somebody does who may write to the store: sign the stored files, and name themselves the publisher."""
    data = sign(entry.path, key)
    (where / f"{entry.digest}.sig").write_bytes(data)
    (where / f"{entry.digest}.pem").write_bytes(pem(key))
    return data


TAMPERED = {
    "signature cut": lambda where, entry: (where / f"{entry.digest}.sig").write_bytes(b"{"),
    "signature gone": lambda where, entry: (where / f"{entry.digest}.sig").unlink(),
    "key exchanged": lambda where, entry: (where / f"{entry.digest}.pem").write_bytes(pem(OTHER)),
    "key gone": lambda where, entry: (where / f"{entry.digest}.pem").unlink(),
    "signed anew": lambda where, entry: resign(where, entry, OTHER),
    "signed anew by the same": lambda where, entry: resign(where, entry, KEY),
    "left out": lambda where, entry: edit_entry(where, entry, signature={**entry.signature.model_dump(mode="json"), "left_out": []}),
    "fingerprint": lambda where, entry: edit_entry(
        where, entry, signature={**entry.signature.model_dump(mode="json"), "fingerprint": "0" * 64}
    ),
    "weights": lambda _, entry: (entry.path / "model.safetensors").write_bytes(b""),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_verify_finds_what_was_changed(folder, where, case):
    entry = register(folder)
    TAMPERED[case](where, entry)
    with pytest.raises(ModelBroken):
        store.verify("tiny")


def test_files_exchanged_together_with_their_entry_do_not_fit_the_signature(folder, where, tmp_path):
    entry = register(folder)
    other = store.register(write_folder(tmp_path / "n", LICENSE=b"other"), "other")
    for suffix in (".sig", ".pem"):
        shutil.copy(where / f"{entry.digest}{suffix}", where / f"{other.digest}{suffix}")
    edit_entry(where, other, signature=entry.signature.model_dump(mode="json"))
    with pytest.raises(ModelBroken):
        store.verify("other")


def test_the_key_that_the_user_brings_finds_a_publisher_exchanged_in_the_store(folder, where):
    entry = register(folder)
    data = resign(where, entry, OTHER)
    forged = store.register(entry.path, "tiny", signature=read_signature(data, pem(OTHER)))
    assert store.verify("tiny") == forged  # whoever writes to the store can do that
    with pytest.raises(SignatureMismatch):
        store.verify("tiny", public=pem(KEY))
    store.register(write_folder(folder.parent / "n"), "plain")
    with pytest.raises(SignatureMismatch, match="without a signature"):
        store.verify("plain", public=pem(KEY))


# ── the stock command ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stock(folder, tmp_path):
    """Return a function that runs the stock command on the folder, and the paths of signature and keys."""
    if not STOCK.exists():
        pytest.skip(".cache/model-signing-venv is not there: make test-full builds it with model_signing and pyopenssl")
    (tmp_path / "public.pem").write_bytes(pem(KEY))
    private = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "private.pem").write_bytes(private)

    def call(verb, *more):
        key = ("--private_key", tmp_path / "private.pem") if verb == "sign" else ("--public_key", tmp_path / "public.pem")
        command = [STOCK, verb, "key", folder, "--signature", tmp_path / "m" / "model.sig", *key, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).returncode

    return call


@pytest.mark.full
def test_what_the_stock_command_signs_is_registered(stock, folder):
    assert stock("sign") == 0
    entry = register(folder, (folder / "model.sig").read_bytes())
    assert entry.signature.left_out == ("figures/loss.png", "pytorch_model.bin")
    assert store.verify("tiny", public=pem(KEY)) == entry


@pytest.mark.full
@pytest.mark.parametrize("fault", ["weights", "left out", "missing", "extra", "extra below", "renamed"])
def test_the_stock_command_and_we_refuse_the_same_folders(stock, folder, fault):
    data = sign(folder, KEY)
    (folder / "model.sig").write_bytes(data)
    assert stock("verify") == 0  # it reads what our signer in the tests writes, so that its refusals below are about the folder
    change(folder, fault)
    assert stock("verify") != 0
    with pytest.raises(SignatureMismatch):
        register(folder, data)
