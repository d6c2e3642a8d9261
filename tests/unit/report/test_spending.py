"""The account of a set as a page: whole in both languages, its stairs exact, and every run and event in it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.cli.words import lifetime_told
from ringfence.core import text
from ringfence.report.curves import instants, spaced
from ringfence.report.spending import Limit, Spender, Spending, row, spending_page
from tests.unit.report.test_page import HOSTILE, Reader

RUNS = tuple(
    Spender(f"train-{n}a1b2c3d4e5f", f"2026-0{n}-12T09:30:00Z", "clinic", state, granted, 200, 1.2345678, 0.05, epsilon)
    for n, (state, granted, epsilon) in enumerate((("failed", 40, 1.5), ("interrupted", 120, 3.0), ("done", 200, 4.25)), 1)
)
PLAIN = Spending(
    sets=("clinic", "again"),
    units=("patient_id",),
    limits=(Limit(8, 1e-5, 4.25), Limit(16, 1e-6, 5.5)),
    delta=1e-5,
    spent=4.25,
    reserved=0.5,
    left=3.25,
    spenders=RUNS,
    bound="holds",
    finer=(),
    guarded=(),
    releases=(),
    frozen=None,
    now="2026-06-01T00:00:00Z",
    version="0.1.0",
)
FROZEN = replace(PLAIN, frozen="2026-05-01T00:00:00Z", reserved=0.0, left=0.0)
VOID = replace(PLAIN, bound="void", releases=(("ordinary", "2026-04-01T00:00:00Z"), ("second", "2026-04-01T00:00:01Z")))
EXCEEDED = replace(PLAIN, bound="exceeded", limits=(Limit(4.000004, 1e-5, 4.25),), left=0.0)
UNKNOWN = replace(PLAIN, bound="unknown", finer=("train-1a1b2c3d4e5f",))
NONE = replace(PLAIN, bound="none", limits=())
SECOND = st.integers(0, 2 * 10**9)


@pytest.fixture(autouse=True)
def _english():
    text.choose("en")


def page(f=PLAIN, language="en"):
    text.choose(language)
    return spending_page(f)


# ── the axis ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(SECOND, st.integers(300, 40 * 365 * 86_400))
@example(0, 300)
def test_times_on_the_axis_are_round_few_and_within(first, span):
    at = instants(first, first + span)
    assert 1 <= len(at) <= 6
    assert all(first <= when <= first + span for when in at)
    assert len({b - a for a, b in pairwise(at)}) <= 1
    assert all(when % 60 == 0 for when in at)
    if span > 2 * 86_400:
        assert all(when % 3_600 == 0 for when in at)


def test_labels_that_would_touch_are_left_out():
    assert spaced([(0, 0), (5, 5), (10, 0), (10, 12), (12, 12)], least=10) == [True, False, True, True, False]
    assert spaced([], least=10) == []


# ── the picture ───────────────────────────────────────────────────────────────────────────────────────────────────────


def stairs(document):
    """Return the corners of the stairs as (share of the width, share of the height)."""
    path = re.search(r'class="curve" d="M62 (\d+)((?:H[\d.]+V[\d.]+)*)H([\d.]+)"', document)
    base, right = float(path[1]), float(path[3])
    assert right == 682
    return [((float(x) - 62) / 620, (base - float(y)) / 230) for x, y in re.findall(r"H([\d.]+)V([\d.]+)", path[2])]


def test_every_run_is_a_step_at_its_time_and_its_epsilon():
    found = stairs(page())
    start, now = (datetime.fromisoformat(time).astimezone(UTC).timestamp() for time in (RUNS[0].started, PLAIN.now))
    left = start - (now - start) / 20
    for one, (across, up) in zip(RUNS, found, strict=True):
        assert up * 8 == pytest.approx(one.epsilon, abs=0.01)  # the axis ends at the limit
        when = datetime.fromisoformat(one.started).timestamp()
        assert across == pytest.approx((when - left) / (now - left), abs=1e-3)
    assert page().count("<circle") == len(RUNS)


def test_what_is_beyond_the_picture_reaches_its_top():
    found = stairs(page(replace(PLAIN, spenders=(*RUNS[:2], replace(RUNS[2], epsilon=None)), spent=None)))
    assert found[-1][1] == 1
    assert "over 1000" in page(replace(PLAIN, spenders=(replace(RUNS[2], epsilon=None),)))


def test_limits_of_another_delta_are_told_and_not_drawn():
    document = page()
    assert document.count('class="limit"') == 1
    assert "limit: ε 8<" in document
    assert "ε 16 at δ 1e-06; spent at this δ: 5.500" in document


def test_freeze_and_ordinary_releases_are_marked_and_listed():
    frozen, void = page(FROZEN), page(VOID)
    assert (frozen.count('class="most"'), frozen.count('class="guess"')) == (1, 0)
    assert (void.count('class="most"'), void.count('class="guess"')) == (0, 2)
    assert ">R1</text>" in void
    assert ">R2</text>" not in void  # a second later: only the table has room for it
    assert "ordinary run released as second" in void
    assert frozen.count(FROZEN.frozen) == 3  # said first, in the table of events, and of the account
    assert 'id="marks"' not in page()


# ── what it says ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("f", [PLAIN, FROZEN, VOID, replace(PLAIN, spenders=(), spent=0.0), NONE])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_fetched_and_nothing_runs(f, language):
    document = page(f, language)
    read = Reader(document)
    assert not {"script", "link", "img", "iframe", "object", "form", "a", "base", "use", "image"} & set(read.tags)
    assert not re.search(r"https?:|//|@import|javascript", document)
    assert len(read.ids) == len(set(read.ids))
    assert read.tags.count("svg") == (f.spenders != ())


def test_a_chinese_page_has_no_english_words_but_names():
    document = page(replace(VOID, frozen=FROZEN.frozen), "zh")
    words = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<style>.*?</style>|<[^>]*>", " ", document, flags=re.DOTALL)))
    assert words <= {"ringfence", "PLD", "UTC", "clinic", "again", "patient", "train", "ordinary", "second"}, words


def test_the_headline_says_what_matters_most():
    def said(f):
        return re.search(r'<h2 id="said">(.*?)</h2>', page(f))[1]

    assert said(PLAIN) == "ε 4.250 of 8 is spent, 3.250 is left."
    assert said(FROZEN) == "Frozen since 2026-05-01T00:00:00Z: nothing more can be spent."
    assert "No bound holds" in said(replace(VOID, frozen=FROZEN.frozen))
    assert "There is no budget" in said(NONE)
    assert said(EXCEEDED) == "The budget of ε 4.000004 is exceeded: ε 4.250 is spent."
    assert said(UNKNOWN).startswith("It is not known what one person lost: 1 runs")
    assert "a private run on these people was released with a replay guard" in said(replace(VOID, guarded=("ordinary", "second")))
    assert "an ordinary run on these people was released" in said(replace(VOID, guarded=("second",)))
    assert "Runs that may still go on hold ε 0.500 more." in page()
    assert "may still go on" not in page(FROZEN)


@pytest.mark.parametrize(
    ("f", "english", "chinese"),
    [
        (PLAIN, "holds", "有效"),
        (EXCEEDED, "exceeded", "已超出"),
        (NONE, "none: no budget is in force", "没有：当前没有生效的预算"),
        (
            UNKNOWN,
            "not known: runs per record or another unit (train-1a1b2c3d4e5f)",
            "无从得知：按记录或其他单位的运行（train-1a1b2c3d4e5f）",
        ),
        (VOID, "void: ordinary, second", "失效：ordinary, second"),
        (replace(VOID, guarded=("second",)), "void: ordinary, second (replay guard)", "失效：ordinary, second (复现防护)"),
    ],
)
def test_the_table_of_the_account_says_of_the_lifetime_bound_what_the_command_says(f, english, chinese):
    for language, name, told in (("en", "lifetime bound", english), ("zh", "终身上限", chinese)):
        cells = re.sub(r"<[^>]*>", "\n", page(f, language).split('id="account"')[1])
        assert [line for line in cells.splitlines() if line][1:][[line for line in cells.splitlines() if line][1:].index(name) + 1] == told
    row = {"bound": f.bound, "voided_by": [name for name, _ in f.releases], "guarded_releases": f.guarded, "finer_runs": f.finer}
    text.choose("en")
    assert lifetime_told(row) == english


def test_the_table_has_every_run_whatever_became_of_it():
    document = page()
    body = document.split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr>") == 3
    for one in RUNS:
        assert "".join(f"<td>{cell}</td>" for cell in row(one)) in body
    assert row(RUNS[0]) == ["train-1a1b2c3d4e5f", "2026-01-12T09:30:00Z", "clinic", "failed", "40 / 200", "1.2346", "0.05", "1.500"]


@pytest.mark.parametrize("field", ["sets", "units", "releases", "set"])
def test_names_are_escaped(field):
    hostile = {"sets": (HOSTILE,), "units": (HOSTILE,), "releases": ((HOSTILE, PLAIN.now),)}
    f = replace(PLAIN, spenders=(replace(RUNS[0], set=HOSTILE),)) if field == "set" else replace(PLAIN, **{field: hostile[field]})
    document = page(f)
    Reader(document)
    assert "<script" not in document
    assert "&lt;script&gt;alert" in document
