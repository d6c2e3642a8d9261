"""Every bound against a published constant, an independent formula or its own definition by brute force."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from ringfence.audit.statistics import (
    auc,
    certified_exposure,
    exposure_limit,
    exposure_p_value,
    extractable_log_probability,
    one_run_epsilon,
    one_run_guesses,
    one_run_p_value,
    rank_p_value,
    rate,
    tpr_at_fpr,
)
from ringfence.core.rules import least_tries

# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 300), st.data())
def test_the_bounds_of_a_rate_invert_the_binomial_tail(tries, data):
    hits = data.draw(st.integers(0, tries))
    got = rate(hits, tries)
    assert got.lower <= got.value == hits / tries <= got.upper
    if hits:
        assert binom.sf(hits - 1, tries, got.lower) == pytest.approx(0.05)
    if hits < tries:
        assert binom.cdf(hits, tries, got.upper) == pytest.approx(0.05)


@pytest.mark.parametrize(("m", "upper"), [(30, 0.095), (100, 0.030), (300, 0.010), (59, 0.05), (299, 0.01)])
def test_nothing_found_is_an_upper_bound(m, upper):
    assert rate(0, m).upper == pytest.approx(upper, abs=6e-4)


@pytest.mark.parametrize(("limit", "least"), [(0.05, 59), (0.01, 299), (0.10, 29)])
def test_the_least_sample_that_can_pass(limit, least):
    assert least_tries(limit) == least
    assert rate(0, least).upper <= limit < rate(0, least - 1).upper


def test_no_tries_say_nothing():
    assert rate(0, 0) == (0.0, 0.0, 1.0)
    with pytest.raises(ValueError):
        rate(2, 1)


# ── membership ────────────────────────────────────────────────────────────────────────────────────────────────────────


def naive_auc(members, others):
    wins = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in others] for a in members]
    table = np.array(wins)
    ten, one = table.mean(axis=1), table.mean(axis=0)
    variance = ten.var(ddof=1) / len(members) + one.var(ddof=1) / len(others)
    return table.mean(), math.sqrt(variance)


SCORES = st.lists(st.integers(-6, 6), min_size=2, max_size=30)


@given(SCORES, SCORES)
def test_auc_and_its_variance_are_those_of_all_pairs(members, others):
    got = auc(members, others)
    value, error = naive_auc(members, others)
    assert got.value == pytest.approx(value)
    assert 0 <= got.lower <= got.value <= got.upper <= 1
    if error > 1e-9:
        assert got.upper == pytest.approx(min(1.0, value + norm.ppf(0.95) * error))
        assert got.lower == pytest.approx(max(0.0, value - norm.ppf(0.95) * error))


def test_the_probability_of_ranks_is_that_of_all_ways_to_part_them():
    members, others = [2.5, 3.1, 4.0], [1.0, 1.5, 2.0, 2.7]
    together = members + others
    wins = [sum(a > b for a in side for b in set(together) - set(side)) for side in combinations(together, 3)]
    seen = sum(a > b for a in members for b in others)
    even = 3 * 4 / 2
    assert rank_p_value(members, others) == pytest.approx(np.mean([abs(one - even) >= abs(seen - even) for one in wins]))
    assert rank_p_value([], others) == rank_p_value([1.0], [1.0]) == 1.0
    assert rank_p_value([1.0] * 40, [1.0] * 40) == 1.0
    with pytest.raises(ValueError, match="no number"):
        rank_p_value([1.0, math.nan], [2.0])


@given(SCORES, SCORES)
def test_auc_turns_around_with_its_sides(members, others):
    one, two = auc(members, others), auc(others, members)
    assert one.value == pytest.approx(1 - two.value)
    assert one.upper == pytest.approx(1 - two.lower)


def test_sides_that_do_not_overlap_are_not_taken_for_certain():
    got = auc([3, 4, 5], [0, 1, 2])
    assert (got.value, got.upper) == (1.0, 1.0)
    assert got.lower == pytest.approx(0.05 ** (1 / 3))
    assert auc([1, 1, 1], [1, 1, 1]).lower < 0.5 < auc([1, 1, 1], [1, 1, 1]).upper  # nor are scores that are all alike
    assert auc([], [1.0]) == (0.5, 0.0, 1.0)


def test_the_bound_of_an_auc_covers_the_truth_as_often_as_it_says():
    """Two normal laws a known distance apart: the upper bound must be above the true value in at least 95 of 100 draws, within its error."""
    drawn = np.random.default_rng(5)
    truth = float(norm.cdf(0.5 / math.sqrt(2)))
    covered = sum(auc(drawn.normal(0.5, 1, 100), drawn.normal(0, 1, 100)).upper >= truth for _ in range(600))
    assert covered >= 600 * 0.95 - 3 * math.sqrt(600 * 0.95 * 0.05)


def test_true_positives_at_one_in_a_hundred():
    others = list(range(200))  # two may be above the threshold: it lies at 197
    hits, found = tpr_at_fpr([197.5, 198, 500, 3, 4], others)
    assert (hits, found.value) == (3, 0.6)
    assert found == rate(3, 5)
    assert tpr_at_fpr([1.0], list(range(99))) is None
    assert tpr_at_fpr([], list(range(200))) is None


# ── exposure ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_certified_exposure_is_never_above_the_exact_one(seed):
    """Brute force over a small vocabulary: any distribution over all codes, each code's rank counted."""
    drawn = np.random.default_rng(seed)
    digits, length = 4, 3
    logits = [drawn.normal(0, 3, (digits,) * (place + 1)) for place in range(length)]
    codes = np.array(list(np.ndindex(*(digits,) * length)))
    log_p = np.zeros(len(codes))
    for place in range(length):
        given_before = logits[place] - np.log(np.exp(logits[place]).sum(axis=-1, keepdims=True))
        log_p += [given_before[tuple(code[: place + 1])] for code in codes]
    assert np.exp(log_p).sum() == pytest.approx(1.0)
    bits = math.log2(digits**length)
    for at in drawn.integers(0, len(codes), 10):
        rank = 1 + int((log_p > log_p[at]).sum())
        assert certified_exposure(log_p[at], bits=bits) <= bits - math.log2(rank) + 1e-9


def test_the_null_law_of_exposure_on_unplanted_secrets():
    """The exposure of a secret that nobody planted is that of a random rank; the test then alarms as seldom as it says, and so does the limit."""
    drawn = np.random.default_rng(11)
    secrets = 10**6
    p_values, above = [], 0
    for _ in range(2_000):
        exposures = math.log2(secrets) - np.log2(drawn.integers(1, secrets + 1, 30))
        p_values.append(exposure_p_value(exposures))
        above += exposures.max() > exposure_limit(30)
    for level in (0.01, 0.05, 0.25):
        alarms = sum(p <= level for p in p_values)
        assert binom.cdf(alarms, 2_000, level) < 1 - 1e-4, "the test alarms too often"
        assert binom.cdf(alarms, 2_000, level) > 1e-4, "the test has lost its power"
    assert binom.cdf(above, 2_000, 0.01) < 1 - 1e-4


def test_exposure_of_learned_secrets_is_seen_and_lower_bounds_below_zero_do_not_help():
    assert exposure_p_value([19.9] * 3) < 1e-10
    assert exposure_p_value([]) == 1.0
    assert exposure_p_value([-5.0, 2.0]) == exposure_p_value([0.0, 2.0]) > 0.4
    assert exposure_limit(24) == pytest.approx(11.2, abs=0.03)
    assert exposure_limit(30) == pytest.approx(11.55, abs=0.01)


def test_a_thousand_samples_at_one_half():
    least = math.exp(extractable_log_probability())
    assert least == pytest.approx(6.93e-4, rel=1e-3)
    assert 1 - (1 - least) ** 1000 == pytest.approx(0.5)


# ── one run ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("canaries", "guesses", "right", "delta", "epsilon"),
    [
        (1_000, 100, 75, 1e-4, 0.673),  # Steinke et al. 2023, appendix D, page 46
        (100_000, 1_510, 1_439, 1e-5, 2.675),  # the same, section 7
        (20, 20, 20, 1e-5, 1.82),
        (200, 200, 200, 1e-5, 4.19),
        (1_000, 1_000, 1_000, 1e-5, 5.78),
        (200, 50, 50, 1e-5, 2.78),
        (1_000, 250, 225, 1e-5, 1.84),
    ],
)
def test_published_constants_of_the_one_run_audit(canaries, guesses, right, delta, epsilon):
    got = one_run_epsilon(canaries=canaries, guesses=guesses, right=right, delta=delta)
    assert got == pytest.approx(epsilon, abs=0.006)


def naive_p_value(m, r, v, epsilon, delta):
    """The loop of the paper's appendix, term by term."""
    share = 1 / (1 + math.exp(-epsilon))
    total, slope = 0.0, 0.0
    for i in range(1, v + 1):
        total += binom.pmf(v - i, r, share)
        slope = max(slope, total / i)
    return min(1.0, binom.sf(v - 1, r, share) + slope * delta * 2 * m)


@given(st.integers(1, 60), st.data(), st.floats(0, 4), st.sampled_from([0.0, 1e-5, 1e-3]))
def test_the_p_value_is_the_papers_loop(canaries, data, epsilon, delta):
    guesses = data.draw(st.integers(0, canaries))
    right = data.draw(st.integers(0, guesses))
    got = one_run_p_value(canaries=canaries, guesses=guesses, right=right, epsilon=epsilon, delta=delta)
    assert got == pytest.approx(naive_p_value(canaries, guesses, right, epsilon, delta), abs=1e-12)


def test_a_fair_guesser_shows_nothing_and_a_private_run_is_not_refuted():
    """Randomised response is ε-private exactly: at most 1 run in 20 may be refuted at its own ε."""
    assert one_run_epsilon(canaries=100, guesses=100, right=50, delta=1e-5) == 0.0
    assert one_run_epsilon(canaries=100, guesses=0, right=0, delta=1e-5) == 0.0
    drawn = np.random.default_rng(3)
    refuted = 0
    for _ in range(400):
        right = int(drawn.binomial(200, 1 / (1 + math.exp(-1.0))))
        refuted += one_run_epsilon(canaries=200, guesses=200, right=right, delta=0.0) > 1.0
    assert binom.cdf(refuted, 400, 0.05) < 1 - 1e-4


def test_guesses_are_the_extremes():
    scores = [5, -1, 0, 9, 3, -7]
    is_in = [True, False, True, True, False, False]
    assert one_run_guesses(scores, is_in, each_side=2) == (4, 4)
    assert one_run_guesses(scores, [not one for one in is_in], each_side=2) == (4, 0)
    assert one_run_guesses(scores, is_in, each_side=99) == (6, 4)
    assert one_run_guesses([], [], each_side=3) == (0, 0)
