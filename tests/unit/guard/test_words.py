"""What counts as the same passage: the same words, whatever their case, accents and layout."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.guard.words import WORD, plain, words_of

TEXT = st.text(max_size=12) | st.text("aé\u0301\u0345ΐ ßİﬁ１½がか\u3099中𠀀ก่ｶﾞ한글ᄀ_-,.\n", max_size=12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Patient, Ada\nWONG-LEE: 38.5°C", ["the", "patient", "ada", "wong", "lee", "38", "5", "c"]),
        ("患者Ada发热３天。", ["患", "者", "ada", "发", "热", "3", "天"]),
        ("naïve ﬁre Straße", ["naive", "fire", "strasse"]),
        ("がくせい ｶﾞｸ", ["か", "く", "せ", "い", "カ", "ク"]),
        ("학생 두 명", [plain("학생"), plain("두"), plain("명")]),
        ("snake_case __ _x", ["snake", "case", "x"]),
        ("— … 。", []),
    ],
)
def test_the_words_of_a_text(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    "other", ["SHE WALKED\n  HOME", "“She” walked… home!", "she　walked home", "Shé walked-home", "she\u00a0walked\thome"]
)
def test_case_accents_layout_and_punctuation_are_no_difference(other):
    assert words_of(other) == words_of("She walked home.")


@settings(max_examples=300)
@given(TEXT, TEXT)
def test_a_text_can_be_folded_piece_by_piece(one, other):
    assert plain(one) + plain(other) == plain(one + other)


@settings(max_examples=300)
@given(TEXT)
def test_folding_what_is_folded_finds_the_same_words(text):
    assert WORD.findall(plain(" ".join(words_of(text)))) == words_of(text)
