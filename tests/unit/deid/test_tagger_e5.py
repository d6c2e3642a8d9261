"""What the encoder's scores are made into, and which texts it is asked about."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import TaggerMissing, UnknownPart
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.namer import Namer
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import BOTH, NAMED, TAGGERS
from ringfence.deid.taggers.e5 import decoded, names, seven_bits, words
from ringfence.deid.unigram import Piece

TAGS = ("O", "BP", "IP", "BO", "IO", "BL", "IL")


def is_allowed(path):
    before = "O"
    for tag in path:
        if tag[0] == "I" and before[1:] != tag[1]:
            return False
        before = tag
    return True


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_tags_are_the_best_of_all_that_make_sense(seed, length):
    scores = np.random.default_rng(seed).normal(size=(length, len(TAGS))).astype(np.float32)
    ways = [path for path in product(range(len(TAGS)), repeat=length) if is_allowed([TAGS[n] for n in path])]
    wanted = max(ways, key=lambda path: sum(scores[at, n] for at, n in enumerate(path)))
    assert decoded(scores, TAGS) == [TAGS[n] for n in wanted]


def test_no_scores_are_no_tags():
    assert decoded(np.zeros((0, 7), np.float32), TAGS) == []


def pieces(*bounds):
    return [Piece(5, a, b) for a, b in bounds]


def test_a_name_is_what_its_first_piece_and_those_that_go_on_stand_for():
    text = "Ann Lee at Acme, 张伟"
    cut = pieces((0, 3), (4, 7), (8, 10), (11, 15), (15, 16), (17, 17), (17, 18), (18, 19))
    tags = ["BP", "IP", "O", "BO", "O", "O", "BP", "IP"]
    assert names(text, cut, tags) == [Span(0, 7, PERSON, NAMED), Span(11, 15, ORGANISATION, NAMED), Span(17, 19, PERSON, NAMED)]


def test_neighbours_that_begin_anew_are_two_names():
    assert names("张伟李明", pieces((0, 1), (1, 2), (2, 3), (3, 4)), ["BP", "IP", "BP", "IP"]) == [
        Span(0, 2, PERSON, NAMED),
        Span(2, 4, PERSON, NAMED),
    ]


def test_half_a_word_is_drawn_out_to_the_whole_but_a_chinese_one_is_not():
    assert names("met Schmidtke.", pieces((4, 8), (8, 13)), ["BP", "O"]) == [Span(4, 13, PERSON, NAMED)]
    assert names("met Schmidtke.", pieces((4, 8), (8, 13)), ["O", "BL"]) == [Span(4, 13, LOCATION, NAMED)]
    assert names("患者张伟来", pieces((2, 3), (3, 4)), ["BP", "IP"]) == [Span(2, 4, PERSON, NAMED)]
    assert names("患者Ann来", pieces((2, 4)), ["BP"]) == [Span(2, 5, PERSON, NAMED)]


def test_two_tags_in_one_word_are_one_name():
    assert names("Schmidtke", pieces((0, 4), (4, 9)), ["BP", "BL"]) == [Span(0, 9, PERSON, NAMED)]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(TAGS)), max_size=12), st.text("aB 张.", min_size=50, max_size=50))
def test_names_are_disjoint_and_in_order(drawn, text):
    cut, at = [], 0
    for length, _ in drawn:
        cut.append(Piece(5, at, at + length))
        at += length
    ends = 0
    for span in names(text, cut, [tag for _, tag in drawn]):
        assert ends <= span.start < span.end
        ends = span.end


@given(st.integers(0, 2**32 - 1))
def test_seven_bits_are_no_further_from_the_weights_than_half_a_step(seed):
    weight = np.random.default_rng(seed).normal(size=(9, 5)).astype(np.float32)
    weight[:, 2] = 0
    whole, scale = seven_bits(weight)
    assert whole.dtype == np.int8
    assert np.abs(whole).max() <= 63
    assert (np.abs(whole * scale - weight) <= scale * 0.5001).all()


def test_rows_of_four_bits_are_read_half_by_half():
    row = np.frombuffer(np.float16(0.5).tobytes() + bytes([0x18, *[0x88] * 14, 0xF0]), np.uint8)
    read = words(row[None])[0]
    assert (read[0], read[16], read[15], read[31]) == (0.0, -3.5, -4.0, 3.5)
    assert not read[1:15].any()


class Asked:
    kinds = frozenset({PERSON})
    model = None

    def __init__(self, language):
        self.language, self.texts = language, []

    def tag(self, sentences):
        self.texts += sentences
        return [[] for _ in sentences]


def test_a_tagger_of_both_languages_is_asked_about_both():
    both, chinese = Asked(BOTH), Asked("zh")
    list(Namer([both, chinese]).find("患者张伟来了。\nMy name is John Smith."))
    assert both.texts == ["患者张伟来了。", "My name is John Smith."]
    assert chinese.texts == ["患者张伟来了。"]


def test_the_encoder_reads_both_languages_and_needs_its_model():
    made = TAGGERS.create("e5-names.v1")
    assert (made.language, made.model) == (BOTH, "e5-names")


def test_a_tagger_can_be_added_to_a_profile():
    assert settings_for("default", with_=["e5-names.v1"]).taggers == ("en-names.v1", "zh-names.v1", "e5-names.v1")
    assert settings_for("default", with_=["zh-names.v1"]).taggers == ("en-names.v1", "zh-names.v1")
    assert settings_for("default", without=["en-names.v1"], with_=["e5-names.v1"]).taggers == ("zh-names.v1", "e5-names.v1")
    with pytest.raises(UnknownPart):
        settings_for("default", with_=["e5-names.v9"])


def test_no_built_in_profile_needs_the_encoder():
    from ringfence.deid import profile

    assert not any("e5-names.v1" in profile.load(name).taggers for name in profile.names())


def test_without_its_model_it_is_an_error_before_any_work(tmp_path, monkeypatch):
    from ringfence.flows import deid

    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path))
    with pytest.raises(TaggerMissing) as caught:
        deid.with_models(settings_for("default", with_=["e5-names.v1"]))
    assert caught.value.facts == {"tagger": "e5-names.v1", "model": "e5-names"}
