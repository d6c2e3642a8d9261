from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import SignatureInvalid
from ringfence.ledger.checkpoint import Checkpoint
from ringfence.ledger.notes import key_id, sign_note, verify_note

# golang.org/x/mod/sumdb/note, package documentation
GO_NAME = "PeterNeumann"
GO_KEY = Ed25519PrivateKey.from_private_bytes(base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:])
GO_PUBLIC = Ed25519PublicKey.from_public_bytes(base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:])
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))


def test_the_published_note_is_signed_and_verified_byte_for_byte():
    assert key_id(GO_NAME, GO_PUBLIC).hex() == "c74f20a3"
    assert sign_note(GO_TEXT, name=GO_NAME, key=GO_KEY) == GO_NOTE
    assert verify_note(GO_NOTE, name=GO_NAME, public=GO_PUBLIC) == GO_TEXT


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1))
def test_any_printable_text_comes_back(lines):
    text = "\n".join(lines) + "\n"
    assert verify_note(sign_note(text, name="a.example/b", key=KEY), name="a.example/b", public=KEY.public_key()) == text


def test_no_flipped_byte_verifies():
    for at in range(len(GO_NOTE)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            changed = GO_NOTE[:at] + bytes([GO_NOTE[at] ^ mask]) + GO_NOTE[at + 1 :]
            with pytest.raises(SignatureInvalid):
                verify_note(changed, name=GO_NAME, public=GO_PUBLIC)


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n[:0],
        lambda n: n[:-1],
        lambda n: n + b"\n",
        lambda n: n + b"x",
        lambda n: b"\n" + n,
        lambda n: n.replace(b"\n\n", b"\n"),
        lambda n: n.replace(b"=\n", b"\n"),
        lambda n: n.replace("— ".encode(), b"- "),
        lambda n: n.replace(b"AM=", b"AN="),  # trailing bits that are not zero
        lambda n: n.replace(b"\n", b"\r\n"),
        lambda n: n.replace(b" x08", b"  x08"),
        lambda n: n[: n.index("—".encode())],
        lambda n: GO_TEXT.encode() * 2000 + n,
        lambda n: b"\xff" + n,
    ],
)
def test_a_malformed_note_is_refused(change):
    with pytest.raises(SignatureInvalid):
        verify_note(change(GO_NOTE), name=GO_NAME, public=GO_PUBLIC)


def test_signatures_of_other_keys_are_passed_over_and_never_enough():
    text = "one\n"
    mine, foreign = (sign_note(text, name="log", key=k).split(b"\n\n")[1] for k in (KEY, OTHER))
    witness = sign_note(text, name="witness", key=KEY).split(b"\n\n")[1]
    assert verify_note(b"one\n\n" + witness + foreign + mine, name="log", public=KEY.public_key()) == text
    for lines in (foreign, witness, foreign + witness):
        with pytest.raises(SignatureInvalid):
            verify_note(b"one\n\n" + lines, name="log", public=KEY.public_key())


def test_one_bad_signature_by_the_key_spoils_the_note():
    good = sign_note("one\n", name="log", key=KEY)
    bad = sign_note("two\n", name="log", key=KEY).split(b"\n\n")[1]
    with pytest.raises(SignatureInvalid):
        verify_note(good + bad, name="log", public=KEY.public_key())


@pytest.mark.parametrize(
    ("text", "name"), [("no newline", "a"), ("tab\t\n", "a"), ("x\n", ""), ("x\n", "a b"), ("x\n", "a+b"), ("x\n", "a\u3000b")]
)
def test_what_cannot_stand_in_a_note_is_refused(text, name):
    with pytest.raises(ValueError):
        sign_note(text, name=name, key=KEY)


def test_a_note_of_more_than_64_kib_is_not_read():
    note = sign_note("x" * 65_000 + "\n", name="log", key=KEY)
    assert verify_note(note, name="log", public=KEY.public_key())
    with pytest.raises(SignatureInvalid):
        verify_note(sign_note("x" * 66_000 + "\n", name="log", key=KEY), name="log", public=KEY.public_key())


def test_a_checkpoint_comes_back():
    checkpoint = Checkpoint("a/b", 12, bytes(range(32)))
    assert Checkpoint.verify(checkpoint.sign(KEY), origin="a/b", public=KEY.public_key()) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "a/b\n1\n",
        "a/b\n01\n{root}\n",
        "a/b\n-1\n{root}\n",
        "a/b\n+1\n{root}\n",
        "a/b\n1_0\n{root}\n",
        "a/b\n١\n{root}\n",
        "a/b\n1\nAAAA\n",
        "a/b\n1\n{root}\nextension\n",
        "a/c\n1\n{root}\n",
        "a/b\n1\n{root} \n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text):
    note = sign_note(text.format(root=base64.b64encode(bytes(32)).decode()), name="a/b", key=KEY)
    with pytest.raises(SignatureInvalid):
        Checkpoint.verify(note, origin="a/b", public=KEY.public_key())
