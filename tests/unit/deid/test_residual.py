"""What is left: planted identifiers are where they are said to be, and people are counted as a plain count counts them."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ringfence.deid.named import STAND_INS
from ringfence.deid.operator import Uses
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import RECOGNISERS, Span
from ringfence.deid.residual import Crowd, planted, recall, true_kinds
from ringfence.deid.specimen import bare
from ringfence.deid.tagger import TAGGERS

TEXTS = ["患者三天前出现咳嗽，伴有低热，无胸痛。", "The patient reports a mild headache since Monday.", "合同2024-118，付款期限为三十天"]
PARTS = [RECOGNISERS.create(name) for name in RECOGNISERS.names()]


def test_what_is_planted_stands_where_it_is_said_to_stand():
    made = planted(TEXTS, PARTS, random.Random(3), each=2)
    assert set(Counter(item.kind for item in made).values()) == {2}
    assert {item.kind for item in made} == {kind for part in PARTS for kind in part.kinds} | {"ORGANISATION", "LOCATION"}
    for item in made:
        assert 0 <= item.start < item.end <= len(item.text)
        assert item.text[item.start : item.end].strip()
        assert any(text[:5] in item.text or text[-5:] in item.text for text in TEXTS)


def test_no_value_is_planted_twice_and_few_are_planted_of_what_there_is_little():
    """The bound is on different values: a value that is tried ten times is one trial."""
    made = planted(TEXTS, PARTS, random.Random(5), each=70)
    by_kind = {kind: part for part in PARTS for kind in part.kinds} | STAND_INS
    values = Counter((item.kind, by_kind[item.kind].normalise(item.value)) for item in made)
    assert set(values.values()) == {1}
    tried = Counter(item.kind for item in made)
    assert tried["NATIONALITY"] < 70 == tried["CN_RESIDENT_ID"]
    assert max(tried.values()) == 70
    spelt = planted(TEXTS, [Spelt()], random.Random(5), each=70)
    assert sum(item.kind == "SPELT" for item in spelt) == 3, "three values in many spellings"


class Spelt:
    """Finds nothing, and knows three values, written in upper and lower case."""

    kinds = frozenset({"SPELT"})

    def normalise(self, value):
        return value.upper()

    def specimen(self, draw):
        return bare("SPELT", draw.choice(["ab", "Ab", "AB", "cd", "CD", "ef"]))


def test_what_a_recogniser_refuses_is_a_miss_and_is_not_drawn_again(monkeypatch):
    """Planting asks no recogniser: a value is there because people write such, and not because it will be found."""
    part = RECOGNISERS.create("cn-mobile.v1")
    monkeypatch.setattr(type(part), "find", None)
    monkeypatch.setattr(type(part), "check", None)
    assert Counter(item.kind for item in planted(TEXTS, [part], random.Random(5), each=9))["CN_MOBILE"] == 9
    blind = planted(TEXTS, [Spelt()], random.Random(5), each=3)
    found, tried = recall([item for item in blind if item.kind == "SPELT"], lambda texts: [[] for _ in texts])
    assert (found["SPELT"], tried["SPELT"]) == (0, 3)


def test_of_a_recogniser_without_a_generator_nothing_is_said():
    class Mute:
        kinds = frozenset({"MUTE"})

    assert {item.kind for item in planted(TEXTS, [Mute()], random.Random(5), each=3)} == set("PERSON ORGANISATION LOCATION".split())


def test_recall_counts_whole_finds_alone():
    made = planted(TEXTS, PARTS[:1], random.Random(3), each=3)

    def all_of(texts):
        return [[Span(item.start, item.end, "X", 1.0)] for item in made]

    def half_of(texts):
        return [[Span(item.start, item.end - 1, "X", 1.0)] for item in made]

    found, tried = recall(made, all_of)
    assert found == tried
    assert not any(recall(made, half_of)[0].values())


ALL = frozenset({"AGE", "DATE", "REGION", "LOCATION", "CN_ADDRESS"})


def person(number, age, text, *, unit=None, places=("广东",), dates=("2023年5月3日",)):
    values = [*[("AGE", age)] * bool(age), *(("REGION", p) for p in places), *(("DATE", d) for d in dates)]
    return f"{unit or number:032x}", (text,), values


@pytest.mark.parametrize("has_units", [True, False])
def test_people_who_look_alike_are_counted(has_units):
    crowd = Crowd(has_units, ALL)
    for n in range(6):
        crowd.see(*person(n, "34", "患者，男"))
    for n in range(6, 9):
        crowd.see(*person(n, "71", "患者，女"))
    crowd.see(*person(9, "30-39", "患者，男"))
    assert crowd.people() == 10
    assert crowd.small() == 3
    assert crowd.helps()["age"] == 0
    assert crowd.helps()["sex"] == 0
    for n in range(10, 12):
        crowd.see(*person(n, "七十二", "患者，男", dates=("2023-05-17",)))
    assert crowd.small() == 5
    assert crowd.helps()["sex"] == 5
    assert crowd.helps()["region"] == crowd.helps()["month"] == 0


def test_what_other_records_of_a_person_say_is_put_together():
    crowd, apart = Crowd(True, ALL), Crowd(False, ALL)
    for one in (crowd, apart):
        for n in range(5):
            one.see(*person(n, "34", "she is female", unit=n + 1))
            one.see(*person(n + 100, "", "no word of it", unit=n + 1, places=("上海市浦东新区",), dates=()))
    assert (crowd.people(), crowd.small()) == (5, 0)
    assert apart.people() == 10
    crowd.see(*person(200, "35", "female", unit=77, places=("上海",), dates=()))
    assert crowd.small() == 1, "one in 上海 alone, whose month nobody knows"


def test_what_a_person_is_said_to_be_first_counts():
    crowd, other = Crowd(True, ALL), Crowd(True, ALL)
    for n in range(5):
        crowd.see(*person(n, "34", "", unit=n + 1))
    crowd.see(*person(5, "71", "", unit=1))
    assert crowd.small() == 0
    other.see(*person(6, "71", "", unit=2))
    crowd.add(other)
    assert crowd.small() == 0
    other.add(crowd)
    assert other.small() == 5, "four of 34 and one of 71"


def test_what_is_said_is_counted_and_what_nobody_may_believe_is_not_read():
    for has_units in (True, False):
        whole, no_dates, words_alone = Crowd(has_units, ALL), Crowd(has_units, ALL - {"DATE"}), Crowd(has_units, frozenset())
        for crowd in (whole, no_dates, words_alone):
            for n in range(12):  # twelve months, and alike in all else
                crowd.see(*person(n, "34", "患者，男" if n % 2 else "患者", dates=(f"2023年{n + 1}月3日",)))
        assert whole.said() == {"age": 12, "sex": 6, "region": 12, "month": 12}
        assert (whole.small(), no_dates.small(), words_alone.small()) == (12, 0, 0)
        assert no_dates.said() == {"age": 12, "sex": 6, "region": 12}
        assert words_alone.said() == {"sex": 6}
        assert no_dates.helps().keys() == {"age", "sex", "region", "band"}
        assert words_alone.helps().keys() == {"sex"}


def test_the_year_that_a_profile_leaves_of_a_date_is_read():
    crowd = Crowd(False, ALL)
    for n, year in enumerate(["2023", "2023年", "二〇二三年", "二〇二三", "2023", "2022"]):
        crowd.see(*person(n, "", "x", dates=(year,), places=()))
    assert (crowd.said()["month"], crowd.small()) == (6, 1)


USES = TypeAdapter(Uses)
BAND = {"use": "generalise.v1", "params": {"to": "band"}}
OLD = {"at_least": 90}


@pytest.mark.parametrize(
    ("uses", "is_true"),
    [
        ("keep.v1", True),
        (BAND, True),
        ([{**BAND, "when": OLD}, "keep.v1"], True),
        ([{"use": "redact.v1", "when": OLD}, "keep.v1"], True),
        ([{"use": "keep.v1", "when": OLD}, "surrogate.v1"], False),
        ([{"use": "keep.v1", "when": OLD}], False),  # the others get surrogates
        (["keep.v1", "surrogate.v1"], True),  # the second is never reached
        ("redact.v1", False),
        ("drop.v1", False),
        ("surrogate.v1", False),
        ("token.v1", False),
        ("hash.v1", False),
    ],
)
def test_only_what_stays_true_of_a_person_may_be_believed(uses, is_true):
    made = USES.validate_python(uses)
    assert true_kinds({"AGE": made}, {"AGE", "DATE"}) == (frozenset({"AGE"}) if is_true else frozenset())
    assert true_kinds({"*": made}, {"AGE"}) == (frozenset({"AGE"}) if is_true else frozenset())
    assert true_kinds({"AGE": made}, {"DATE", "EMAIL"}) == frozenset(), "nobody looked for ages"


@pytest.mark.parametrize(
    ("profile", "kinds"),
    [
        ("default", {"AGE", "REGION"}),  # dates are moved, places get stand-ins
        ("medical-zh", {"AGE", "REGION"}),
        ("finance-zh", {"AGE", "REGION", "DATE"}),
        ("legal-zh", {"AGE", "REGION", "DATE"}),
        ("hipaa-safe-harbor", {"AGE", "REGION", "DATE", "CN_ADDRESS"}),
        ("strict", set()),
    ],
)
def test_what_the_shipped_profiles_leave_to_compare(profile, kinds):
    settings = settings_for(profile)
    found = {kind for name in settings.parts for kind in RECOGNISERS.create(name).kinds} | {
        kind for name in settings.taggers for kind in TAGGERS.create(name).kinds
    }
    assert true_kinds(settings.operators, found) == kinds


@given(
    st.lists(
        st.tuples(st.sampled_from(["34", "37", "52", ""]), st.sampled_from(["男", "女", ""]), st.sampled_from([("北京",), ()])), max_size=40
    )
)
def test_small_classes_are_counted_as_a_plain_count_counts_them(people):
    crowd = Crowd(False, ALL)
    for n, (age, text, places) in enumerate(people):
        crowd.see(*person(n, age, text, places=places, dates=()))
    alike = [sum((a[:1] if a else "", s, p) == (age[:1] if age else "", sex, place) for a, s, p in people) for age, sex, place in people]
    assert crowd.small() == sum(size < 5 for size in alike)
