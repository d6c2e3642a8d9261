from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope

from ringfence.core.digest import canonical, sha256
from ringfence.core.errors import InvalidSettings, NotCanonical, RingfenceError, SignatureInvalid
from ringfence.ledger.dsse import ed25519_public, key_id, sign, verify

TYPE = "application/vnd.in-toto+json"
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))
PUBLIC = KEY.public_key()
PAYLOAD = b'{"a":[1,2,3]}'
GOOD = sign(PAYLOAD, TYPE, KEY)


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_payload_comes_back(payload, payload_type):
    assert verify(sign(payload, payload_type, KEY), payload_type, PUBLIC) == payload


def test_the_signature_is_over_the_specified_encoding():
    # github.com/secure-systems-lab/dsse protocol.md, test vector of PAE
    envelope = json.loads(sign(b"hello world", "http://example.com/HelloWorld", KEY))
    KEY.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")
    assert envelope["signatures"][0]["keyid"] == key_id(PUBLIC) == sha256(PUBLIC.public_bytes_raw())
    assert Envelope.from_dict(envelope).payload == b"hello world"


def test_no_flipped_byte_verifies():
    accepted = 0
    for at in range(len(GOOD)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            try:
                verify(GOOD[:at] + bytes([GOOD[at] ^ mask]) + GOOD[at + 1 :], TYPE, PUBLIC)
            except (NotCanonical, SignatureInvalid):
                continue
            accepted += 1
    assert accepted == 0


def test_no_cut_or_longer_envelope_verifies():
    for wrong in [GOOD[:at] for at in range(len(GOOD))] + [GOOD + b" ", GOOD + b"\n", b" " + GOOD]:
        with pytest.raises(NotCanonical):
            verify(wrong, TYPE, PUBLIC)


def changed(**parts):
    return canonical(json.loads(GOOD) | parts)


SIGNATURE = json.loads(GOOD)["signatures"][0]
B64 = json.loads(GOOD)["payload"]


@pytest.mark.parametrize(
    "envelope",
    [
        changed(signatures=[]),
        changed(signatures=[SIGNATURE, SIGNATURE]),
        changed(signatures=[SIGNATURE, json.loads(sign(PAYLOAD, TYPE, OTHER))["signatures"][0]]),
        changed(signatures={"keyid": SIGNATURE}),
        changed(signatures="s"),
        changed(signatures=[SIGNATURE | {"extra": 1}]),
        changed(signatures=[{"sig": SIGNATURE["sig"]}]),
        changed(signatures=[SIGNATURE | {"sig": SIGNATURE["sig"] + "\n"}]),
        changed(signatures=[SIGNATURE | {"sig": SIGNATURE["sig"].rstrip("=")}]),
        changed(signatures=[SIGNATURE | {"sig": SIGNATURE["sig"].replace("+", "-").replace("/", "_") + "-"}]),
        changed(signatures=[SIGNATURE | {"sig": 1}]),
        changed(payload=B64 + "\n"),
        changed(payload=B64 + "===="),
        changed(payload=B64[:4] + " " + B64[4:]),
        changed(payload=B64.rstrip("=")),
        changed(payload=B64[:-3] + chr(ord(B64[-3]) + 1) + "=="),  # trailing bits
        changed(payload=7),
        changed(payload="é"),
        changed(extra=1),
        canonical([1]),
        canonical({}),
        b"null",
        json.dumps(json.loads(GOOD)).encode(),
        GOOD.replace(b'{"payload"', b'{"payload":"AA==","payload"'),
        b"[" * 100_000,
        b"",
    ],
)
def test_a_second_spelling_is_refused(envelope):
    assert B64.endswith("==")
    with pytest.raises(NotCanonical):
        verify(envelope, TYPE, PUBLIC)


@pytest.mark.parametrize(
    "envelope",
    [
        sign(PAYLOAD, TYPE, OTHER),
        sign(PAYLOAD, "text/plain", KEY),
        changed(payload=base64.b64encode(b"other").decode()),
        changed(signatures=[SIGNATURE | {"keyid": key_id(OTHER.public_key())}]),
        changed(signatures=[SIGNATURE | {"sig": json.loads(sign(PAYLOAD, TYPE, OTHER))["signatures"][0]["sig"]}]),
        changed(signatures=[SIGNATURE | {"sig": ""}]),
        changed(signatures=[SIGNATURE | {"sig": "AAAA"}]),
    ],
)
def test_another_signer_type_or_payload_is_refused(envelope):
    with pytest.raises(SignatureInvalid):
        verify(envelope, TYPE, PUBLIC)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_coded_error(data):
    with pytest.raises(RingfenceError):
        verify(data, TYPE, PUBLIC)


def test_a_public_key_is_read_from_hex():
    assert ed25519_public(PUBLIC.public_bytes_raw().hex()) == PUBLIC


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "AA" * 32, " " + "11" * 32, "11" * 33])
def test_any_other_spelling_of_a_key_is_refused(text):
    with pytest.raises(InvalidSettings):
        ed25519_public(text)
