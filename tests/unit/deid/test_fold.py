"""Folding, against one character at a time."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.fold import _by_character, _may_fold, _tables, fold

ODD = st.text(st.sampled_from("1３八Ａａ＠．－：，。①⑩㎏½\u200b\u00ad\ufe0f\u202e𝟏𝟗٣é京 \t\ud800\U000e0041℡ſK"))

SPELT = st.text(st.sampled_from("1389 零一八-[](at)dot点@.#x，\x00"), max_size=60)


@given(st.one_of(st.text(), ODD))
def test_folding_all_is_folding_each(text):
    pieces = [_by_character(c)[0].text for c in text]
    folded = _by_character(text)[0]
    assert folded.text == "".join(pieces)
    origin = [i for i, piece in enumerate(pieces) for _ in piece]
    assert [folded.original(i, i + 1) for i in range(len(folded.text))] == [(i, i + 1) for i in origin]


@given(st.one_of(st.text(), ODD, SPELT))
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
        ("电话一三八零零一三八零零零。", "电话13800138000。"),
        ("壹叁捌 零零壹叁 捌零零零", "138 0013 8000"),
        ("一 三 八 零 零 一 三 八 零 零 零", "13800138000"),
        ("138零零一三八000", "13800138000"),
        ("1 3 8 0 0 1 3 8 0 0 0", "13800138000"),
        ("12 1 3 8 0 0 1 3 8 0 0 0 x", "12 13800138000 x"),
        ("１ ３ ８ ０ ０ １ ３ ８ ０ ０ ０", "13800138000"),
        ("bob [at] corp [dot] com", "bob@corp.com"),
        ("bob(AT)corp.com, eve#at#corp点com", "bob@corp.com, eve@corp点com"),
        ("eve at corp{点}com", "eve at corp.com"),
        (
            "13800138000一个、二〇二三年、一二三四五六",
            "13800138000一个、二〇二三年、一二三四五六",
        ),  # fewer than seven, or mostly not Chinese
        ("rows 1 2 3 4 5 6; arr[at]", "rows 1 2 3 4 5 6; arr[at]"),
    ],
)
def test_known_spellings(text, folded):
    assert fold(text).text == folded


def test_the_way_back_covers_what_was_removed_inside_a_span():
    text = "手机138\u200b0013\u200b8000。"
    folded = fold(text)
    start, end = folded.original(2, 13)
    assert text[start:end] == "138\u200b0013\u200b8000"


@pytest.mark.parametrize(
    ("text", "start", "end", "original"),
    [
        ("电话一 三 八 零 零 一 三 八 零 零 零。", 2, 13, "一 三 八 零 零 一 三 八 零 零 零"),
        ("写给 bob [at] corp [dot] com 。", 3, 15, "bob [at] corp [dot] com"),
        ("\u200b写给\u200b１ 3 8 0 0 1 3 8 0 0 0\u200b号", 2, 13, "１ 3 8 0 0 1 3 8 0 0 0"),
    ],
)
def test_the_way_back_from_what_was_spelt_out(text, start, end, original):
    first, last = fold(text).original(start, end)
    assert text[first:last] == original


@given(SPELT)
def test_the_origin_of_every_folded_character_is_in_order(text):
    folded = fold(text)
    places = [folded.original(i, i + 1)[0] for i in range(len(folded.text))]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    assert fold(folded.text).text.count("\x00") == text.count("\x00")


@given(SPELT, SPELT)
def test_a_text_is_folded_the_same_in_any_company(text, other):
    assert fold(f"{other}\x00{text}\x00{other}").text.split("\x00")[1 + other.count("\x00") :][: text.count("\x00") + 1] == fold(
        text
    ).text.split("\x00")


@given(st.one_of(st.text(), ODD, SPELT))
def test_a_short_text_is_folded_as_a_long_one(text):
    beyond = "\x00" + "x" * 256
    folded = fold(text)
    assert folded.text + beyond == fold(text + beyond).text


def test_every_character_that_folds_alone_is_looked_for():
    single, several = _tables()
    folding = {*several, *np.flatnonzero(single != np.arange(len(single))).tolist()}
    assert all(_may_fold().search(chr(code)) for code in folding)


def test_the_table_touches_no_ascii():
    single, several = _tables()
    assert single[:128].tolist() == list(range(128))
    assert min(several) >= 128


@given(st.lists(st.sampled_from([*"éüñễẹǖốÅ", "a", "1", " ", "张", "\\n", "&#233;", "%C3%A9", "\u0301", "\u0323"]), max_size=12))
def test_letters_with_accents_behind_them_fold_as_one_character_and_know_where_they_stand(pieces):
    pieces = [unicodedata.normalize("NFC", piece) for piece in pieces]
    parted = [unicodedata.normalize("NFD", piece) for piece in pieces]
    if not any(piece in "\u0301\u0323" for piece in pieces):
        assert fold("".join(parted)).text == fold("".join(pieces)).text
        text, at = "".join(parted), 0
        for piece in parted:
            if len(unicodedata.normalize("NFC", piece)) == 1:
                (place,) = fold(text).places([at])
                assert fold(text).original(place, place + 1) == (at, at + len(piece))
            at += len(piece)
    once = fold("".join(parted)).text
    assert fold(once).text == once


def test_forms_of_chinese_characters_that_pdf_files_hold():
    assert fold("⽅⾦\uf90a").text == "方金金"
    assert fold("e" + "\u0301" * 5).text == "é" + "\u0301" * 4
    assert fold("\u0301e").text == "\u0301e"
    assert fold("a\\n\u0301b").text == "a\n\u0301b"
