"""Who is drawn: each unit as often as the rate says, independently of the others and of the step before."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, chi2

from ringfence.privacy.sampler import PoissonSampler

ALARM = 1e-6  # chance that an honest sampler fails a test


def drawn(units, rate, times):
    sampler = PoissonSampler(units=units, rate=rate, most=units)
    found = np.zeros((times, units), dtype=bool)
    for i in range(times):
        found[i, sampler.draw()] = True
    return found


@pytest.mark.parametrize("rate", [0.01, 0.25, 0.9])
def test_every_unit_is_drawn_as_often_as_the_rate_says(rate):
    found = drawn(50, rate, 4_000)
    for count in found.sum(axis=0):
        assert ALARM / 50 < binom.cdf(count, 4_000, rate) < 1 - ALARM / 50


def test_the_size_of_a_draw_has_the_binomial_law():
    sizes = np.bincount(drawn(20, 0.3, 20_000).sum(axis=1), minlength=21)
    expected = 20_000 * binom.pmf(np.arange(21), 20, 0.3)
    kept = expected > 5
    statistic = ((sizes - expected) ** 2 / expected)[kept].sum()
    assert chi2.sf(statistic, kept.sum() - 1) > ALARM


def test_neighbours_and_consecutive_steps_are_independent():
    found = drawn(40, 0.5, 10_000)
    beside = (found[:, :-1] == found[:, 1:]).sum()
    after = (found[:-1] == found[1:]).sum()
    for same, of in ((beside, found[:, 1:].size), (after, found[1:].size)):
        assert ALARM < binom.cdf(same, of, 0.5) < 1 - ALARM


def test_rate_one_draws_everybody_and_a_small_rate_sometimes_nobody():
    assert list(PoissonSampler(units=5, rate=1.0, most=5).draw()) == [0, 1, 2, 3, 4]
    assert any(len(PoissonSampler(units=5, rate=0.01, most=5).draw()) == 0 for _ in range(20))


def test_two_samplers_never_draw_the_same():
    a, b = PoissonSampler(units=256, rate=0.5, most=256), PoissonSampler(units=256, rate=0.5, most=256)
    assert list(a.draw()) != list(b.draw())
    assert list(a.draw()) != list(a.draw())


def test_of_a_draw_that_is_too_large_a_random_part_is_read():
    sampler = PoissonSampler(units=30, rate=0.5, most=12)
    draws = [sampler.draw() for _ in range(6_000)]
    assert all(list(one) == sorted(set(one)) and len(one) <= 12 for one in draws)
    sizes = np.bincount([len(one) for one in draws], minlength=13)
    assert ALARM < binom.cdf(sizes[12], 6_000, binom.sf(11, 30, 0.5)) < 1 - ALARM
    rate = sum(min(k, 12) * binom.pmf(k, 30, 0.5) for k in range(31)) / 30  # of each unit, whichever its number
    for count in np.bincount(np.concatenate(draws), minlength=30):
        assert ALARM / 30 < binom.cdf(count, 6_000, rate) < 1 - ALARM / 30
    assert len(PoissonSampler(units=5, rate=1.0, most=2).draw()) == 2
