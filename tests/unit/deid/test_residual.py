"""What is left: planted identifiers are where they are said to be, and people are counted as a plain count counts them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ringfence.core.records import Record
from ringfence.deid.named import PERSON
from ringfence.deid.recogniser import RECOGNISERS, Span
from ringfence.deid.residual import Crowd, chapman, planted, recall, specimen

TEXTS = ["患者三天前出现咳嗽，伴有低热，无胸痛。", "The patient reports a mild headache since Monday.", "合同2024-118，付款期限为三十天"]
PARTS = [RECOGNISERS.create(name) for name in RECOGNISERS.names()]


@pytest.mark.parametrize("name", RECOGNISERS.names())
def test_a_specimen_is_one_for_its_recogniser(name):
    part, draw = RECOGNISERS.create(name), random.Random(7)
    for _ in range(5):
        kind, text, start, end = specimen(part, draw)
        assert kind in part.kinds
        assert any((s.start, s.end) == (start, end) for s in part.find(text))


def test_what_is_planted_stands_where_it_is_said_to_stand():
    made = planted(TEXTS, PARTS, random.Random(3), each=2)
    assert Counter(item.kind for item in made)[PERSON] == 2 + 2  # behind a key word, and in a clause
    for item in made:
        assert 0 <= item.start < item.end <= len(item.text)
        assert item.text[item.start : item.end].strip()
        assert any(text[:5] in item.text or text[-5:] in item.text for text in TEXTS)


def test_recall_counts_whole_finds_alone():
    made = planted(TEXTS, PARTS[:1], random.Random(3), each=3)

    def all_of(texts):
        return [[Span(item.start, item.end, "X", 1.0)] for item in made]

    def half_of(texts):
        return [[Span(item.start, item.end - 1, "X", 1.0)] for item in made]

    found, tried = recall(made, all_of)
    assert found == tried
    assert not any(recall(made, half_of)[0].values())


def test_chapman_is_the_published_estimate():
    assert chapman(60, 40, 20) == pytest.approx(61 * 41 / 21 - 1)
    assert chapman(10, 10, 10) == pytest.approx(10)


def person(number, age, text):
    return Record(f"{number:032x}", f"{number:032x}", "x", "text", ("text",), (text,)), [age] if age else []


def test_people_who_look_alike_are_counted():
    crowd = Crowd()
    for n in range(6):
        crowd.see(*person(n, "34", "患者，男，来自广东，2023年5月入院"))
    for n in range(6, 9):
        crowd.see(*person(n, "71", "患者，女，来自广东，2023年5月入院"))
    crowd.see(*person(9, "38", "患者，男，来自广东，2023年5月入院"))
    assert crowd.people() == 10
    assert crowd.small() == 3
    assert crowd.helps()["without age"] == 0
    assert crowd.helps()["without sex"] == 0
    for n in range(10, 12):
        crowd.see(*person(n, "72", "患者，男，来自广东，2023年5月入院"))
    assert crowd.small() == 5
    assert crowd.helps()["without sex"] == 5
