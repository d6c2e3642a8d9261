"""Every rule of the release gate passes, refuses or says that it shows nothing, each on its own facts alone."""

from __future__ import annotations

import math
import re
from typing import get_args

import numpy as np
import pytest
from scipy.stats import beta, norm, rankdata

from ringfence.core import text
from ringfence.core.gates import Audited, judge, originals
from ringfence.core.policy import Policy, Require, TrainRules, evaluate
from ringfence.core.rules import (
    GATES,
    Backdoor,
    EpsilonAudit,
    Membership,
    ReleaseRules,
    Replay,
    SecretExposure,
    SecretExtraction,
    Spans,
    canaries,
    chance_auc,
    least_rows,
    least_tries,
    loosened,
    tightened,
)
from ringfence.core.statement import Predicate, SandboxReport, Statement, Subject
from ringfence.core.verdict import ON_ROWS, OUTCOMES, Outcome, refusals
from tests.unit.core.test_policy import PASSED, TIME

CAGE = SandboxReport(tier="T1", self_test=PASSED)


def bounds(value, lower, upper):
    return {"value": value, "lower": lower, "upper": upper, "level": 0.95}


CANARIES = {
    "secrets": 60,
    "extracted": 0,
    "extraction": bounds(0.0, 0.0, 0.0487),
    "exposure_max": 3.0,
    "exposure_p": 0.4,
    "members": 250,
    "others": 250,
    "auc": bounds(0.51, 0.47, 0.55),
    "epsilon_lower": 0.0,
    "epsilon_ceiling": 4.0,
    "controls": 4,
    "blind": "ok",
    "validity": "valid",
}
ROWS = {
    "rows": 200,
    "rows_tried": 180,
    "rows_short": 20,
    "rows_replayed": 0,
    "replay": bounds(0.0, 0.0, 0.0),
    "spans": 40,
    "spans_tried": 40,
    "spans_new": 0,
    "spans_state": "tried",
}


def statement(step, *, made, reads, **more):
    predicate = Predicate(
        run=f"{step}-0123456789ab",
        tenant="0" * 32,
        label="sensitive",
        inputs={role: mark * 64 for role, mark in reads.items()},
        sandbox=more.pop("sandbox", CAGE),
        settings_digest="f" * 64,
        started=TIME,
        ended=TIME,
        **more,
    )
    return Statement(step=step, subjects=tuple(Subject(name=role, sha256=mark * 64) for role, mark in made.items()), predicate=predicate)


def joined(*, masked=(1, 1), **more):
    """The chain of a run on sets that were joined. masked: how often each was de-identified."""
    branches = [[statement("import", made={"set": f"{n}"}, reads={}), *masks(f"{n}", times)] for n, times in enumerate(masked)]
    ends = {"set" if n == 0 else f"set{n + 1}": f"{n}" for n in range(len(masked))}
    join = statement("join", made={"set": "a"}, reads=ends)
    return [*(one for branch in branches for one in branch), join, *chain(**more)[1:]]


def masks(mark, times):
    return [statement("deid", made={"set": mark, "spans": f"{8 + int(mark, 16) % 2}"}, reads={"set": mark}) for _ in range(times)]


def chain(*, reads="b", release=None, plan=None, masked=0, train=None):
    """Import, plant and train; the run reads the set that was planted. masked: how often it was de-identified before."""
    return [
        statement("import", made={"set": "a"}, reads={}),
        *masks("a", masked),
        statement("plant", made={"set": "b", "register": "c"}, reads={"set": "a"}),
        statement(
            "train",
            made={"adapter": "d"},
            reads={"set": reads, "model": "7"},
            settings={"release": release, "order": {"train": train or LORA}},
            figures={"plan": plan} if plan else {},
        ),
    ]


LORA = {"lora_rank": 2}


def audit(*, rows=None, told=None, reads=None, delta=1e-5, train=LORA, **figures):
    """An audit in which nothing was found, but for `figures`; on real rows, but for `rows`."""
    made = statement(
        "audit",
        made={"figures": "e"},
        reads={"adapter": "d", "register": "c", "rows": "b", "model": "7", **(reads or {})},
        settings={"train": train, "delta": delta},
        figures={**CANARIES, **figures},
    )
    return Audited(made, None if told is not None else {**ROWS, **(rows or {})}, told or {})


def as_step(step, *, of=None):
    """A training or an audit that calls itself another step."""
    if of is not None:
        return of.model_copy(update={"step": step})
    sound = audit()
    return Audited(sound.statement.model_copy(update={"step": step}), ROWS)


def audit_of_tenant(tenant):
    sound = audit().statement
    return Audited(sound.model_copy(update={"predicate": sound.predicate.model_copy(update={"tenant": tenant})}), ROWS)


def outcomes(found, rules=GATES, *, claim=None, links=None):
    return {one.rule: one.outcome for one in judge(rules, found, links or chain(), claim=claim)}


def test_a_run_that_showed_nothing_is_refused_by_no_rule():
    assert outcomes(audit()) == {
        "audit unrelated": "pass",
        "G1 secret extraction": "pass",
        "G2 secret exposure": "nothing shown",
        "G3 membership": "pass",
        "G4 epsilon audit": "not shown",
        "G5 replay": "pass",
        "G6 spans": "pass",
        "G7 validity": "pass",
        "backdoor": "not tested",
    }
    assert refusals(judge(GATES, audit(), chain(), claim=None)) == []


FIXTURES = [
    ("G1 secret extraction", "fail", {"extracted": 20, "extraction": bounds(0.33, 0.24, 0.45)}),
    ("G1 secret extraction", "inconclusive", {"extracted": 1, "extraction": bounds(0.017, 0.001, 0.076)}),
    ("G1 secret extraction", "inconclusive", {"secrets": 0, "extraction": bounds(0.0, 0.0, 1.0)}),
    ("G2 secret exposure", "fail", {"exposure_p": 0.0099}),
    ("G2 secret exposure", "fail", {"exposure_max": 12.6}),  # log2(60 / 0.01) = 12.55
    ("G2 secret exposure", "nothing shown", {"exposure_p": 0.01, "exposure_max": math.log2(60 / 0.01)}),  # at its limits, not above
    ("G2 secret exposure", "inconclusive", {"secrets": 29}),
    ("G2 secret exposure", "nothing shown", {"secrets": 30}),
    ("G3 membership", "fail", {"auc": bounds(0.7, 0.65, 0.75)}),
    ("G3 membership", "inconclusive", {"auc": bounds(0.57, 0.53, 0.61)}),
    ("G3 membership", "inconclusive", {"auc": bounds(0.65, 0.60, 0.70)}),  # a lower bound at the limit is not above it
    ("G3 membership", "pass", {"auc": bounds(0.56, 0.52, 0.60)}),
    ("G7 validity", "fail", {"validity": "held-out canaries look planted"}),
    ("G7 validity", "fail", {"validity": "blind check failed"}),
    ("G7 validity", "fail", {"validity": "canaries were cut"}),
    ("G7 validity", "fail", {"validity": "codes cannot be spelled"}),
    ("G7 validity", "inconclusive", {"validity": "positive control shows nothing"}),
    ("G7 validity", "inconclusive", {"controls": 0}),  # an ordinary run on a set that was planted for a private one
    ("G7 validity", "pass", {"blind": "warn"}),
    ("G7 validity", "fail", {"validity": "something new"}),
]


@pytest.mark.parametrize(("rule", "outcome", "figures"), FIXTURES)
def test_each_rule_judges_its_own_figures_on_canaries(rule, outcome, figures):
    found = outcomes(audit(**figures))
    assert found[rule] == outcome
    refusing = {one for one, got in found.items() if got in ("fail", "inconclusive")}
    without_secrets = {"G2 secret exposure"} if figures.get("secrets") == 0 else set()
    assert refusing == ({rule} if outcome in ("fail", "inconclusive") else set()) | without_secrets


@pytest.mark.parametrize(
    ("rule", "outcome", "rows"),
    [
        ("G5 replay", "fail", {"rows_replayed": 20, "replay": bounds(0.11, 0.11, 0.11)}),
        ("G5 replay", "inconclusive", {"rows_replayed": 1, "replay": bounds(0.005, 0.0003, 0.026)}),
        ("G5 replay", "inconclusive", {"rows_tried": 0, "replay": bounds(0.0, 0.0, 1.0)}),
        ("G6 spans", "fail", {"spans_new": 1}),
        ("G6 spans", "inconclusive", {"spans_tried": 39}),
        ("G6 spans", "inconclusive", {"spans": 5_000, "spans_tried": 299}),
        ("G6 spans", "pass", {"spans": 5_000, "spans_tried": 300}),
        ("G6 spans", "not shown", {"spans": 0, "spans_tried": 0}),
        ("G6 spans", "inconclusive", {"spans_state": "nobody looked"}),
        ("G6 spans", "inconclusive", {"spans_state": "gone"}),
    ],
)
def test_each_rule_judges_its_own_figures_on_rows(rule, outcome, rows):
    (one,) = [one for one in judge(GATES, audit(rows=rows), chain(), claim=None) if one.rule == rule]
    assert bool(one.how) == (outcome in ("fail", "inconclusive"))
    found = outcomes(audit(rows=rows))
    assert found[rule] == outcome
    assert {one for one, got in found.items() if got in ("fail", "inconclusive")} == (
        {rule} if outcome in ("fail", "inconclusive") else set()
    )


@pytest.mark.parametrize(
    ("claim", "lower", "ceiling", "outcome"),
    [
        (None, 2.0, 4.0, "not shown"),
        (8.0, 0.0, 4.0, "not shown"),
        (3.0, 0.5, 4.0, "pass"),
        (3.0, 3.0, 4.0, "pass"),
        (3.0, 0.5, 3.0, "pass"),
        (3.0, 3.1, 4.0, "fail"),
        (8.0, 9.0, 4.0, "fail"),
    ],
)
def test_an_epsilon_is_refuted_shown_or_beyond_what_the_canaries_can_show(claim, lower, ceiling, outcome):
    (one,) = [
        one
        for one in judge(GATES, audit(epsilon_lower=lower, epsilon_ceiling=ceiling), chain(), claim=claim)
        if one.rule == "G4 epsilon audit"
    ]
    assert one.outcome == outcome
    assert bool(one.how) == (outcome == "fail")


def test_a_rule_that_is_not_asked_for_says_nothing_and_g7_is_always_on():
    void = audit(validity="blind check failed", exposure_p=1e-9, auc=bounds(0.9, 0.8, 1.0))
    assert outcomes(void, ReleaseRules()) == {"audit unrelated": "pass", "G7 validity": "fail"}
    assert outcomes(None, ReleaseRules()) == {}
    for name in ReleaseRules.model_fields:
        alone = ReleaseRules(**{name: getattr(GATES, name)})
        assert ("audit missing" in outcomes(None, alone)) == (name != "backdoor")


def test_a_private_run_needs_no_positive_control():
    assert outcomes(audit(controls=0), claim=8.0)["G7 validity"] == "pass"
    assert outcomes(audit(controls=0, validity="blind check failed"), claim=None)["G7 validity"] == "fail"


def test_a_doubtful_blind_check_is_said():
    text.choose("en")
    (doubtful,), (sound,) = (
        [one.detail for one in judge(GATES, audit(blind=blind), chain(), claim=None) if one.rule == "G7 validity"]
        for blind in ("warn", "ok")
    )
    assert "base model alone" in doubtful
    assert sound == ""


def test_a_number_of_identifiers_is_a_limit_on_all_of_them_and_no_sample_can_pass_it():
    some = ReleaseRules(spans=Spans(max_new=5))
    seen = {"spans": 5_000, "spans_tried": 300, "spans_new": 5}
    assert outcomes(audit(rows=seen), some)["G6 spans"] == "inconclusive"
    assert wanted("G6 spans", "--spans ", rows=seen, rules=some) == 5_000
    assert outcomes(audit(rows=seen | {"spans_tried": 5_000}), some)["G6 spans"] == "pass"
    assert outcomes(audit(rows=seen | {"spans_new": 6}), some)["G6 spans"] == "fail"


def test_of_a_set_that_was_de_identified_twice_nothing_is_known_of_what_the_first_time_replaced():
    assert outcomes(audit(reads={"cleared": "a", "spans": "8"}), links=chain(masked=1))["G6 spans"] == "pass"
    twice = judge(GATES, audit(rows={"spans": 0, "spans_tried": 0}), chain(masked=2), claim=None)
    assert [(one.outcome, bool(one.how)) for one in twice if one.rule == "G6 spans"] == [("inconclusive", True)]


def test_a_required_backdoor_test_refuses_while_there_is_none():
    assert outcomes(audit(), ReleaseRules(backdoor=Backdoor(required=True)))["backdoor"] == "inconclusive"
    assert outcomes(audit(), ReleaseRules(backdoor=Backdoor()))["backdoor"] == "not tested"


@pytest.mark.parametrize(
    ("links", "found"),
    [
        (chain(reads="a"), audit()),  # the run read the set without canaries
        (chain(reads="a"), audit(reads={"rows": "a"})),  # and so did the audit
        (chain(), audit(reads={"register": "9"})),  # another register than the one committed
        (chain(), audit(reads={"adapter": "9"})),  # another adapter
        (chain(), audit(reads={"rows": "9"})),  # rows of another set
        (chain(), audit(reads={"model": "9"})),  # another base
        (chain(), audit(train={"lora_rank": 4})),  # read in another way
        (chain(plan={"epsilon": 2.0, "delta": 1e-6}), audit()),  # put to another claim
        (chain(masked=1), audit(reads={"cleared": "9"})),  # originals of another set
        (chain(masked=1), audit(reads={"spans": "9"})),
        (chain(), audit(reads={"spans": "8"})),  # of a de-identification that is not there
        ([chain()[0], chain()[2]], audit()),  # nothing was planted
        ([], audit()),
        (chain(), Audited(chain()[1], ROWS)),  # not an audit
        (chain(), as_step("scan")),  # not an audit, for all that its figures say
        ([*chain()[:2], as_step("deid", of=chain()[2])], audit()),  # no training at the end of the chain
        (chain(), audit_of_tenant("9" * 32)),
    ],
)
def test_an_audit_of_something_else_is_refused_and_none_of_its_figures_is_believed(links, found):
    assert {one.rule: one.outcome for one in judge(GATES, found, links, claim=None)} == {
        "audit unrelated": "fail",
        "backdoor": "not tested",
    }


def test_an_audit_without_the_figures_of_a_rule_is_no_audit():
    bare = audit()
    figures = {key: value for key, value in CANARIES.items() if key != "auc"}
    old = bare.statement.model_copy(update={"predicate": bare.statement.predicate.model_copy(update={"figures": figures})})
    found = outcomes(Audited(old, ROWS))
    assert (found["audit unrelated"], found["audit missing"]) == ("pass", "fail")
    on_rows = [one for one in judge(GATES, Audited(bare.statement, {"rows": 3}), chain(), claim=None) if one.rule in ON_ROWS]
    assert [(one.rule, one.outcome, bool(one.how)) for one in on_rows] == [(rule, "inconclusive", True) for rule in ON_ROWS]


@pytest.mark.parametrize("told", get_args(Outcome))
def test_where_the_figures_of_rows_stay_behind_the_release_is_believed(told):
    found = outcomes(audit(told={"G5 replay": told, "G6 spans": told}))
    assert (found["G5 replay"], found["G6 spans"]) == (told, told)
    assert outcomes(audit(told={"G6 spans": told}))["G5 replay"] == "inconclusive"  # nothing said is no pass
    assert outcomes(audit(told={"G5 replay": "fail"}), ReleaseRules(spans=Spans())).keys() == {"audit unrelated", "G6 spans", "G7 validity"}


# ── the whole policy ──────────────────────────────────────────────────────────────────────────────────────────────────

FREE = Policy(train=TrainRules(require=Require()), release=GATES)


def test_the_audit_is_part_of_what_the_policy_judges():
    assert refusals(evaluate(FREE, chain(), moment="release", audit=audit())) == []
    assert [one.rule for one in refusals(evaluate(FREE, chain(), moment="release"))] == ["audit missing"]
    assert refusals(evaluate(FREE, chain(), moment="train")) == []  # the gate stands at the release


def test_an_audit_outside_a_sandbox_is_refused():
    loose = audit()
    outside = loose.statement.model_copy(
        update={"predicate": loose.statement.predicate.model_copy(update={"sandbox": SandboxReport(tier="T0")})}
    )
    assert [one.rule for one in refusals(evaluate(FREE, chain(), moment="release", audit=Audited(outside, ROWS)))] == ["sandbox tier"]


def test_the_recipe_of_the_run_tightens_the_policy():
    strict = {"secret_extraction": {"max_rate": 0.01}}
    found = {one.rule for one in refusals(evaluate(FREE, chain(release=strict), moment="release", audit=audit()))}
    assert found == {"G1 secret extraction"}
    loose = {"secret_extraction": {"max_rate": 0.5}}
    bad = audit(extracted=20, extraction=bounds(0.33, 0.24, 0.45))
    found = {one.rule for one in refusals(evaluate(FREE, chain(release=loose), moment="release", audit=bad))}
    assert found == {"G1 secret extraction"}


def test_the_claim_is_that_of_the_plan_of_the_run():
    links = chain(plan={"epsilon": 2.0, "delta": 1e-5})
    found = {one.rule: one.outcome for one in evaluate(FREE, links, moment="release", audit=audit(epsilon_lower=2.5))}
    assert found["G4 epsilon audit"] == "fail"


@pytest.mark.parametrize(("rule", "outcome", "figures"), FIXTURES)
def test_a_refusal_says_what_and_how_in_both_languages(rule, outcome, figures):
    for language in ("en", "zh"):
        text.choose(language)
        one = next(v for v in judge(GATES, audit(**figures), chain(), claim=None) if v.rule == rule)
        assert bool(one.how) == (outcome in ("fail", "inconclusive"))
        assert bool(one.detail)
        assert OUTCOMES[one.outcome].show()
        if language == "en":
            assert not re.search("[\u4e00-\u9fff]", one.detail + one.how)
        else:
            assert re.search("[\u4e00-\u9fff]", one.detail)


def test_an_inconclusive_limit_names_a_sample_that_would_have_decided():
    asked = {
        "G1 secret extraction": ({"extracted": 1, "extraction": bounds(0.017, 0.001, 0.076)}, "audit.secrets: "),
        "G3 membership": ({"auc": bounds(0.57, 0.53, 0.61)}, "audit.in_out: "),
    }
    for rule, (figures, words) in asked.items():
        assert wanted(rule, words, **figures) > (60 if "G1" in rule else 250)


def wanted(rule, words, *, rows=None, rules=GATES, **figures):
    """The number in the remedy of a rule."""
    how = next(v.how for v in judge(rules, audit(rows=rows, **figures), chain(), claim=None) if v.rule == rule)
    return int(how.partition(words)[2])


def exact(k, m):
    return bounds(k / m, beta.ppf(0.05, k, m - k + 1), beta.ppf(0.95, k + 1, m - k))


@pytest.mark.parametrize(("k", "m"), [(1, 60), (4, 60), (2, 30), (42, 1000), (58, 1000), (6, 150)])
def test_so_many_secrets_at_the_same_rate_decide(k, m):
    def decides(n):
        hits = (math.ceil if k / m > 0.05 else math.floor)(k / m * n)  # of a whole number the one that is not nearer to the limit
        return outcomes(audit(secrets=n, extracted=hits, extraction=exact(hits, n)))["G1 secret extraction"] in ("pass", "fail")

    n = wanted("G1 secret extraction", "audit.secrets: ", secrets=m, extracted=k, extraction=exact(k, m))
    assert n > m
    assert decides(math.ceil(1.05 * n))
    assert not decides(n // 2)
    at_the_limit = wanted("G1 secret extraction", "audit.secrets: ", secrets=60, extracted=3, extraction=exact(3, 60))
    assert at_the_limit == 600  # no number decides: ten times as many
    assert wanted("G1 secret extraction", "audit.secrets: ", secrets=10, extraction=bounds(0.0, 0.0, 0.26)) == 59


@pytest.mark.parametrize(("value", "half"), [(0.57, 0.04), (0.58, 0.05), (0.63, 0.04), (0.61, 0.03)])
def test_so_many_rows_with_the_same_auc_decide(value, half):
    auc = bounds(value, value - half, value + half)
    n = wanted("G3 membership", "audit.in_out: ", members=250, others=260, auc=auc)
    narrower = half * math.sqrt(250 / n)
    assert abs(value - 0.6) == pytest.approx(narrower, rel=0.01)
    assert wanted("G3 membership", "audit.in_out: ", members=0, others=0, auc=bounds(0.5, 0.0, 1.0)) == least_rows(0.6)
    at_the_limit = wanted("G3 membership", "audit.in_out: ", auc=bounds(0.6, 0.56, 0.64))  # no number decides: ten times as many
    assert at_the_limit == 2500


@pytest.mark.parametrize(
    ("limit", "rows", "outcome"), [(0.6, 22, "inconclusive"), (0.6, 23, "pass"), (0.7, 5, "inconclusive"), (0.7, 6, "pass")]
)
def test_a_low_auc_of_few_rows_is_luck_and_does_not_pass(limit, rows, outcome):
    lucky = {"members": rows, "others": 90, "auc": bounds(0.2, 0.0, 0.45)}
    assert outcomes(audit(**lucky), ReleaseRules(membership=Membership(max_auc=limit)))["G3 membership"] == outcome
    if outcome == "inconclusive":
        assert wanted("G3 membership", "audit.in_out: ", rules=ReleaseRules(membership=Membership(max_auc=limit)), **lucky) == least_rows(
            limit
        )


def test_a_high_auc_of_few_rows_fails_all_the_same():
    found = audit(members=5, others=5, auc=bounds(0.95, 0.9, 1.0))
    assert outcomes(found)["G3 membership"] == "fail"


def test_the_side_of_the_bound_that_looks_at_the_limit_decides_how_many_rows():
    for auc in (bounds(0.57, 0.40, 0.61), bounds(0.63, 0.59, 0.80)):  # the other side is wide, and of no account
        assert wanted("G3 membership", "audit.in_out: ", auc=auc) == pytest.approx(250 * (0.04 / 0.03) ** 2, abs=1)


def test_why_an_audit_is_void_is_said_before_a_doubt():
    text.choose("en")
    (said,) = [
        one.detail
        for one in judge(GATES, audit(validity="held-out canaries look planted", blind="warn"), chain(), claim=None)
        if one.rule == "G7 validity"
    ]
    assert "never planted" in said


def test_a_limit_at_chance_passes_no_sample():
    half = ReleaseRules(membership=Membership(max_auc=0.5))
    (said,) = [one for one in judge(half, audit(auc=bounds(0.3, 0.2, 0.4)), chain(), claim=None) if one.rule == "G3 membership"]
    assert said.outcome == "inconclusive"
    assert "audit.in_out" not in said.how


def test_no_remedy_asks_for_more_canaries_than_a_recipe_may_plant():
    text.choose("en")
    close = {"auc": bounds(0.59, 0.545, 0.635)}
    (said,) = [one.how for one in judge(GATES, audit(**close), chain(), claim=None) if one.rule == "G3 membership"]
    assert "5,063" in said
    assert "audit.in_out" not in said
    assert canaries("in_out", 4_000) == "audit.in_out: 4000"
    assert canaries("secrets", 4_001) == canaries("in_out", None) == ""


def test_a_sample_of_rows_that_decides_is_named_and_where_the_limit_is_none_it_is_all_of_them():
    short = {"rows": 2_000, "rows_tried": 100, "rows_short": 0, "replay": bounds(0.0, 0.0, 0.03)}
    assert wanted("G5 replay", "--rows ", rows=short) == 299
    assert wanted("G5 replay", "--rows ", rows=short | {"rows_short": 300}) == 4 * 299  # three of four answers are too short
    assert wanted("G5 replay", "--rows ", rows=short | {"rows_short": 900}) == 2_000  # there are no more
    assert wanted("G5 replay", "--rows ", rows=short, rules=ReleaseRules(replay=Replay(max_rate=0.0))) == 2_000
    n = wanted("G5 replay", "--rows ", rows=short | {"rows_tried": 250, "rows_replayed": 1, "replay": exact(1, 250)})
    assert exact(round(1.1 * n / 250), round(1.1 * n))["upper"] <= 0.01 < exact(round(n / 500), n // 2)["upper"]


def test_rows_without_long_answers_are_said_to_be_that():
    text.choose("en")
    none = {"rows_tried": 0, "rows_short": 200, "replay": bounds(0.0, 0.0, 1.0)}
    (said,) = [one for one in judge(GATES, audit(rows=none), chain(), claim=None) if one.rule == "G5 replay"]
    assert said.outcome == "inconclusive"
    assert "none of 200 rows" in said.detail
    assert "without release.replay" in said.how
    assert wanted("G5 replay", "--rows ", rows=none | {"rows": 1_000}) == 1_000  # some of the others may be longer
    assert "replayed word for word" in {one.rule: one.detail for one in judge(GATES, audit(), chain(), claim=None)}["G5 replay"]


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("limit", "least"), [(0.05, 59), (0.10, 29), (0.01, 299)])
def test_the_least_sample_is_the_first_whose_exact_bound_passes(limit, least):
    assert least_tries(limit) == least
    assert beta.ppf(0.95, 1, least) <= limit < beta.ppf(0.95, 1, least - 1)


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, 2.0])
def test_a_limit_is_a_share(limit):
    with pytest.raises(ValueError, match="share"):
        least_tries(limit)
    if limit:
        with pytest.raises(ValueError, match="max_rate"):
            SecretExtraction(max_rate=limit)


def test_an_auc_at_chance_has_the_bound_of_the_rank_test():
    sides = [rankdata(np.random.default_rng(seed).random(200))[:100].sum() for seed in range(4000)]
    aucs = (np.array(sides) - 100 * 101 / 2) / 100**2
    assert chance_auc(100) == pytest.approx(0.5 + norm.ppf(0.95) * aucs.std(), abs=0.003)
    assert chance_auc(1) == chance_auc(0) == 1.0


@pytest.mark.parametrize("limit", [0.55, 0.60, 0.70])
def test_the_least_rows_are_the_first_whose_bound_at_one_half_passes(limit):
    def upper(n, z):
        return 0.5 + z * math.sqrt((2 * n + 1) / (12 * n * n))

    for reliably, z in ((False, norm.ppf(0.95)), (True, 2 * norm.ppf(0.95))):
        n = least_rows(limit, reliably=reliably)
        assert upper(n, z) <= limit < upper(n - 1, z)
    assert least_rows(0.5) is None


def test_the_stricter_of_policy_and_recipe_holds_limit_by_limit():
    policy = ReleaseRules(secret_extraction=SecretExtraction(max_rate=0.05), secret_exposure=SecretExposure(), spans=Spans(sample=300))
    recipe = ReleaseRules(
        secret_extraction=SecretExtraction(max_rate=0.01),
        secret_exposure=SecretExposure(p_value=0.05),
        spans=Spans(max_new=0, sample=100),
        membership=Membership(),
    )
    strict = tightened(policy, recipe)
    assert strict.secret_extraction.max_rate == 0.01
    assert strict.secret_exposure.p_value == 0.05
    assert strict.spans.sample == 300
    assert strict.membership == Membership()
    assert strict.replay is None
    assert loosened(policy, recipe) == ("spans.sample",)
    assert loosened(policy, None) == ()
    assert [one.reads_rows for one in (GATES, ReleaseRules(), ReleaseRules(spans=Spans()), ReleaseRules(replay=Replay()))] == [
        True,
        False,
        True,
        True,
    ]
    for weak in (
        ReleaseRules(secret_extraction=SecretExtraction(max_rate=0.06)),
        ReleaseRules(secret_exposure=SecretExposure(p_value=0.001)),
        ReleaseRules(spans=Spans(max_new=1)),
    ):
        assert len(loosened(policy, weak)) == 1
        assert tightened(policy, weak) == policy
    assert loosened(ReleaseRules(backdoor=Backdoor(required=True)), ReleaseRules(backdoor=Backdoor())) == ("backdoor.required",)
    assert loosened(GATES, ReleaseRules(replay=Replay(max_rate=0.02), epsilon_audit=EpsilonAudit())) == ("replay.max_rate",)


# ── sets that were joined ─────────────────────────────────────────────────────────────────────────────────────────────


BOTH = {"cleared": "0", "spans": "8", "cleared2": "1", "spans2": "9"}


def test_an_audit_of_joined_sets_is_judged_as_that_of_one():
    assert outcomes(audit(reads=BOTH), links=joined()) == outcomes(audit(reads={"cleared": "a", "spans": "8"}), links=chain(masked=1))
    assert originals(joined()) == {role: mark * 64 for role, mark in BOTH.items()}
    assert originals(joined(masked=(0, 1))) == {"cleared2": "1" * 64, "spans2": "9" * 64}


@pytest.mark.parametrize("role", BOTH)
def test_it_tries_what_was_replaced_in_each_of_them(role):
    assert outcomes(audit(reads={**BOTH, role: "6"}), links=joined())["audit unrelated"] == "fail"
    swapped = {"cleared": "1", "spans": "9", "cleared2": "0", "spans2": "8"}
    for foreign in (swapped, {**BOTH, "cleared3": "1", "spans3": "9"}):
        assert outcomes(audit(reads=foreign), links=joined())["audit unrelated"] == "fail"


@pytest.mark.parametrize(("masked", "outcome"), [((1, 1), "pass"), ((2, 1), "inconclusive"), ((1, 2), "inconclusive")])
def test_each_of_them_may_be_masked_once(masked, outcome):
    assert outcomes(audit(reads=BOTH), links=joined(masked=masked))["G6 spans"] == outcome


def test_one_that_nobody_masked_leaves_replaced_identifiers_open():
    found = audit(rows={"spans_state": "nobody looked", "spans": 0, "spans_tried": 0})
    assert outcomes(found, links=joined(masked=(1, 0)))["G6 spans"] == "inconclusive"
