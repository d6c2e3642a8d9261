"""Intervals against a slower second road, and against what is known in closed form."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from ringfence.evaluate.statistics import compared, loss, perplexity, summed
from ringfence.train.held_out import held_out


def rows(count, units, seed=0):
    """Return columns [rows, 2, 2] of losses and tokens, and units; rows of a unit are alike."""
    draw = np.random.default_rng(seed)
    whose = draw.integers(units, size=count)
    of_unit = draw.normal(2.0, 0.5, size=units)
    tokens = draw.integers(5, 40, size=count)
    base = (of_unit[whose] + draw.normal(0, 0.2, size=count)) * tokens
    tuned = base - 0.4 * tokens + draw.normal(0, 0.1, size=count) * tokens
    return np.stack([np.stack([base, tokens], axis=-1), np.stack([tuned, tokens], axis=-1)], axis=1), whose.tolist()


def by_lists(columns, units, *, resamples, seed):
    """The same draws, each resample written out row by row."""
    people = sorted(set(units))
    draw, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        chosen = [people[place] for place in draw.integers(len(people), size=len(people))]
        drawn = [columns[at] for person in chosen for at, unit in enumerate(units) if unit == person]
        sides = [math.fsum(row[side][0] for row in drawn) / math.fsum(row[side][1] for row in drawn) for side in (0, 1)]
        found.append((*sides, sides[1] - sides[0]))
    return np.quantile(np.array(found), [0.025, 0.975], axis=0)


def test_an_interval_is_that_of_resamples_written_out_row_by_row():
    columns, units = rows(40, 12)
    got = compared(summed(columns, units, resamples=1000, seed=7), loss)
    lower, upper = by_lists(columns, units, resamples=1000, seed=7)
    for at, one in enumerate((got.base, got.tuned, got.difference)):
        assert (one.lower, one.upper) == pytest.approx((lower[at], upper[at]), rel=1e-5)
        assert one.lower < one.value < one.upper
    assert got.base.value == pytest.approx(columns[:, 0, 0].sum() / columns[:, 0, 1].sum(), rel=1e-5)


def test_an_interval_of_many_units_is_the_one_of_the_closed_form():
    """Cochran's standard error of a ratio over clusters, which training reports (train/held_out.py)."""
    columns, units = rows(1500, 400)
    got = compared(summed(columns, units, resamples=4000, seed=1), loss)
    known = held_out(columns[:, 0, 0].tolist(), columns[:, 0, 1].astype(int).tolist(), units)
    assert got.base.value == pytest.approx(known.loss, rel=1e-5)
    assert got.base.upper - got.base.lower == pytest.approx(2 * 1.96 * known.error, rel=0.06)


def test_what_two_models_have_in_common_cancels_in_the_difference():
    columns, units = rows(60, 20)
    columns[:, 1, 0] = columns[:, 0, 0] - 0.25 * columns[:, 0, 1]  # better by a quarter on every token
    got = compared(summed(columns, units, resamples=1000, seed=3), loss)
    assert got.base.upper - got.base.lower > 0.1
    assert (got.difference.lower, got.difference.upper) == pytest.approx((-0.25, -0.25))


def test_rows_of_one_unit_go_together():
    """Each row ten times says nothing new of the person whose it is."""
    columns, units = rows(30, 30)
    units = list(range(30))
    once = compared(summed(columns, units, resamples=2000, seed=5), loss).base
    tenfold = compared(summed(np.repeat(columns, 10, axis=0), np.repeat(units, 10).tolist(), resamples=2000, seed=5), loss).base
    assert (tenfold.value, tenfold.lower, tenfold.upper) == pytest.approx((once.value, once.lower, once.upper))
    apart = compared(summed(np.repeat(columns, 10, axis=0), list(range(300)), resamples=2000, seed=5), loss).base
    assert apart.upper - apart.lower < (once.upper - once.lower) / 2


def test_of_one_unit_nothing_is_known_of_the_spread():
    columns, _ = rows(5, 5)
    got = compared(summed(columns, [3] * 5, resamples=1000, seed=5), loss)
    assert (got.base.lower, got.difference.upper) == (None, None)


def test_the_order_of_units_changes_nothing_but_draws_and_the_seed_repeats_them():
    columns, units = rows(50, 10)
    first, again, other = (compared(summed(columns, units, resamples=1000, seed=seed), loss) for seed in (1, 1, 2))
    assert first == again != other


def test_perplexity_is_that_of_the_loss_and_never_more_than_a_figure_can_be():
    sums = np.array([[2.0, 1.0], [math.log(7.5) * 4, 4.0], [9000.0, 3.0]])
    assert perplexity(sums) == pytest.approx([math.exp(2), 7.5, 1e15])
    shuffled = random.Random(0).sample(range(3), 3)
    assert perplexity(sums[shuffled]) == pytest.approx(perplexity(sums)[shuffled])
