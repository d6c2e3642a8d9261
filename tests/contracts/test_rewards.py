"""Every registered reward: from 0 to 1, the same each time, whatever a model says; its own example is in order; what each one is worth in words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.train.reward import REWARDS

TEXTS = st.one_of(
    st.text(), st.text("0123456789.,-+ "), st.text('{}[]":, 1a'), st.sampled_from(["[" * 100_000, "9" * 6_000, "NaN", "\ud800"])
)


def worth(name, said, answer, question="?"):
    return REWARDS.create(name).score(question=question, said=said, answer=answer)


@pytest.mark.parametrize("name", REWARDS.names())
@given(question=st.text(), said=TEXTS, answer=TEXTS)
def test_every_reward_keeps_the_contract(name, question, said, answer):
    part = REWARDS.create(name)
    found = part.score(question=question, said=said, answer=answer)
    assert isinstance(found, float)
    assert 0 <= found <= 1
    assert not math.isnan(found)
    assert found == part.score(question=question, said=said, answer=answer) == worth(name, said, answer, question)


@pytest.mark.parametrize("name", REWARDS.names())
def test_the_example_of_every_reward_is_in_order(name):
    case = REWARDS.create(name).case
    assert worth(name, case.better, case.answer, case.question) > worth(name, case.worse, case.answer, case.question)
    assert worth(name, case.answer, case.answer, case.question) == pytest.approx(1.0)  # the row's own answer is worth most


WORTH = [  # reward, said, the row's answer, worth: each by hand from the sentence that says what the reward is
    ("exact-match.v1", "ＷＡＲＤ 12", "ward\n12 ", 1.0),
    ("exact-match.v1", "ward 12.", "ward 12", 0.0),
    ("rouge-l.v1", "rest and drink", "rest, drink", 0.8),  # 2 of 3 words and 2 of 2: 2 · (2/3 · 1) / (2/3 + 1)
    ("rouge-l.v1", "患者咳嗽", "患者发热", 0.5),
    ("rouge-l.v1", "", "rest", 0.0),
    ("concise.v1", "abcdef", "abcd", 0.5),
    ("concise.v1", "abcd", "abcd", 1.0),
    ("concise.v1", "abcdefgh", "abcd", 0.0),
    ("concise.v1", " \n", "abcd", 0.0),
    ("json.v1", '{"b": 2, "a": 1}', '{"a": 0, "b": []}', 1.0),
    ("json.v1", '{"a": 1}', '{"a": 0, "b": 0}', 0.5),
    ("json.v1", "[1]", "[]", 1.0),
    ("json.v1", "here: {}", "{}", 0.0),
    ("json.v1", "3", "three", 1.0),
    ("number.v1", "so 1,000", "= 1000.0", 1.0),
    ("number.v1", "12 or 13", "13 or 12", 0.0),
    ("number.v1", "2-3", "3", 1.0),  # a range, and no minus
    ("number.v1", "-3", "3", 0.0),
    ("number.v1", "none", "no", 1.0),
    ("number.v1", "none", "7", 0.0),
]


@pytest.mark.parametrize(("name", "said", "answer", "expected"), WORTH)
def test_what_an_answer_is_worth(name, said, answer, expected):
    assert worth(name, said, answer) == pytest.approx(expected)


def test_every_reward_has_its_rows():
    assert {row[0] for row in WORTH} == set(REWARDS.names())
