"""Known originals, against a search at every place."""

from __future__ import annotations

import pytest

from ringfence.deid.known import Known


def test_a_value_at_the_end_and_glued_to_chinese():
    known = Known()
    known.add("PASSPORT", "E12345678", normal="E12345678", score=0.5)
    assert [(s.start, s.end, s.kind) for s in known.find("又见E12345678号 xE12345678 E12345678")] == [
        (2, 11, "PASSPORT"),
        (24, 33, "PASSPORT"),
    ]


def test_a_value_without_a_word_is_known_by_its_normal_form_alone():
    known = Known()
    known.add("K", "京·", normal="京·", score=0.5)
    assert not known.find("京·")
    assert known.has("K", "京·", normal="京·")


def test_a_chinese_value_is_found_inside_a_run_and_more_than_once():
    known = Known()
    known.add("PERSON", "张伟", normal="张伟", score=0.7)
    known.add("PERSON", "张伟明", normal="张伟明", score=0.7)
    text = "患者张伟明与张伟，张伟"
    assert [(text[s.start : s.end], s.start) for s in known.find(text)] == [("张伟", 2), ("张伟明", 2), ("张伟", 6), ("张伟", 9)]


def test_what_is_only_noted_is_counted_and_not_looked_up():
    known = Known()
    known.note("PERSON", "高明", score=0.7)
    assert not known.find("高明")
    assert [(span.start, is_noted) for span, is_noted in known.occurrences("他很高明")] == [(2, True)]
    assert not known.has("PERSON", "高明", normal="高明")


def test_what_counts_somewhere_counts_everywhere():
    for swapped in (False, True):
        known = Known()
        for step in (1, 0) if swapped else (0, 1):
            if step:
                known.note("PERSON", "高明", score=0.9)
            else:
                known.add("PERSON", "高明", normal="高明", score=0.7)
        assert len(known.find("高明")) == 1


def test_a_value_in_the_columns_of_several_people_is_a_category():
    known = Known()
    for owner, value in (("a", "E11.92X"), ("b", "E11.92X"), ("a", "AX93-1127Q"), ("a", "AX93-1127Q")):
        known.maybe("CODE", value, owner=owner)
    known.settle()
    assert [span.kind for span in known.find("E11.92X und ax931127q")] == ["CODE"]


def test_the_order_of_what_is_learnt_decides_nothing():
    claims = [("QQ", 0.5), ("BANK_CARD", 0.85), ("PHONE", 0.85)]
    for rotated in (claims, claims[1:] + claims[:1], claims[::-1]):
        known = Known()
        for kind, score in rotated:
            known.add(kind, "4111111111111111", normal="4111111111111111", score=score)
        assert [span.kind for span in known.find("x 4111111111111111")] == ["BANK_CARD"]


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("Иван Петров", "потом Иван Петров ушёл, Иван Петрович остался", ["Иван Петров"]),
        ("𠮷野明", "后来𠮷野明走了", ["𠮷野明"]),
        ("김철수", "김철수가 왔다", ["김철수"]),
        ("محمد علي", "زار محمد علي الطبيب", ["محمد علي"]),
        ("Łukasz Żak", "dann kam Łukasz Żak, nicht Łukasz Żaková", ["Łukasz Żak"]),
    ],
)
def test_a_value_in_any_script_is_looked_up(value, text, found):
    known = Known()
    known.add("PERSON", value, normal=value.lower(), score=0.7)
    assert [text[span.start : span.end] for span in known.find(text)] == found
