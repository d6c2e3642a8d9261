"""Folding, against one character at a time."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.fold import _tables, fold

ODD = st.text(st.sampled_from("1３八Ａａ＠．－：，。①⑩㎏½\u200b\u00ad\ufe0f\u202e𝟏𝟗٣é京 \t\ud800\U000e0041℡ſK"))


@given(st.one_of(st.text(), ODD))
def test_folding_all_is_folding_each(text):
    pieces = [fold(c).text for c in text]
    folded = fold(text)
    assert folded.text == "".join(pieces)
    origin = [i for i, piece in enumerate(pieces) for _ in piece]
    assert [folded.original(i, i + 1) for i in range(len(folded.text))] == [(i, i + 1) for i in origin]


@given(st.one_of(st.text(), ODD))
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text).text).text == fold(text).text


@given(st.characters())
def test_ascii_comes_from_nfkc_decimal_digits_hyphens_or_nothing(character):
    folded = fold(character).text
    digit = unicodedata.decimal(character, None)
    allowed = {character, unicodedata.normalize("NFKC", character), "", "-", "" if digit is None else str(digit)}
    assert folded in allowed


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("１３８００１３８０００", "13800138000"),
        ("bob＠corp．com", "bob@corp.com"),
        ("138\u200b0013\u00ad8000", "13800138000"),
        ("𝟏𝟑𝟖٠٠", "13800"),
        ("电话：，。（）", "电话:，。（）"),
        ("⑩京Ａ", "10京A"),
        ("2–3－4", "2-3-4"),
        ("a\u3000b", "a b"),
        ("", ""),
    ],
)
def test_known_spellings(text, folded):
    assert fold(text).text == folded


def test_the_way_back_covers_what_was_removed_inside_a_span():
    text = "手机138\u200b0013\u200b8000。"
    folded = fold(text)
    start, end = folded.original(2, 13)
    assert text[start:end] == "138\u200b0013\u200b8000"


def test_the_table_touches_no_ascii():
    single, several = _tables()
    assert single[:128].tolist() == list(range(128))
    assert min(several) >= 128
