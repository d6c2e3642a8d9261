"""Figures and validity from scores alone: a run that learned, one that did not, one whose held-out canaries were planted after all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringfence.audit.canaries import draw
from ringfence.audit.findings import Score, findings
from ringfence.audit.settings import AuditSettings, Register
from ringfence.audit.statistics import rank_p_value

CODES = math.log(10**6)


def drawn(seed, *, control, secrets=30, in_out=120):
    """Return a register whose coins, unlike a real one's, are the same in every run of the tests: bounds at 95 % fail once in twenty draws."""
    rng = np.random.default_rng(seed)
    register = draw(AuditSettings(secrets=secrets, in_out=in_out), control=control, chinese=0.5)
    picked = set(rng.permutation(2 * secrets)[:secrets].tolist())
    canaries = []
    for at, one in enumerate(register.canaries):
        is_in = {"secret": at in picked, "row": bool(rng.integers(2)), "control": True}[one.kind]
        canaries.append(one.model_copy(update={"is_in": is_in}))
    return Register(audit=register.audit, canaries=tuple(canaries))


def scored(register, rng, *, learned=lambda one: one.is_in, gain=12.0, base=lambda _: 0.0):
    """A chance score for each canary; `learned` ones are `gain` nats likelier."""
    found = {}
    for one in register.canaries:
        chance = -CODES + rng.exponential(1.0) * 0.5  # a random code has about 1.44 bits at most
        bonus = gain if learned(one) else 0.0
        told = min(-0.01, chance + bonus)
        blank = -CODES + rng.normal(0, 1) + base(one)
        found[one.id] = Score(blank + bonus + rng.normal(0, 0.3), blank, told, is_greedy=told > -0.5)
    return found


@pytest.fixture
def register():
    return drawn(7, control=True)


def test_a_run_that_learned_its_canaries(register):
    found = findings(register, scored(register, np.random.default_rng(1)), delta=1e-5)
    assert found.validity == "valid"
    assert found.exposure_p < 1e-10
    assert found.exposure_mean > 10
    assert found.auc.lower > 0.9
    assert found.tpr.lower > 0.5
    assert found.epsilon_lower > 1
    assert found.epsilon_lower <= found.epsilon_ceiling
    assert found.guesses == 2 * (240 // 8)
    assert found.controls == 4
    assert found.extraction.level == 0.95


def test_a_run_that_learned_nothing_but_the_control(register):
    found = findings(register, scored(register, np.random.default_rng(2), learned=lambda one: one.kind == "control"), delta=1e-5)
    assert found.validity == "valid"
    assert found.exposure_p > 0.01
    assert found.exposure_max < found.exposure_limit
    assert found.auc.lower < 0.5 < found.auc.upper
    assert found.epsilon_lower == 0.0
    assert (found.extracted, found.extraction.upper) == (0, pytest.approx(0.095, abs=1e-3))


def test_without_its_positive_control_nothing_shown_means_nothing(register):
    found = findings(register, scored(register, np.random.default_rng(3), learned=lambda _: False), delta=1e-5)
    assert found.validity == "positive control shows nothing"
    private = drawn(8, control=False)
    found = findings(private, scored(private, np.random.default_rng(3), learned=lambda _: False), delta=1e-5)
    assert found.validity == "valid"


def test_held_out_canaries_that_look_planted_void_the_audit(register):
    found = findings(register, scored(register, np.random.default_rng(4), learned=lambda _: True), delta=1e-5)
    assert found.validity == "held-out canaries look planted"


def test_a_base_model_that_tells_members_from_others_voids_the_audit(register):
    seen = {}
    for shift in (0.0, 3.0):
        scores = scored(register, np.random.default_rng(5), base=lambda one, shift=shift: shift * one.is_in)
        seen[shift] = findings(register, scores, delta=1e-5)
    assert (seen[0.0].blind, seen[0.0].validity) == ("ok", "valid")
    assert (seen[3.0].blind, seen[3.0].validity) == ("void", "blind check failed")


@pytest.mark.parametrize("in_out", [5, 12, 50])
def test_chance_voids_an_audit_as_seldom_as_it_says_however_few_its_rows(in_out):
    rng, found = np.random.default_rng(in_out), []
    for _ in range(2000):
        is_in = rng.random(2 * in_out) < 0.5
        scores = rng.normal(size=2 * in_out)
        found.append(rank_p_value(scores[is_in], scores[~is_in]))
    assert np.mean(np.array(found) < 0.001) <= 0.003
    assert np.mean(np.array(found) < 0.05) <= 0.065


def test_a_secret_that_the_model_has_no_digits_for_voids_the_audit():
    private = drawn(8, control=False)
    scores = scored(private, np.random.default_rng(3), learned=lambda _: False)
    one = private.of("secret", is_in=False)[0].id
    scores[one] = scores[one]._replace(constrained=-math.inf)
    assert findings(private, scores, delta=1e-5).validity == "codes cannot be spelled"


def test_canaries_that_training_never_read_to_their_end_void_the_audit():
    private = drawn(8, control=False)
    scores = scored(private, np.random.default_rng(3), learned=lambda _: False)
    assert findings(private, scores, delta=1e-5, are_cut=True).validity == "canaries were cut"


def test_either_way_of_extraction_counts():
    register = draw(AuditSettings(secrets=4, in_out=0), control=False, chinese=0)
    ids = [one.id for one in register.of("secret", is_in=True)]
    scores = {one.id: Score(-CODES, -CODES, -CODES) for one in register.canaries}
    scores[ids[0]] = Score(-CODES, -CODES, -CODES, is_greedy=True)
    scores[ids[1]] = Score(math.log(7.0e-4), -CODES, -CODES)
    scores[ids[2]] = Score(math.log(6.8e-4), -CODES, -CODES)
    found = findings(register, scores, delta=1e-5)
    assert (found.extracted, found.extraction.value) == (2, 0.5)
    assert (found.members, found.others, found.tpr) == (0, 0, None)


def test_few_rows_have_no_rate_at_one_in_a_hundred():
    register = draw(AuditSettings(secrets=0, in_out=20), control=False, chinese=0)
    found = findings(register, scored(register, np.random.default_rng(6)), delta=1e-5)
    assert found.tpr is None
    assert (found.secrets, found.exposure_p, found.extraction.upper) == (0, 1.0, 1.0)
    assert found.exposures_in == ()
