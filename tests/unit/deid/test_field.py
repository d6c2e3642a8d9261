"""The Chinese field in tables, against CRFsuite itself: the same tags for every character."""

from __future__ import annotations

import random
from itertools import pairwise, product

import numpy as np
import pycrfsuite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.deid import crfmodel, features, people
from ringfence.deid.field import ChineseField, viterbi
from ringfence.deid.recogniser import Span
from ringfence.deid.sentences import Chinese
from ringfence.deid.taggers.crf import shipped, spans, spans_of

DATA = shipped("zh")
MODEL = crfmodel.read(DATA)
FIELD = ChineseField(MODEL)
ORACLE = pycrfsuite.Tagger()
ORACLE.open_inmemory(DATA)
COMMON = "".join(sorted({c for name in MODEL.attributes if len(name) == 2 for c in name[1]}))
TEXTS = st.lists(
    st.text(
        st.one_of(st.sampled_from(COMMON), st.characters(exclude_categories=("Cs",)), st.sampled_from("说称记者《》\x01欧阳Mr·,。")),
        max_size=30,
    ),
    max_size=5,
)


def names(texts):
    return [[FIELD.tags[number] for number in numbers] for numbers in FIELD.best(texts)]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_gets_the_tags_of_crfsuite(texts):
    assert names(texts) == [list(ORACLE.tag(features.characters(text))) for text in texts]


def test_sentences_with_names_get_the_tags_of_crfsuite():
    draw = random.Random(11)
    writer = Chinese(draw, foreign=["施瓦辛格", "贝克汉姆"])
    texts = ["".join(piece for piece, _ in writer.sentence()) for _ in range(1_500)]
    texts += [f"{name}明说《{name}传》" for name in sorted(people.names().compound)]
    found = names(texts)
    assert found == [list(ORACLE.tag(features.characters(text))) for text in texts]
    assert {tag for row in found for tag in row} == set(FIELD.tags)


def test_the_model_says_what_crfsuite_says():
    told = ORACLE.info()
    number, tag = {name: n for n, name in enumerate(MODEL.attributes)}, {name: n for n, name in enumerate(MODEL.tags)}
    assert len(told.state_features) == np.count_nonzero(MODEL.weights) > 10_000
    assert all(abs(MODEL.weights[number[a], tag[t]] - w) < 1e-6 for (a, t), w in told.state_features.items())
    assert all(abs(MODEL.between[tag[a], tag[b]] - w) < 1e-6 for (a, b), w in told.transitions.items())


@pytest.mark.parametrize("data", [b"", b"lCRF" + bytes(60), DATA[:1_000], b"x" + DATA[1:], DATA[: len(DATA) // 2]])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(ValueError, match=r"CRFsuite|table"):
        crfmodel.read(data)


@given(st.data())
def test_viterbi_finds_the_best_of_all_paths(data):
    draw = random.Random(data.draw(st.integers()))
    lengths = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    tags = 3
    starts = np.cumsum([0, *lengths])[:-1]
    scores = np.array([[draw.choice((-1.5, 0, 0.25, 2)) for _ in range(tags)] for _ in range(sum(lengths) or 1)], dtype=np.float64)
    between = np.array([[draw.choice((-1.0, 0, 0.5)) for _ in range(tags)] for _ in range(tags)], dtype=np.float64)

    def value(start, path):
        return sum(scores[start + n][t] for n, t in enumerate(path)) + sum(between[a][b] for a, b in pairwise(path))

    for start, length, path in zip(starts, lengths, viterbi(scores, starts, np.array(lengths), between), strict=True):
        assert len(path) == length
        assert value(start, path) == max(value(start, other) for other in product(range(tags), repeat=length))


@given(st.lists(st.sampled_from(("O", "BP", "IP", "BL", "IL")), max_size=20))
def test_spans_by_number_are_spans_by_name(tags):
    names = ["BP", "O", "IL", "IP", "BL"]
    numbers = np.array([names.index(tag) for tag in tags], dtype=np.int64)
    assert spans_of(numbers, names) == spans(tags, [(n, n + 1) for n in range(len(tags))])


def test_a_tag_of_the_inside_begins_a_span_where_none_is_open():
    ranges = [(n, n + 1) for n in range(6)]
    assert [(s.start, s.end) for s in spans(["IP", "IP", "O", "IP", "BP", "IP"], ranges)] == [(0, 2), (3, 4), (4, 6)]
    assert isinstance(spans(["BP"], [(0, 1)])[0], Span)
