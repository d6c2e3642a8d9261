"""The taggers that ship: contract, and names in sentences that nobody trained on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.deid import features
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import TAGGERS
from ringfence.deid.taggers.crf import spans

SHIPPED = [name for name in TAGGERS.names() if TAGGERS.create(name).model is None and not name.startswith("spacy")]
ZH, EN = TAGGERS.create("zh-names.v1"), TAGGERS.create("en-names.v1")


def found(tagger, text):
    return [text[s.start : s.end] for s in tagger.tag([text])[0] if s.kind == PERSON]


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=40).map(lambda text: "".join(c for c in text if not "\ud800" <= c <= "\udfff")), max_size=4))
def test_every_tagger_keeps_the_contract(name, texts):
    tagger = TAGGERS.create(name)
    rows = tagger.tag(texts)
    assert rows == [tagger.tag([text])[0] for text in texts]  # the same in any company
    for text, row in zip(texts, rows, strict=True):
        assert all(0 <= s.start < s.end <= len(text) and s.kind in tagger.kinds for s in row)
        assert all(a.end <= b.start for a, b in pairwise(row))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("主治医师周静怡查房后嘱复查血常规。", ["周静怡"]),
        ("原告郑海涛与被告欧阳明签订借款合同。", ["郑海涛", "欧阳明"]),
        ("客户经理韩雪梅表示，贷款已经发放。", ["韩雪梅"]),
        ("复查血常规未见明显异常，建议继续观察。", []),
        ("系统于凌晨完成升级，没有发现告警。", []),
    ],
)
def test_chinese_names_of_no_list_of_ours(text, names):
    assert found(ZH, text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The patient was seen by Dr. Helen Fairweather this morning.", ["Helen Fairweather"]),
        ("Please ask Oliver Brandt to call Siobhan Keane back.", ["Oliver Brandt", "Siobhan Keane"]),
        ("The patient reports a mild headache and denies fever.", []),
        ("Invoice 2024-118 is due within thirty days.", []),
    ],
)
def test_english_names_of_no_list_of_ours(text, names):
    assert found(EN, text) == names


def test_tags_become_spans():
    ranges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert spans(["BP", "IP", "O", "IP", "BL"], ranges) == [Span(0, 2, PERSON, 0.6), Span(3, 4, PERSON, 0.6), Span(4, 5, LOCATION, 0.6)]
    assert spans(["BP", "BP", "IO"], ranges[:3]) == [Span(0, 1, PERSON, 0.6), Span(1, 2, PERSON, 0.6), Span(2, 3, ORGANISATION, 0.6)]
    assert spans([], []) == []


def test_words_are_cut_longest_first():
    places = features.cut_zh("北京大学生活")
    assert len(places) == 6
    assert places[0] == 1
    assert set(places) <= {0, 1, 2, 3}
    assert features.cut_zh("") == []


@given(st.text(max_size=30))
def test_features_have_a_row_for_each_character_and_each_word(text):
    assert len(features.characters(text)) == len(text)
    ranges = features.tokens(text)
    assert len(features.words([text[a:b] for a, b in ranges])) == len(ranges)
