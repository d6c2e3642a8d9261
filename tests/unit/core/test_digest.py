"""Canonical JSON: one value, one encoding; everything else is refused."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.digest import canonical, keyed, object_digest, parse_canonical, sha256
from ringfence.core.errors import NotCanonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_from_its_canonical_bytes(value):
    try:
        data = canonical(value)
    except NotCanonical:
        assert any(0xD800 <= ord(c) <= 0xDFFF for c in json.dumps(value, ensure_ascii=False))
        return
    assert parse_canonical(data) == value


@given(VALUES, st.data())
def test_a_flipped_byte_is_refused_or_changes_the_value(value, data):
    try:
        original = bytearray(canonical(value))
    except NotCanonical:
        return
    at = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        got = parse_canonical(bytes(changed))
    except NotCanonical:
        return
    assert canonical(got) != bytes(original)


@pytest.mark.parametrize(
    "data", [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b"[1.0e0]", b'"\\u0061"', b"NaN", b"", b"\xff", b"[" * 100_000]
)
def test_other_encodings_are_refused(data):
    with pytest.raises(NotCanonical):
        parse_canonical(data)


def test_keyed_is_hmac_sha256_truncated():
    assert keyed(b"k", b"d") == hmac.new(b"k", b"d", hashlib.sha256).digest()[:16]


def test_object_digest_depends_on_order_name_size_and_content():
    files = [("000000.shard", 3, sha256(b"abc")), ("index", 1, sha256(b"x"))]
    assert object_digest(files) == sha256(f"000000.shard 3 {sha256(b'abc')}\nindex 1 {sha256(b'x')}\n".encode())
    assert len({object_digest(files), object_digest(files[::-1]), object_digest(files[:1])}) == 3
