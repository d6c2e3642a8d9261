"""The page of a sweep: its picture is exact, both languages are whole, and no name gets out of its place."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.audit.settings import AuditFigures
from ringfence.core import text
from ringfence.report.curves import GAP, axis, steps
from ringfence.report.figures import MemoryShown, SweepFacts, TrainShown, Tried
from ringfence.report.frontier import frontier_page, headline
from ringfence.report.pictures import frontier_picture
from ringfence.train.settings import TrainFigures
from tests.unit.report.test_page import HOSTILE, Reader, figures

FACTS = SweepFacts("privacy.epsilon", True, "clinic", "smollm2", "0.1.0", "")
AUDIT = MemoryShown.of({name: value for name, value in figures().items() if name in MemoryShown.model_fields})


def one(told, loss, *, audit=AUDIT, **changes):
    at = None if told == "none" else float(told)
    tried = Tried(told, at, f"train-{told}", 24, 24, at, 1e-5, 0.2, loss, loss - 0.1, loss + 0.1, 4.6, 40, 20, audit)
    return replace(tried, **({"planned": None, "epsilon": None, "delta": None} if at is None else {}) | changes)


FOUR = (one("1", 1.6, learning_rate=0.0523), one("3", 1.3), one("8", 1.2, audit=None, steps=19), one("none", 0.9, learning_rate=None))


def page(language="en", tried=FOUR, facts=FACTS):
    text.choose(language)
    return frontier_page(tried, facts)


# ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_epsilon_stands_by_its_logarithm_and_no_epsilon_apart():
    found = axis([8, None, 1, 2.0])
    assert found.places == pytest.approx([0.78, 1.0, 0.0, 0.78 * math.log(2) / math.log(8)])
    assert (found.joined, found.is_parted) == ([2, 3, 0], True)
    assert 0.78 < GAP < 1
    assert axis([1e-4, 1e-3, 1e-2]) == ([0.0, pytest.approx(0.5), 1.0], [0, 1, 2], False)
    assert axis([4, None]) == ([0.39, 1.0], [0], True)


def test_what_has_no_logarithm_stands_evenly():
    assert axis([0.1, 0.0, 5.0]) == ([0.5, 0.0, 1.0], [1, 0, 2], False)
    assert axis([None, None, None]) == ([0.0, 0.5, 1.0], [], False)  # words
    assert axis([None, 1.0, None]) == ([0.0, 0.5, 1.0], [], False)
    assert axis([0.0, None, 1.0]) == ([0.0, 0.5, 1.0], [], False)


@given(st.floats(-1e3, 1e3).map(lambda low: round(low, 6)), st.floats(1e-6, 1e3) | st.just(0.0))
def test_steps_are_round_few_and_reach_both_ends(low, more):
    high = low + more
    marks = steps(low, high)
    step = marks[1] - marks[0]
    assert 2 <= len(marks) <= 8
    assert marks[0] <= low + 1e-6 * step
    assert marks[-1] >= high - 1e-6 * step
    assert re.fullmatch(r"[125]\.0*e[-+]\d+|[125]e[-+]\d+", f"{step:.3e}")


# ── the picture ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_point_stands_where_its_loss_and_its_epsilon_are():
    picture = frontier_picture([one("1", 1.5, audit=None), one("10", 1.0, audit=None)], "privacy.epsilon")
    points = [tuple(map(float, pair)) for pair in re.findall(r'<circle class="planted" cx="([\d.]+)" cy="([\d.]+)"', picture)]
    marks = steps(0.9, 1.6)  # the intervals, too, are inside
    height = [22 + 220 * (1 - (loss - marks[0]) / (marks[-1] - marks[0])) for loss in (1.5, 1.0)]
    assert points == [pytest.approx((62 + 48, height[0]), abs=0.06), pytest.approx((62 + 620 - 48, height[1]), abs=0.06)]
    bars = re.findall(r'<path class="interval" d="M[\d.]+ ([\d.]+)V([\d.]+)', picture)
    assert [float(low) - float(high) for low, high in bars] == pytest.approx([220 * 0.2 / (marks[-1] - marks[0])] * 2, abs=0.2)
    assert picture.count('class="joins"') == 1


def test_what_was_audited_stands_below_and_an_ordinary_run_is_not_joined():
    picture = frontier_picture(FOUR, "privacy.epsilon")
    losses, memories = picture.split('<pattern id="hatch"')
    assert losses.count("<circle") == 4
    assert memories.count('class="held"') == 3 + 1  # and one in the legend
    assert memories.count("<circle") == 3 + 1
    (line,) = re.findall(r'class="joins" d="M([^"]*)"', losses)
    assert line.count("L") == 2  # three epsilons
    assert "hatch" not in frontier_picture([replace(each, audit=None) for each in FOUR], "privacy.epsilon")


def test_a_run_without_a_loss_or_an_interval_leaves_no_mark():
    tried = [one("1", 1.5, audit=None, lower=None, upper=None), replace(one("3", 1.0, audit=None), loss=None, lower=None, upper=None)]
    picture = frontier_picture(tried, "privacy.epsilon")
    assert (picture.count("<circle"), picture.count('class="interval"')) == (1, 0)
    assert "No run has a held-out loss" in page(tried=[tried[1]])


def test_labels_that_would_touch_are_left_to_the_table():
    near = [one("1", 1.5), one("1.001", 1.4), one("100", 1.2)]
    document = page(tried=near)
    assert document.split("</svg>")[0].count(">1.001</text>") == 0
    assert '<th scope="row">1.001</th>' in document


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_languages_have_the_same_parts_and_are_whole():
    english, chinese = (Reader(page(language)) for language in ("en", "zh"))
    assert english.tags == chinese.tags
    assert english.ids == chinese.ids
    assert len(set(english.ids)) == len(english.ids)
    assert re.findall(r"[\u3400-\u9fff]", page("en")) == []
    words = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<style>.*?</style>|<[^>]*>", " ", page("zh"), flags=re.DOTALL)))
    assert words <= {"ringfence", "AUC", "epsilon", "delta", "train", "clinic", "smollm", "privacy", "none"}, words


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_fetched_and_nothing_runs(language):
    read = Reader(page(language))
    assert not {"script", "link", "img", "iframe", "object", "form", "a", "base", "use", "image"} & set(read.tags)
    assert not {name for _, name, _ in read.attributes if name.startswith("on") or name in ("src", "href", "style", "xmlns")}


def test_the_table_says_the_same_as_the_picture():
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", page())
    cells = [(name, *re.findall(r"<td>(.*?)</td>", rest)) for name, rest in rows]
    assert [row[:5] for row in cells] == [
        ("1", "1.600", "1.500 … 1.700", "24", "0.0523"),
        ("3", "1.300", "1.200 … 1.400", "24", "0.2"),
        ("8", "1.200", "1.100 … 1.300", "19 / 24", "0.2"),
        ("none: an ordinary run", "0.900", "0.800 … 1.000", "24", "-"),
    ]
    assert cells[2][5:] == ("not audited", "-", "-")
    assert cells[0][7] == "2.00"
    void = MemoryShown.of({**AUDIT.model_dump(mode="json"), "validity": "blind check failed"})
    assert "the audit is not valid" in page(tried=[one("1", 1.0, audit=void)])


def test_the_headline_names_each_value_or_the_best_and_the_worst():
    assert headline(FOUR, FACTS) == "Held-out loss 1.600 at epsilon 1, 1.300 at epsilon 3, 1.200 at epsilon 8, 0.900 without privacy"
    many = [one(str(number), number / 10) for number in range(1, 9)]
    rates = replace(FACTS, key="learning_rate", is_of_privacy=False)
    assert headline(many, rates) == "Held-out loss 0.100 at learning_rate 1, 0.800 at learning_rate 8"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_says_that_no_epsilon_covers_it(language):
    assert {"en": "no epsilon covers them", "zh": "epsilon 不涵盖它们"}[language] in page(language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "was not sought, so that without privacy more may be gained; releasing it would void the lifetime bound"),
        ("zh", "终身上限失效"),
    ],
)
def test_an_ordinary_run_beside_private_ones_is_warned_of(language, words):
    assert words in page(language)
    assert words not in page(language, FOUR[:3])
    assert words not in page(language, FOUR[3:])


@pytest.mark.parametrize("field", ["key", "data_set", "base", "version", "together"])
def test_names_are_escaped(field):
    document = page(facts=replace(FACTS, **{field: HOSTILE + '"'}))
    Reader(document)
    assert "<script" not in document
    document = page(tried=[replace(FOUR[0], told=HOSTILE), FOUR[1]])
    Reader(document)
    assert "<script" not in document


def test_the_page_reads_what_runs_and_audits_write():
    assert TrainShown.model_fields.keys() <= TrainFigures.model_fields.keys()
    assert MemoryShown.model_fields.keys() <= AuditFigures.public()
