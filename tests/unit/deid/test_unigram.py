"""Cutting into word pieces, against every other way to cut, and against the library `tokenizers`."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.unigram import SPACE, Unigram

TEXTS = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    SPACE,
    "a",
    "b",
    "c",
    "ab",
    "bc",
    "abc",
    f"{SPACE}a",
    f"{SPACE}ab",
    "张",
    "伟",
    "张伟",
    f"{SPACE}张",
    ".",
    "cd",
]
SCORES = [0.0, 0.0, 0.0, 0.0] + [-1.5 - 0.731 * (n * 7 % 11) for n in range(len(TEXTS) - 4)]
READ_AS = {"Ａ": "a", "\t": " ", "\u200b": "", "…": "...", "´": " b"}
UNKNOWN, CONTROLS = 3, frozenset({0, 1, 2})
CUTTER = Unigram(TEXTS, SCORES, read_as=READ_AS, unknown=UNKNOWN, controls=CONTROLS)
PROSE = st.text(st.sampled_from("abcdxz张伟王. \tＡ…´\u200b<s>"), max_size=14)


def best(word, scores):
    """The score of the best way to cut a word, by trying every one."""
    known = {text: scores[n] for n, text in enumerate(TEXTS) if n > 3}

    @cache
    def rest(at):
        if at == len(word):
            return 0.0
        ways = [known[word[at:end]] + rest(end) for end in range(at + 1, len(word) + 1) if word[at:end] in known]
        return max([*ways, min(scores) - 10 + rest(at + 1)])

    return rest(0)


def read(text):
    """The text as it is read, by the definition."""
    other = re.sub(" +", " ", "".join(READ_AS.get(character, character) for character in text))
    return (other if other[:1] == " " else f" {other}").replace(" ", SPACE)


def score(number, scores=SCORES):
    return min(scores) - 10 if number == UNKNOWN else scores[number]


@given(PROSE | st.text("abcd", max_size=8), st.lists(st.floats(-9, -0.5), min_size=len(TEXTS), max_size=len(TEXTS)))
def test_no_other_way_to_cut_has_a_greater_score(text, scores):
    cutter = Unigram(TEXTS, scores, read_as=READ_AS, unknown=UNKNOWN, controls=CONTROLS)
    assert sum(score(piece.number, scores) for piece in cutter.cut(text)) == pytest.approx(best(read(text), scores))


@given(PROSE)
def test_the_pieces_are_those_of_the_library_tokenizers(text):
    tokenizers = pytest.importorskip("tokenizers")
    oracle = tokenizers.Tokenizer(tokenizers.models.Unigram(list(zip(TEXTS, SCORES, strict=True)), UNKNOWN))
    wanted = [n for n in oracle.encode(read(text)).ids if n > 2]
    if "<s>" in text:  # to the library it is a piece
        return
    ours = [piece.number for piece in CUTTER.cut(text)]
    fused = [n for at, n in enumerate(ours) if n != UNKNOWN or ours[at - 1 : at] != [UNKNOWN]]  # it makes one of unknown neighbours
    assert [score(n) for n in fused] == pytest.approx([score(n) for n in wanted])


@given(PROSE, st.booleans())
def test_the_pieces_stand_for_every_character_that_is_read_in_order(text, han_apart):
    pieces = CUTTER.cut(text, han_apart=han_apart)
    at = 0
    for piece in pieces:
        assert at <= piece.start + 1  # two pieces may come of one character
        assert 0 <= piece.start <= piece.end <= len(text)
        at = piece.end
    covered = {n for piece in pieces for n in range(piece.start, piece.end)}
    assert {n for n, character in enumerate(text) if READ_AS.get(character, character).strip(" ")} <= covered


@given(PROSE)
def test_what_a_piece_stands_for_reads_as_the_piece(text):
    for piece in CUTTER.cut(text):
        if piece.number != UNKNOWN:
            inside = "".join(READ_AS.get(character, character) for character in text[piece.start : piece.end])
            assert TEXTS[piece.number].removeprefix(SPACE) in inside


def test_chinese_characters_are_cut_apart_when_asked():
    pieces = CUTTER.cut("ab张伟c", han_apart=True)
    assert [(TEXTS[n], "ab张伟c"[a:b]) for n, a, b in pieces] == [(f"{SPACE}ab", "ab"), ("张", "张"), ("伟", "伟"), ("c", "c")]
    assert "张伟" in [TEXTS[n] for n, _, _ in CUTTER.cut("ab张伟c")]


def test_a_piece_that_stands_for_no_text_is_never_cut_out_of_one():
    assert {piece.number for piece in CUTTER.cut("<s><pad></s>")} & CONTROLS == set()


def test_a_piece_across_a_space_is_refused():
    with pytest.raises(ValueError):
        Unigram([*TEXTS, f"a{SPACE}b"], [*SCORES, -1.0], read_as={}, unknown=UNKNOWN, controls=CONTROLS)


def test_an_unknown_character_is_the_last_resort():
    """Two pieces of the least scores are better than a good one and a character that is none."""
    given_ = {SPACE: -0.5, "abc": -0.5, "ab": -8.0, "cd": -8.0}
    cutter = Unigram(TEXTS, [given_.get(text, -9.0) for text in TEXTS], read_as={}, unknown=UNKNOWN, controls=CONTROLS)
    assert [TEXTS[piece.number] for piece in cutter.cut("abcd")] == [SPACE, "ab", "cd"]
    assert [TEXTS[piece.number] for piece in cutter.cut("abd")] == [SPACE, "ab", "<unk>"]
