"""Forecasts: what canaries can show agrees with the statistics of the audit; what a run will remember is learned from runs, or not foretold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringfence.audit.forecast import LEAST_RUNS, Seen, forecast, reach
from ringfence.audit.settings import AuditSettings
from ringfence.audit.statistics import auc, one_run_epsilon, rate
from ringfence.core.rules import GATES, Membership, ReleaseRules, SecretExtraction


def test_the_best_case_is_what_the_statistics_make_of_it():
    found = reach(AuditSettings(secrets=60, in_out=250), control=True, delta=1e-5, rows=500, spans=300)
    assert found.extraction_upper == rate(0, 60).upper
    assert found.epsilon_ceiling == one_run_epsilon(canaries=500, guesses=124, right=124, delta=1e-5)
    assert found.forwards == 120 + 4 + 2 * 500 + 800
    scored = reach(AuditSettings(secrets=60, in_out=250), control=True, delta=1e-5, rows=500, spans=300, ranks=True)
    assert scored.forwards == 124 * 1_023 + 4 * 7_168 + 2 * 2 * 500 + 800  # every secret as good as learned
    assert scored._replace(forwards=0) == found._replace(forwards=0)
    assert (found.exposure_decides, found.has_tpr) == (True, True)
    random = np.random.default_rng(1)
    uppers = [auc(random.normal(size=250), random.normal(size=250)) for _ in range(50)]
    assert found.auc_upper - 0.5 == pytest.approx(np.mean([one.upper - one.value for one in uppers]), rel=0.05)
    assert found.missing(GATES) == []


@pytest.mark.parametrize(
    ("settings", "rules", "first"),
    [
        ({"secrets": 58, "in_out": 250}, GATES, "G1 secret extraction: audit.secrets: 59"),
        ({"secrets": 29, "in_out": 250}, ReleaseRules(secret_exposure=GATES.secret_exposure), "G2 secret exposure: audit.secrets: 30"),
        ({"secrets": 60, "in_out": 45}, GATES, "G3 membership: audit.in_out: 46"),
        ({"secrets": 0, "in_out": 0}, ReleaseRules(secret_extraction=SecretExtraction()), "G1 secret extraction: audit.secrets: 59"),
        ({"secrets": 60, "in_out": 0}, ReleaseRules(membership=Membership(max_auc=0.7)), "G3 membership: audit.in_out: 12"),
    ],
)
def test_what_cannot_pass_is_named_with_the_least_that_could(settings, rules, first):
    assert reach(AuditSettings(**settings), control=False, delta=1e-5).missing(rules) == [first]


def run(passes, *, epsilon=None, noise=0.0):
    return Seen(1000, passes, 1e-3, epsilon, 3.0 * math.log(passes) + noise if epsilon is None else -1.0)


def test_below_five_runs_nothing_is_foretold():
    seen = [run(passes) for passes in (2, 4, 8, 16)]
    assert forecast(seen, run(4)) is None
    assert forecast([*seen, run(32)], run(4)) is not None
    assert LEAST_RUNS == 5


def test_a_forecast_follows_the_runs_and_says_how_far_it_was_off():
    seen = [run(passes) for passes in (1, 2, 4, 8, 16, 32)] + [run(8, epsilon=8.0), run(16, epsilon=8.0)]
    few, many, private = (forecast(seen, one) for one in (run(2), run(16), run(16, epsilon=8.0)))
    assert many.bits > few.bits + 3
    assert private.bits < many.bits - 2
    assert private.bits >= 0
    assert forecast(seen, run(1e9)).bits <= 6 * math.log2(10)
    noisy = [run(passes, noise=noise) for passes, noise in zip((1, 2, 4, 8, 16, 32), (4, -4, 4, -4, 4, -4), strict=True)]
    assert forecast(noisy, run(4)).error > forecast(seen[:6], run(4)).error
    assert many.runs == len(seen)


def test_runs_that_do_not_differ_foretell_themselves():
    same = [Seen(100, 3.0, 1e-3, None, 5.0)] * 6
    found = forecast(same, same[0])
    assert (found.bits, found.error) == pytest.approx((5.0, 0.0))
