"""The page of an audit: whole, in both languages, without a script or anything from elsewhere; its pictures are exact."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.audit import statistics
from ringfence.audit.settings import AuditFigures, Validity
from ringfence.core import text
from ringfence.core.errors import InvalidSettings
from ringfence.report.curves import histogram, roc, share_found, ticks
from ringfence.report.figures import AuditFacts, AuditShown
from ringfence.report.page import MOST, audit_page
from ringfence.report.sentences import headline, tone, validity

FACTS = AuditFacts(
    audit="audit-0123456789ab",
    run="train-ba9876543210",
    data_set="clinic",
    base="smollm2 (0123456789ab)",
    trained="2026-01-02T03:04:05Z",
    audited="2026-01-02T03:05:06Z",
    statement="5e" * 32,
    version="0.1.0",
)
VOID = {"meta", "br"}
SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=30)  # few values: many ties


def interval(found):
    return {"value": found.value, "lower": found.lower, "upper": found.upper, "level": 0.95}


def figures(*, learned=True, secrets=30, members=103, others=104, **changes):
    """Figures of a run that learned its canaries, or of one that did not."""
    rng = np.random.default_rng(3)
    shown = sorted(np.clip(rng.normal(15, 5, secrets) if learned else -rng.exponential(2, secrets), -MOST, MOST).tolist())
    hidden = sorted((-rng.exponential(2.5, secrets)).tolist())
    ins, outs = (sorted(rng.normal(middle, 1, size).tolist()) for middle, size in ((1.5 * learned, members), (0, others)))
    extracted = sum(one > 18 for one in shown)
    found = statistics.tpr_at_fpr(ins, outs)
    return {
        "secrets": secrets,
        "held_out": secrets,
        "extracted": extracted,
        "extraction": interval(statistics.rate(extracted, secrets)),
        "held_out_extracted": 0,
        "exposure_mean": float(np.mean(shown)) if shown else 0.0,
        "exposure_max": max(shown, default=0.0),
        "exposure_p": statistics.exposure_p_value(shown),
        "exposure_limit": statistics.exposure_limit(secrets) if secrets else 0.0,
        "held_out_exposure_max": max(hidden, default=0.0),
        "held_out_exposure_p": statistics.exposure_p_value(hidden),
        "members": members,
        "others": others,
        "auc": {"value": 0.5, "lower": 0.4, "upper": 0.6, "level": 0.95} if not learned else interval(statistics.auc(ins, outs)),
        "tpr": interval(found[1]) if found else None,
        "guesses": 50,
        "right": 48 if learned else 25,
        "epsilon_lower": 2.0 if learned else 0.0,
        "epsilon_ceiling": 2.8,
        "controls": 4 if learned else 0,
        "controls_extracted": 4 if learned else 0,
        "control_p": 1e-9 if learned else 1.0,
        "blind": "ok",
        "validity": "valid",
        "exposures_in": shown,
        "exposures_out": hidden,
        "scores_in": ins,
        "scores_out": outs,
        **changes,
    }


def page(language="en", facts=FACTS, **changes):
    text.choose(language)
    return audit_page(AuditShown.of(figures(**changes)), facts)


class Reader(HTMLParser):
    """Checks that every element is closed in order, and remembers what there was."""

    def __init__(self, document):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes = [], [], [], []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# ── the pictures are exact ────────────────────────────────────────────────────────────────────────────────────────────


@given(SCORES, SCORES)
def test_the_area_under_the_curve_is_the_auc_of_the_audit(members, others):
    points = roc(members, others)
    assert points[0] == (0, 0)
    assert points[-1] == (len(others), len(members))
    twice = sum((b.others - a.others) * (a.members + b.members) for a, b in pairwise(points))
    assert twice / 2 / len(members) / len(others) == pytest.approx(statistics.auc(members, others).value, abs=1e-12)


@given(SCORES, st.lists(st.integers(-4, 4), min_size=100, max_size=330))
@example([2, 1], [2, 1, *[0] * 98])  # the threshold between two ties
def test_the_point_at_one_per_cent_is_the_one_of_the_audit(members, others):
    assert share_found(roc(members, others), 0.01) == pytest.approx(statistics.tpr_at_fpr(members, others)[1].value, abs=1e-12)


@given(st.lists(st.floats(-MOST, MOST), max_size=50), st.lists(st.floats(-MOST, MOST), max_size=50))
@example([-500.0, 3.0], [400.0])
def test_every_secret_stands_in_one_bar_of_its_bits(planted, held_out):
    bins = histogram(planted, held_out, reach=MOST)
    assert sum(one.planted for one in bins) == len(planted)
    assert sum(one.held_out for one in bins) == len(held_out)
    assert all(one.planted == sum(one.lower <= bits < one.upper for bits in planted) for one in bins)
    assert all(a.upper == b.lower for a, b in pairwise(bins))
    assert bins[-1].upper > MOST
    assert len(bins) <= 40


@pytest.mark.parametrize("largest", [0, 1, 4, 5, 6, 9, 30, 99, 101, 4_000])
def test_ticks_are_few_and_reach_the_largest(largest):
    marks = ticks(largest)
    assert marks[0] == 0
    assert max(largest, 1) <= marks[-1]
    assert 2 <= len(marks) <= 7
    assert len(set(np.diff(marks))) == 1


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("learned", [True, False])
def test_both_languages_have_the_same_parts(learned):
    english, chinese = (Reader(page(language, learned=learned)) for language in ("en", "zh"))
    assert english.tags == chinese.tags
    assert english.ids == chinese.ids
    assert len(set(english.ids)) == len(english.ids)
    assert english.tags.count("svg") == english.tags.count("figure") == 2
    assert english.tags.count("table") == 3
    assert english.tags.count("main") == english.tags.count("h1") == 1


def test_each_language_is_whole():
    english, chinese = page("en"), page("zh")
    assert 'lang="en"' in english
    assert 'lang="zh-Hans"' in chinese
    assert re.findall(r"[\u3400-\u9fff]", english) == []
    headings = re.findall(r"<h[12][^>]*>([^<]*)<", chinese)
    assert len(headings) == 6
    assert all(re.search(r"[\u3400-\u9fff]", one) for one in headings)
    words = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<style>.*?</style>|<[^>]*>", " ", chinese, flags=re.DOTALL)))
    assert words <= {"ringfence", "AUC", "ROC", "epsilon", "delta", "train", "audit", "clinic", "smollm", "ba9876543210"}, words


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_fetched_and_nothing_runs(language):
    document = page(language)
    read = Reader(document)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in read.attributes
    assert not {"script", "link", "img", "iframe", "object", "form", "a", "base", "use", "image"} & set(read.tags)
    assert not {name for _, name, _ in read.attributes if name.startswith("on") or name in ("src", "href", "style", "xmlns")}
    assert not re.search(r"https?:|//|@import|javascript", document)
    assert re.findall(r"url\(([^)]*)\)", document) == ["#hatch"]
    assert "hatch" in read.ids


def test_a_picture_has_words_for_those_who_do_not_see_it():
    read = Reader(page())
    for value in [value for tag, name, value in read.attributes if (tag, name) == ("svg", "aria-labelledby")]:
        assert set(value.split()) <= set(read.ids)
    assert read.tags.count("title") == 3
    assert read.tags.count("desc") == read.tags.count("figcaption") == 2


def test_the_histogram_of_the_page_counts_every_secret():
    table = page().split('id="exposures"')[1].split("<tbody>")[1].split("</tbody>")[0]
    counts = [int(one) for one in re.findall(r"<td>(\d+)</td>", table)]
    bins = [one for one in histogram(figures()["exposures_in"], figures()["exposures_out"], reach=MOST) if one.planted or one.held_out]
    assert counts[::2] == [one.planted for one in bins]
    assert counts[1::2] == [one.held_out for one in bins]
    assert (sum(counts[::2]), sum(counts[1::2])) == (30, 30)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("secrets", "members", "others"), [(0, 0, 0), (0, 5, 5), (1, 0, 3), (1, 1, 1), (2, 3, 0)])
def test_little_or_nothing_to_draw_is_said(language, secrets, members, others):
    found = Reader(page(language, secrets=secrets, members=members, others=others))
    assert found.tags.count("svg") == (secrets > 0) + (members > 0 and others > 0)


REPLAYED = {
    "rows": 200,
    "rows_tried": 180,
    "rows_replayed": 90,
    "replay": {"value": 0.5, "lower": 0.436, "upper": 0.564, "level": 0.95},
}
GUARDED = {
    **REPLAYED,
    "rows_replayed_guarded": 0,
    "replay_guarded": {"value": 0.0, "lower": 0.0, "upper": 0.0165, "level": 0.95},
    "guard_false_blocks": 0.0012,
}


def cells(document):
    """The table of what was measured: (name, value, bounds, meaning) of each row."""
    table = document.split('id="measured"')[1].split("<tbody>")[1].split("</tbody>")[0]
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("</tr>") if row.strip()]
    return [tuple(row) for row in found]


@pytest.mark.parametrize(
    ("language", "name", "values"),
    [("en", "… under the replay guard", ("90 of 180", "0 of 180")), ("zh", "……在复现防护之下", ("180 个中 90 个", "180 个中 0 个"))],
)
def test_what_a_guard_leaves_stands_below_what_is_replayed_without(language, name, values):
    rows = cells(page(language, **GUARDED))
    at = [row[0] for row in rows].index(name)
    assert (rows[at - 1][1], rows[at][1]) == values
    assert (rows[at - 1][2], rows[at][2]) == ("43.6% – 56.4%", "≤ 1.7%")
    assert "0.12%" in rows[at][3]
    without = page(language, **REPLAYED)
    assert name not in without
    assert len(cells(without)) == len(rows) - 1
    assert len(Reader(page(language, **GUARDED)).tags) > len(Reader(without).tags)


def test_scores_that_are_gone_leave_the_table():
    sealed = ("exposures_in", "exposures_out", "scores_in", "scores_out")
    public = {name: value for name, value in figures().items() if name not in sealed}
    document = audit_page(AuditShown.of(public), FACTS)
    assert "svg role" not in document
    assert document.count("no longer there") == 2


# ── what it says ──────────────────────────────────────────────────────────────────────────────────────────────────────


def said(facts=FACTS, **changes):
    return headline(AuditShown.of(figures(**changes)), facts)[0]


def test_validity_comes_first():
    for word in Validity.__args__:
        kind = validity(AuditShown.of(figures(validity=word)))
        assert kind == {"valid": "valid", "positive control shows nothing": "inconclusive"}.get(word, "void")
        assert kind == "valid" or kind in said(validity=word)
    assert said(validity="a word of a later version") == "This audit is void."


def test_the_headline_says_what_was_shown():
    assert "6 of 30 secrets" in said(learned=True, extracted=6)
    assert "left traces" in said(extracted=0)
    assert "no trace" in said(learned=False)
    small = {"value": 0.0, "lower": 0.0, "upper": 0.39, "level": 0.95}
    assert "too small to tell" in said(learned=False, secrets=6, extraction=small)
    assert tone(AuditShown.of(figures(learned=False, secrets=6, extraction=small))) == "inconclusive"
    assert tone(AuditShown.of(figures(learned=False))) == "valid"
    assert tone(AuditShown.of(figures(extracted=0, secrets=6, extraction=small))) == "valid"  # small, and yet it found something
    assert "Nothing was measured" in said(learned=False, secrets=0, members=0, others=0)


def test_a_claim_that_the_audit_refutes_is_called_so():
    claim = FACTS.__class__(**{**FACTS.__dict__, "claim": (1.0, 1e-5)})
    assert "more than its privacy claim" in said(claim, epsilon_lower=1.5)
    assert "privacy claim" not in said(claim, epsilon_lower=0.9)
    assert "privacy claim" not in said(epsilon_lower=1.5)


# ── what may come in ──────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = "<script>alert('Zwibbelhorn')</script>"


def test_the_page_reads_what_an_audit_writes():
    assert AuditShown.model_fields.keys() <= AuditFigures.model_fields.keys()
    AuditShown.of(AuditFigures(**figures()).model_dump(mode="json"))


@pytest.mark.parametrize("name", sorted(figures()))
def test_text_in_the_figures_is_refused_or_never_shown(name):
    hostile = {**figures(), name: HOSTILE}
    if name in ("blind", "validity"):  # looked up, never printed
        assert "Zwibbelhorn" not in audit_page(AuditShown.of(hostile), FACTS)
        return
    with pytest.raises(InvalidSettings) as refused:
        AuditShown.of(hostile)
    assert "Zwibbelhorn" not in str(refused.value)


def test_figures_that_nobody_knows_are_left_out():
    assert page(replayed={"rows": HOSTILE}) == page()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidSettings):
        AuditShown.of(figures(exposure_mean=value))


@pytest.mark.parametrize("field", ["audit", "run", "data_set", "base", "trained", "audited", "statement", "version"])
def test_names_are_escaped(field):
    document = page(facts=FACTS.__class__(**{**FACTS.__dict__, field: HOSTILE + '"'}))
    Reader(document)
    assert "<script" not in document
    assert "&lt;script&gt;alert" in document
