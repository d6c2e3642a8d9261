"""Known originals, against a search at every place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.known import Known

VALUES = st.lists(st.text("a1.京", min_size=1, max_size=4).filter(lambda v: any(c in "a1" for c in v)), max_size=5)


def naive(values, text):
    """Every place where a value stands and no run of digits or of ASCII letters at its edge goes on outside."""

    def sort(i):
        return "" if not 0 <= i < len(text) or text[i] not in "a1" else text[i]

    places = ((start, start + len(v)) for v in set(values) for start in range(len(text)) if text.startswith(v, start))
    return {(a, b) for a, b in places if not (sort(a) and sort(a - 1) == sort(a)) and not (sort(b) and sort(b - 1) == sort(b))}


@given(VALUES, st.text("a1.京 ", max_size=30))
def test_finds_what_a_naive_search_finds(values, text):
    known = Known()
    for value in values:
        known.add("K", value, normal=value, score=0.5)
    assert {(s.start, s.end) for s in known.find(text)} == naive(values, text)


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
    assert ("K", "京·") in known.normal


def test_a_chinese_value_is_found_inside_a_run_and_more_than_once():
    known = Known()
    known.add("PERSON", "张伟", normal="张伟", score=0.7)
    known.add("PERSON", "张伟明", normal="张伟明", score=0.7)
    text = "患者张伟明与张伟，张伟"
    assert [(text[s.start : s.end], s.start) for s in known.find(text)] == [("张伟", 2), ("张伟明", 2), ("张伟", 6), ("张伟", 9)]


def test_what_is_only_noted_is_not_looked_up():
    known = Known()
    known.note("PERSON", normal="高明")
    assert not known.find("高明")
    assert ("PERSON", "高明") in known.normal


def test_of_values_that_begin_alike_only_those_that_stand_there_are_compared():
    """As all URLs do, and the mails of one hospital: their number must not count for every word of a text."""

    class Counted(str):
        __slots__ = ()
        compared = 0

        def startswith(self, *what):
            Counted.compared += 1
            return super().startswith(*what)

    known = Known()
    for number in range(1_000):
        known.add("EMAIL", f"p{number}@clinic.internal", normal=f"p{number}@clinic.internal", score=0.5)
    text = Counted(" ".join(f"p{number}@clinic.internal" for number in range(0, 1_000, 20)))
    assert len(known.find(text)) == 50
    assert Counted.compared == 50


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
