"""The page and the sentences of a de-identification: exact, in both languages, without a word of a record."""

from __future__ import annotations

import re
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.audit.settings import AuditFigures
from ringfence.core import text
from ringfence.core.errors import InvalidSettings
from ringfence.deid.settings import DeidFigures
from ringfence.flows.report import recall_bounds
from ringfence.report.masked import (
    MaskedFacts,
    MaskedShown,
    crowd_sentence,
    masked_page,
    planted_sentence,
    short_sentence,
    taggers_sentences,
    unseen,
)
from tests.unit.report.test_page import Reader

FIGURES = {
    "records": 40,
    "spans": {"CN_MOBILE": 12, "PERSON": 30},
    "kept": {"AGE": 4},
    "dropped": 1,
    "survivors": 0,
    "characters": 1_000,
    "characters_changed": 125,
    "engine": "re",
    "hidden": {"AGE": 60, "CN_MOBILE": 60, "PERSON": 60},
    "hidden_found": {"AGE": 60, "CN_MOBILE": 57, "PERSON": 60},
    "people": 40,
    "looks_said": {"age": 31, "sex": 40, "region": 12},
    "people_few": 9,
    "few_without": {"age": 7, "sex": 0, "region": 2, "band": 3},
    "seen_first": {"zh": 60},
    "seen_second": {"zh": 40},
    "seen_both": {"zh": 20},
}


def shown(**changes):
    return MaskedShown.of({**FIGURES, **changes})


def page(language, name="clinic", **changes):
    text.choose(language)
    f = shown(**changes)
    return masked_page(
        f,
        MaskedFacts(
            run="deid-0123456789ab",
            data_set=name,
            profile="medical-zh",
            parts=("zh-names.v1",),
            source="a1" * 32,
            ended="2026-01-02T03:04:05Z",
            statement="5e" * 32,
            version="0.1.0",
            recall=recall_bounds(f.hidden, f.hidden_found),
        ),
    )


@pytest.fixture(autouse=True)
def english():
    yield
    text.choose("en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_whole_and_says_the_figures(language):
    made = page(language)
    Reader(made)
    assert "<script" not in made
    assert "http" not in made.replace("http-equiv", "")
    for figure in ("42", "40", "12.5%", "medical-zh", "zh-names.v1", "95.1%"):  # 60 of 60: the twentieth root of 0.05 is 0.951
        assert figure in made.replace("12.5 %", "12.5%"), figure


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "42 identifiers in 40 rows were found and replaced; 0 of them are left."),
        ("zh", "在 40 行中找到并替换了 42 个标识符；其中残留 0。"),
    ],
)
def test_the_headline_speaks_of_what_was_found_and_a_dash_stands_for_what_nobody_knows(language, said):
    made = page(language, hidden={"PERSON": 60}, hidden_found={"PERSON": 60})
    assert f">{said}</h2>" in made
    rows = {row[0]: row[1:] for row in re.findall(r"<tr><th scope=\"row\">(\w+)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", made)}
    assert rows["AGE"] == ("0", "4", "–")
    assert rows["PERSON"][:2] == ("30", "0")
    assert rows["PERSON"][2] != "–"


def test_a_name_is_escaped_and_survivors_are_not_made_light_of():
    assert "<b>" not in page("en", name="<b>")
    assert 'class="said void"' in page("en", survivors=1)
    assert 'class="said valid"' in page("en")


def test_the_worst_kind_is_named_with_its_bound():
    f = shown()
    recall = recall_bounds(f.hidden, f.hidden_found)
    assert recall["PERSON"].lower == pytest.approx(0.05 ** (1 / 60), abs=1e-6)
    said = planted_sentence(f, recall)
    assert said is not None
    assert "180" in said
    assert "177" in said
    assert "CN_MOBILE: 57 of 60" in said
    assert planted_sentence(shown(hidden={}, hidden_found={}), {}) is None


def test_what_would_hide_most_people_is_said():
    assert "Leaving out ages would hide 7" in crowd_sentence(shown())
    assert "9 of 40" in crowd_sentence(shown())
    assert "would hide" not in crowd_sentence(shown(few_without=dict.fromkeys(FIGURES["few_without"], 0)))
    assert "at least four others" in crowd_sentence(shown(people_few=0))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_people_are_compared_by_what_is_said_and_nothing_else(language):
    """A dimension that nobody read, or that nobody's text says, is no ground on which to call people alike."""
    text.choose(language)
    words = {"en": ("age", "sex", "province", "month"), "zh": ("年龄", "性别", "省份", "月份")}[language]
    for few in (0, 9):
        compared, rest = re.split(
            "Not compared|未比较", crowd_sentence(shown(people_few=few, few_without={}, looks_said={"age": 31, "sex": 0}))
        )
        assert words[0] in compared
        assert "31" in compared
        assert not any(word in compared for word in words[1:])
        assert all(word in rest for word in words[1:])
        assert words[0] not in rest
    assert crowd_sentence(shown(looks_said={})) is None
    assert crowd_sentence(shown(looks_said={"sex": 0, "month": 0})) is None
    made = page(language, looks_said={"sex": 0})
    assert {"en": "nothing can be said of who stands out", "zh": "无法说明谁会突出"}[language] in made
    everything = crowd_sentence(shown(looks_said=dict.fromkeys(("age", "sex", "region", "month"), 5)))
    assert not re.search("Not compared|未比较", everything)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_chapman_is_the_published_estimate(only_first, only_second, both):
    first, second = only_first + both, only_second + both
    estimate = (first + 1) * (second + 1) / (both + 1) - 1
    assert unseen(first, second, both) == max(0, ceil(round(estimate - (only_first + only_second + both), 9)))


def test_two_taggers_are_compared_only_where_there_are_two():
    assert unseen(60, 40, 20) == ceil(61 * 41 / 21 - 1 - 80)
    assert str(unseen(60, 40, 20)) in taggers_sentences(shown())[0]
    (said,) = taggers_sentences(shown())
    assert "60 rest on one of the two alone" in said  # 40 and 20
    assert "independently" in said
    assert taggers_sentences(shown(seen_first={}, seen_second={}, seen_both={})) == []


def test_figures_of_something_else_are_refused():
    assert set(MaskedShown.model_fields) <= set(DeidFigures.model_fields)
    assert not set(MaskedShown.model_fields) <= set(AuditFigures.model_fields)
    with pytest.raises(InvalidSettings):
        MaskedShown.of({**FIGURES, "records": "many"})
    with pytest.raises(InvalidSettings):
        MaskedShown.of({"records": 3})


def test_a_run_of_an_earlier_version_has_a_page():
    early = {name: value for name, value in FIGURES.items() if not name.startswith(("hidden", "people", "few", "seen", "looks"))}
    assert MaskedShown.of(early).hidden == {}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_short_names_that_were_left_are_told(language):
    assert "314" not in page(language)
    assert "314" in page(language, short_left=314)
    assert {"en": "not anonymous. In 314", "zh": "不等于匿名化。有 314"}[language] in page(language, short_left=314)
    assert short_sentence(shown()) is None
