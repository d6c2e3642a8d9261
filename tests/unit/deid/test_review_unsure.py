"""A sample by uncertainty: the rows of which the taggers are least sure, by their own probabilities, outside what is masked."""

from __future__ import annotations

import numpy as np
import pytest

from ringfence.deid import crfmodel, features
from ringfence.deid.learn import parts_of
from ringfence.deid.review import unsure
from ringfence.deid.review.marks import Action, At, Review
from ringfence.deid.review.sample import Place, Row
from ringfence.deid.review.unsure import doubt, least_sure
from ringfence.deid.taggers.crf import OUTSIDE, shipped


def row(text, *places, n=0):
    return Row(n, f"{n:032x}", ("text",), (text,), tuple(Place(0, a, b, "PERSON", i) for i, (a, b) in enumerate(places)))


def probabilities(language, text):
    """Return of each part how probable it is that it belongs to no name: forward and backward sums over the model's own tables."""
    model = crfmodel.read(shipped(language))
    numbers = {name: n for n, name in enumerate(model.attributes)}
    found = features.characters(text) if language == "zh" else features.words([text[a:b] for a, b in parts_of(language, text)])
    own = np.array([sum(model.weights[numbers[one]] for one in row if one in numbers) + np.zeros(len(model.tags)) for row in found])
    forward, backward = [own[0]], [np.zeros(len(model.tags))]
    for scores in own[1:]:
        forward.append(scores + np.logaddexp.reduce(forward[-1][:, None] + model.between, axis=0))
    for scores in own[:0:-1]:
        backward.insert(0, np.logaddexp.reduce(model.between + scores + backward[0], axis=1))
    all_ = np.array(forward) + np.array(backward)
    return np.exp(all_ - np.logaddexp.reduce(all_, axis=1)[:, None])[:, model.tags.index(OUTSIDE)]


@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "今晨周敏敏转到荷蓉苑，与老安同住，诉头痛。"), ("en", "Seen by Quastenflosser in May, a friend of Bill Hope, on ward Rose.")],
)
def test_probabilities_are_those_of_the_field(language, text):
    parts, found = unsure._read(language, text)
    assert parts == parts_of(language, text)
    assert found == pytest.approx(probabilities(language, text), abs=1e-6)
    want = probabilities(language, text)
    assert doubt(row(text)) == pytest.approx(np.minimum(want, 1 - want).max(), abs=1e-6)
    assert 0.01 < doubt(row(text)) <= 0.5


def test_what_is_masked_is_not_looked_at():
    text = "与老安同住，诉头痛。"
    sure = probabilities("zh", text)
    at = int(np.minimum(sure, 1 - sure).argmax())
    rest = np.delete(np.minimum(sure, 1 - sure), at).max()
    assert doubt(row(text, (at, at + 1))) == pytest.approx(rest, abs=1e-6)
    assert rest < doubt(row(text))
    assert doubt(row("今晨周敏敏转到荷蓉苑", (0, 10))) == 0.0
    assert doubt(row("\u200b" * 20 + text, (20 + at, 21 + at))) == pytest.approx(rest, abs=1e-6)  # folding moves places


@pytest.mark.parametrize("text", ["", "12345", "\ud800", "😀", "\x00\x01 a", "z" * 5_000])
def test_any_text_has_a_doubt(text):
    assert 0.0 <= doubt(row(text)) <= 0.5


def test_the_least_sure_rows_come_first_and_alike_ones_as_they_were_drawn():
    pool = [row("12345", n=0), row("与老安同住，诉头痛。", n=1), row("67890", n=2), row("病人安静，诉头痛。", n=3)]
    told = []
    found = least_sure(pool, 4, say=told.append)
    doubts = [doubt(one) for one in found]
    assert doubts == sorted(doubts, reverse=True)
    assert [one.row for one in found if not doubt(one)] == [0, 2]
    assert least_sure(pool, 2) == found[:2]
    assert told == [0]


def test_such_a_sample_bounds_nothing():
    review = Review([row("a", n=0), row("b", n=1)], [Action("done", (At(0),)), Action("done", (At(1),))])
    by_chance, chosen = review.figures(100), review.figures(100, by="uncertainty", other_draws=3)
    assert (by_chance.bound_rows is not None, by_chance.bound_share is not None, by_chance.bound_of_source is not None) == (True,) * 3
    assert (chosen.bound_rows, chosen.bound_share, chosen.bound_of_source) == (None, None, None)
    assert (chosen.by, chosen.other_draws, chosen.reviewed, chosen.counted) == ("uncertainty", 3, 2, 2)
