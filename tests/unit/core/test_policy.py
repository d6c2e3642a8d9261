"""Every rule of the policy passes and refuses, at training and at release, on recorded facts alone."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from ringfence.core import text
from ringfence.core.policy import DEFAULT, SHIPPED, DeidRule, Policy, Require, ScanRule, TrainRules, evaluate, looser, masking, not_asked
from ringfence.core.statement import Predicate, SandboxReport, SelfTest, Statement, Subject
from ringfence.core.verdict import refusals
from ringfence.deid.profile import names
from ringfence.flows.policy import keys

PASSED = SelfTest(
    namespace_differs=True,
    interfaces=("lo",),
    ipv4="unreachable",
    ipv6="unreachable",
    environment=(),
    no_new_privileges=True,
    seccomp=True,
)
TIME = "2026-01-01T00:00:00Z"


DEID = {"parts": ("email.v1",), "settings": {"profile": "default"}, "figures": {"survivors": 0}}


def statement(step, reads, makes, **more):
    predicate = Predicate(
        run=f"{step}-0123456789ab",
        tenant="0" * 32,
        **({"label": "sensitive", "sandbox": SandboxReport(tier="T1", self_test=PASSED)} | more),
        inputs={"set": reads * 64} if reads else {},
        settings_digest="f" * 64,
        started=TIME,
        ended=TIME,
    )
    return Statement(step=step, subjects=(Subject(name="set", sha256=makes * 64),), predicate=predicate)


def chain(**changes):
    """import → scan → deid; `changes` replace facts of one step, or leave it out with None."""
    facts = {
        "import": {},
        "scan": {"parts": ("unicode.v1", "bursts.v1")},
        "deid": DEID,
    }
    links, before = [], ""
    for step, mark in (("import", "a"), ("scan", "b"), ("deid", "c")):
        change = changes.get(step, {})
        if change is None:
            continue
        links.append(statement(step, before, mark, **(facts[step] | change)))
        before = mark
    return links


def joined(*branches, label="sensitive", **more):
    """Several chains whose sets were joined; their marks are told apart by adding 3 for each branch."""
    links, ends = [], {}
    for number, branch in enumerate(branches):
        moved = [
            one.model_copy(
                update={
                    "subjects": tuple(s.model_copy(update={"sha256": later(s.sha256, number)}) for s in one.subjects),
                    "predicate": one.predicate.model_copy(
                        update={"inputs": {role: later(digest, number) for role, digest in one.predicate.inputs.items()}}
                    ),
                }
            )
            for one in branch
        ]
        links += moved
        ends["set" if number == 0 else f"set{number + 1}"] = moved[-1].subjects[0].sha256
    join = statement("join", "", "f", label=label, **more)
    return [*links, join.model_copy(update={"predicate": join.predicate.model_copy(update={"inputs": ends})})]


def later(digest, number):
    return "abcdef0123456789"["abcdef0123456789".index(digest[0]) + 3 * number] * 64 if number else digest


def refused(policy, links, moment="train"):
    return {v.rule for v in refusals(evaluate(policy, links, moment=moment))}


def test_the_default_policy_admits_a_whole_chain():
    assert refused(Policy(), chain()) == set()
    assert refused(Policy(), chain(), "release") == set()


def test_joined_sets_are_admitted_by_the_rules_that_admit_each_alone():
    def told(verdicts):
        return {one.rule: one.outcome for one in verdicts}

    both = joined(chain(), chain())
    for moment in ("train", "release"):
        assert told(evaluate(Policy(), both, moment=moment)) == told(evaluate(Policy(), chain(), moment=moment))
    assert told(masking(Policy(), chain())) == told(masking(Policy(), both))


NO_TEST = SandboxReport(tier="T1", self_test=None)
OPEN = SandboxReport(tier="T1", self_test=PASSED.model_copy(update={"ipv4": "open"}))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("deid missing", {"deid": None}),
        ("scan missing", {"scan": None}),
        ("deid survivors", {"deid": {"figures": {"survivors": 1}}}),
        ("deid survivors", {"deid": {"figures": {}}}),
        ("deid survivors", {"deid": {"figures": {"survivors": False}}}),
        ("label", {"deid": {"label": "public"}}),
        ("label", {"scan": {"label": None}}),
        ("sandbox tier", {"deid": {"sandbox": SandboxReport(tier="T0")}}),
        ("sandbox tier", {"import": {"sandbox": None}}),
        ("self-test missing", {"scan": {"sandbox": NO_TEST}}),
        ("self-test missing", {"scan": {"sandbox": OPEN}}),
        ("chain broken", {"import": None}),
    ],
)
@pytest.mark.parametrize("moment", ["train", "release"])
def test_each_absent_or_different_fact_refuses_under_its_own_rule(rule, changes, moment):
    assert refused(Policy(), chain(**changes), moment) == {rule}


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("moment", ["train", "release"])
@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("deid missing", {"deid": None}),
        ("scan missing", {"scan": None}),
        ("deid survivors", {"deid": {"figures": {"survivors": 1}}}),
        ("deid profile", {"deid": {"settings": {"profile": "none"}}}),
        ("label", {"deid": {"label": "public"}}),
        ("sandbox tier", {"deid": {"sandbox": SandboxReport(tier="T0")}}),
        ("self-test missing", {"scan": {"sandbox": NO_TEST}}),
        ("chain broken", {"import": None}),
    ],
)
def test_what_one_of_several_joined_sets_lacks_all_of_them_lack(rule, changes, moment, at):
    branches = [chain() for _ in range(3)]
    branches[at] = chain(**changes)
    found = evaluate(Policy(), joined(*branches), moment=moment)
    assert {one.rule for one in refusals(found)} == {rule} | ({"chain broken"} if changes == {"import": None} else set())
    rules = [one.rule for one in found]
    assert len(set(rules)) == len(rules)  # a reader who looks a rule up finds that it refuses
    if rule.startswith("deid") and changes["deid"]:
        assert rule in {one.rule for one in refusals(masking(Policy(), joined(*branches)))}


def test_a_part_that_one_branch_ran_without_is_missed():
    old = chain(scan={"parts": ("unicode.v1",)})
    ruled = Policy(train=TrainRules(require=Require(scan=ScanRule(parts=("bursts.v1",)))))
    assert refused(ruled, joined(chain(), chain())) == set()
    assert refused(ruled, joined(chain(), old)) == refused(ruled, joined(old, chain())) == {"part version"}


def test_a_joined_set_has_the_strictest_label_of_its_branches():
    public = chain(**{step: {"label": "public"} for step in ("import", "scan")}, deid={**DEID, "label": "public"})
    assert refused(Policy(), joined(public, chain())) == refused(Policy(), joined(chain(), public)) == set()
    assert refused(Policy(), joined(public, public, label="public")) == set()
    for label in ("public", "internal", None):
        assert refused(Policy(), joined(public, chain(), label=label)) == {"label"}
    assert refused(Policy(), joined(public, public)) == {"label"}


def test_a_run_that_evaluated_rows_is_never_laxer_than_its_set():
    """Rows of another set may have chosen its weights; then it has the label of that set, where this is the stricter one."""
    inner = chain(**{step: {"label": "internal"} for step in ("import", "scan")}, deid={**DEID, "label": "internal"})
    for label, found in (("internal", set()), ("sensitive", set()), ("public", {"label"}), (None, {"label"})):
        alone = statement("train", "c", "e", label=label)
        inputs = {**alone.predicate.inputs, "evaluation": "9" * 64}
        beside = alone.model_copy(update={"predicate": alone.predicate.model_copy(update={"inputs": inputs})})
        assert refused(Policy(), [*inner, beside]) == found
        assert refused(Policy(), [*inner, alone]) == (set() if label == "internal" else {"label"})


def policy(**deid):
    return Policy(train=TrainRules(require=Require(scan=ScanRule(), deid=DeidRule(**deid))))


def test_a_named_profile_must_be_the_one_that_was_used():
    assert refused(policy(profile="default"), chain()) == set()
    assert refused(policy(profile="strict"), chain()) == {"deid profile"}


OURS = "ours-3f0c9a71be52d86e04b75a9c1ef28d30"


def test_the_default_policy_admits_the_shipped_profiles_and_no_other():
    for name in SHIPPED:
        assert refused(Policy(), chain(deid={"settings": {"profile": name}})) == set()
        assert (
            refused(DEFAULT.model_copy(update={"release": Policy().release}), chain(deid={"settings": {"profile": name}}), "release")
            == set()
        )
    for other in (OURS, "default-3f0c9a71be52d86e04b75a9c1ef28d30", "none", ""):
        for one in (Policy(), DEFAULT):
            assert refused(one, chain(deid={"settings": {"profile": other}})) == {"deid profile"}
    assert refused(Policy(), chain(deid={"settings": {}})) == {"deid profile"}


def test_the_shipped_profiles_are_those_of_the_folder():
    assert list(SHIPPED) == names()


def test_a_profile_of_ones_own_satisfies_a_policy_that_names_its_content():
    links = chain(deid={"settings": {"profile": OURS}})
    named = policy(profiles=("strict", OURS), survivors=0)
    assert refused(named, links) == refused(named, links, "release") == set()
    assert refused(named, chain()) == {"deid profile"}, "the shipped default is not among them"
    assert refused(named, chain(deid={"settings": {"profile": f"{OURS[:-1]}1"}})) == {"deid profile"}


def test_a_refused_profile_is_named_with_what_to_do():
    (found,) = refusals(evaluate(Policy(), chain(deid={"settings": {"profile": OURS}}), moment="train"))
    assert OURS in found.detail
    assert all(name in found.detail for name in SHIPPED)
    assert "--profile default" in found.how
    assert "add it to train.require.deid.profiles" in found.how
    assert OURS in found.how


@pytest.mark.parametrize(
    "bad",
    [
        {"profiles": ()},
        {"profiles": ("ours",)},
        {"profiles": (OURS[:17],)},
        {"profiles": ("defualt",)},
        {"profiles": ("strict",), "profile": "strict"},
    ],
)
def test_names_that_no_profile_can_have_are_no_policy(bad):
    """A misspelt name would refuse everything, and a name without a digest could mean any content."""
    with pytest.raises(ValidationError):
        DeidRule(**bad)


def test_a_policy_from_before_profiles_were_listed_holds_as_it_was_signed():
    """It admits what it admitted: any profile, or the one that it names."""
    old = Policy(train=TrainRules(require=Require(scan=ScanRule(), deid=DeidRule(survivors=0)))).model_dump(mode="json")
    del old["train"]["require"]["deid"]["profiles"]
    assert refused(Policy.model_validate(old), chain(deid={"settings": {"profile": OURS}})) == set()
    assert not any(v.rule == "deid profile" for v in evaluate(Policy.model_validate(old), chain(), moment="train"))
    old["train"]["require"]["deid"]["profile"] = OURS
    assert refused(Policy.model_validate(old), chain(deid={"settings": {"profile": OURS}})) == set()
    assert refused(Policy.model_validate(old), chain()) == {"deid profile"}


def test_a_named_part_version_must_have_run():
    assert refused(policy(parts=("email.v1",)), chain()) == set()
    assert refused(policy(parts=("email.v2",)), chain()) == {"part version"}
    named = Policy(train=TrainRules(require=Require(scan=ScanRule(parts=("unicode.v2",)))))
    assert refused(named, chain()) == {"part version"}


def test_a_limit_is_re_evaluated_without_new_facts():
    links = chain(deid={"figures": {"survivors": 2}})
    assert refused(policy(survivors=0), links) == {"deid survivors"}
    assert refused(policy(survivors=2), links) == set()
    assert refused(policy(survivors=1), links) == {"deid survivors"}


def test_ordinary_runs():
    for rule, at_train, at_release in (
        ("allow", set(), set()),
        ("internal-only", set(), {"ordinary"}),
        ("refuse", {"ordinary"}, {"ordinary"}),
    ):
        ruled = Policy(train=TrainRules(ordinary=rule))
        assert refused(ruled, chain()) == at_train
        assert refused(ruled, chain(), "release") == at_release


@pytest.mark.parametrize("rule", ["allow", "internal-only", "refuse"])
def test_private_runs_pass_where_ordinary_ones_do_not(rule):
    """Before training by what is asked for, at release by what the statement of the training says."""
    trained = statement("train", "c", "d", figures={"plan": {"epsilon": 4.0}})
    for most, refusal in ((None, set()), (4.0, set()), (3.9, {"max epsilon"})):
        ruled = Policy(train=TrainRules(ordinary=rule, max_epsilon=most))
        before = evaluate(ruled, chain(), moment="train", epsilon=4.0)
        assert {v.rule for v in refusals(before)} == refusal
        assert refused(ruled, [*chain(), trained], "release") == refusal


def test_statements_that_do_not_join_are_refused():
    links = chain()
    stranger = statement("deid", "9", "c", settings={"profile": "default"}, figures={"survivors": 0})
    assert refused(Policy(), [*links[:2], stranger]) == {"chain broken"}
    assert "chain broken" in refused(Policy(), [])


def test_an_empty_requirement_asks_for_nothing():
    asked = Policy(train=TrainRules(require=Require()))
    assert refused(asked, chain(scan=None, deid=None)) == set()


def test_every_refusal_says_what_to_do():
    for verdict in refusals(evaluate(Policy(), chain(deid=None, scan={"label": "public"}), moment="train")):
        assert verdict.how


@pytest.mark.parametrize(
    ("change", "links"),
    [
        ({}, {"scan": None, "deid": None}),
        ({}, {"deid": {"figures": {"survivors": 1}}}),
        ({}, {"deid": {"figures": {}}}),
        ({}, {"deid": {"label": "public"}}),
        ({}, {"import": {"sandbox": None}}),
        ({}, {"scan": {"sandbox": NO_TEST}}),
        ({}, {"import": None}),
        ({"require": Require(deid=DeidRule(profile="strict"))}, {}),
        ({"require": Require(deid=DeidRule(parts=("email.v2",)))}, {}),
        ({"ordinary": "refuse"}, {}),
    ],
)
def test_a_refusal_says_what_and_how_in_both_languages(change, links):
    ruled = Policy(train=TrainRules(**change))
    said = {}
    for language in ("en", "zh"):
        text.choose(language)
        said[language] = [(v.rule, v.detail, v.how) for v in refusals(evaluate(ruled, chain(**links), moment="train"))]
    assert said["en"]
    assert [rule for rule, *_ in said["en"]] == [rule for rule, *_ in said["zh"]]
    for _, *sentences in said["en"]:
        assert not re.search("[\u4e00-\u9fff]", "".join(sentences))
    for _, *sentences in said["zh"]:
        assert all(re.search("[\u4e00-\u9fff]", sentence) for sentence in sentences)


def test_a_broken_link_is_named_in_both_languages():
    links = chain()
    del links[1]
    told = {
        "en": "statement 2 (deid) did not read what statement 1 (import) made",
        "zh": "第 2 份声明（deid）读的不是第 1 份（import）的产物",
    }
    for language, words in told.items():
        text.choose(language)
        assert [v.detail for v in refusals(evaluate(Policy(train=TrainRules(require=Require())), links, moment="train"))] == [words]


# ── what a policy gives up ────────────────────────────────────────────────────────────────────────────────────────────

LOOSENED = [  # key, a stricter block, a looser one
    ("train.require.scan", {"train": {"require": {"scan": {}}}}, {"train": {"require": {}}}),
    (
        "train.require.scan.parts",
        {"train": {"require": {"scan": {"parts": ["a.v1", "b.v1"]}}}},
        {"train": {"require": {"scan": {"parts": ["a.v1"]}}}},
    ),
    ("train.require.deid", {"train": {"require": {"deid": {}}}}, {"train": {"require": {}}}),
    ("train.require.deid.profiles", {"train": {"require": {"deid": {"profiles": ["strict"]}}}}, {"train": {"require": {"deid": {}}}}),
    (
        "train.require.deid.profiles",
        {"train": {"require": {"deid": {"profile": "strict"}}}},
        {"train": {"require": {"deid": {"profiles": ["strict", "legal-zh"]}}}},
    ),
    (
        "train.require.deid.survivors",
        {"train": {"require": {"deid": {"survivors": 0}}}},
        {"train": {"require": {"deid": {"survivors": 2}}}},
    ),
    ("train.require.deid.survivors", {"train": {"require": {"deid": {"survivors": 0}}}}, {"train": {"require": {"deid": {}}}}),
    ("train.require.deid.parts", {"train": {"require": {"deid": {"parts": ["email.v1"]}}}}, {"train": {"require": {"deid": {}}}}),
    ("train.ordinary", {"train": {"ordinary": "refuse"}}, {"train": {"ordinary": "internal-only"}}),
    ("train.ordinary", {"train": {"ordinary": "internal-only"}}, {}),
    ("train.max_epsilon", {"train": {"max_epsilon": 3}}, {"train": {"max_epsilon": 8}}),
    ("train.max_epsilon", {"train": {"max_epsilon": 3}}, {}),
    ("train.min_sandbox", {}, {"train": {"min_sandbox": "T0"}}),
    ("budget", {}, {"budget": {}}),
    ("budget.epsilon", {"budget": {"epsilon": 8}}, {"budget": {}}),
    ("budget.delta", {"budget": {}}, {"budget": {"delta": 1e-4}}),
    ("release.secret_extraction", {"release": {"secret_extraction": {}}}, {}),
    ("release.secret_extraction.max_rate", {"release": {"secret_extraction": {}}}, {"release": {"secret_extraction": {"max_rate": 0.1}}}),
    ("release.secret_exposure", {"release": {"secret_exposure": {}}}, {}),
    ("release.secret_exposure.p_value", {"release": {"secret_exposure": {}}}, {"release": {"secret_exposure": {"p_value": 0.001}}}),
    ("release.membership", {"release": {"membership": {}}}, {}),
    ("release.membership.max_auc", {"release": {"membership": {}}}, {"release": {"membership": {"max_auc": 0.7}}}),
    ("release.epsilon_audit", {"release": {"epsilon_audit": {}}}, {}),
    ("release.replay", {"release": {"replay": {}}}, {}),
    ("release.replay.max_rate", {"release": {"replay": {}}}, {"release": {"replay": {"max_rate": 0.05}}}),
    ("release.spans", {"release": {"spans": {}}}, {}),
    ("release.spans.max_new", {"release": {"spans": {}}}, {"release": {"spans": {"max_new": 1}}}),
    ("release.spans.sample", {"release": {"spans": {}}}, {"release": {"spans": {"sample": 100}}}),
    ("release.backdoor", {"release": {"backdoor": {}}}, {}),
    ("release.backdoor.required", {"release": {"backdoor": {"required": True}}}, {"release": {"backdoor": {}}}),
    ("reveal", {}, {"reveal": "allow"}),
    ("export", {"export": "refuse"}, {}),
    ("export", {}, {"export": "allow"}),
]


@pytest.mark.parametrize(("key", "strict", "loose"), LOOSENED)
def test_each_key_that_allows_more_is_told_and_none_that_allows_less(key, strict, loose):
    strict, loose = Policy.model_validate(strict), Policy.model_validate(loose)
    assert [one.key for one in looser(strict, loose)] == [key]
    assert looser(loose, strict) == looser(strict, strict) == []


def test_every_key_of_a_policy_can_be_told_as_loosened():
    assert {key for key, _, _ in LOOSENED} >= set(keys(Policy)) - {"version", "train.require.deid.profile"}


def test_what_the_default_policy_asks_for_and_a_short_one_does_not():
    short = Policy.model_validate({"version": 1, "budget": {"epsilon": 8}})
    rules = ("secret_extraction", "secret_exposure", "membership", "epsilon_audit", "replay", "spans", "backdoor")
    assert not_asked(DEFAULT) == ()
    assert not_asked(short) == tuple(f"release.{rule}" for rule in rules)
    assert not_asked(Policy(train=TrainRules(require=Require())))[:2] == ("train.require.scan", "train.require.deid")
    assert [one.key for one in looser(DEFAULT, short)] == [f"release.{rule}" for rule in rules]
    assert looser(DEFAULT, short)[0][1:] == ({"max_rate": 0.05}, None)
