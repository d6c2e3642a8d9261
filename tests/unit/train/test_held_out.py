"""The held-out loss and its standard error: the naive formula, a simulation, and what rows of one person are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ringfence.train.held_out import held_out, interval


def test_rows_of_one_weight_are_a_plain_mean_with_its_textbook_error():
    losses = [1.0, 2.0, 4.0, 9.0]
    found = held_out(losses, [2] * 4, range(4))
    means = np.array(losses) / 2
    assert found.loss == pytest.approx(means.mean())
    assert found.error == pytest.approx(means.std(ddof=1) / math.sqrt(4))


def test_a_row_counts_by_its_tokens_and_a_unit_by_all_its_rows():
    losses, weights, units = [3.0, 1.0, 8.0, 2.0, 7.0], [2, 1, 4, 3, 2], [7, 7, 2, 9, 2]
    ratio = 21 / 12
    each = {7: 4 - ratio * 3, 2: 15 - ratio * 6, 9: 2 - ratio * 3}
    found = held_out(losses, weights, units)
    assert found.loss == pytest.approx(ratio)
    assert found.error == pytest.approx(math.sqrt(3 / 2 * sum(one**2 for one in each.values())) / 12)


def test_a_person_with_the_same_row_many_times_adds_no_certainty():
    losses, weights = [1.0, 2.0, 4.0, 9.0], [1, 2, 2, 3]
    once = held_out(losses, weights, range(4))
    often = held_out(losses * 10, weights * 10, list(range(4)) * 10)
    assert often == (pytest.approx(once.loss), pytest.approx(once.error), 4)


def test_one_unit_tells_nothing_of_others():
    assert held_out([1.0, 3.0], [1, 1], [5, 5]) == (2.0, None, 1)


def test_the_error_is_the_spread_over_sets_of_such_rows():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        weights = rng.integers(1, 9, 60)
        found.append(held_out((weights * rng.exponential(1.0, 60)).tolist(), weights.tolist(), range(60)))
    losses, errors, _ = np.array(found).T
    assert losses.mean() == pytest.approx(1.0, abs=0.02)
    assert errors.mean() == pytest.approx(losses.std(), rel=0.06)


def test_nineteen_of_twenty_intervals_hold_the_truth_also_where_units_are_few():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(2000):
        found = held_out(rng.normal(1.0, 0.2, 3).tolist(), [1] * 3, range(3))
        lower, upper = interval(found.loss, found.error, units=found.units)
        held += lower <= 1.0 <= upper
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
    assert interval(2.0, 0.1, units=1_000_000) == pytest.approx((2 - 0.196, 2 + 0.196), abs=1e-4)  # the normal distribution's 1.96
