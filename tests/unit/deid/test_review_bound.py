"""How much of a set is bad at most: against the tail summed by hand, against scipy, and by drawing."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from ringfence.deid.review.bound import ALPHA, most_bad, share_of_a_stream, tail


@st.composite
def seen(draw, most=60):
    total = draw(st.integers(1, most))
    count = draw(st.integers(0, total))
    return total, count, draw(st.integers(0, count))


def naive_tail(total, bad, count, most):
    """Count the samples one by one: rows 0 … bad - 1 are the bad ones."""
    samples = list(itertools.combinations(range(total), count))
    return Fraction(sum(sum(row < bad for row in sample) <= most for sample in samples), len(samples))


def naive_bound(total, count, found):
    """Try every number of bad rows, with the tail as a sum of fractions."""
    possible = []
    for bad in range(found, total - (count - found) + 1):
        p = sum(Fraction(math.comb(bad, k) * math.comb(total - bad, count - k), math.comb(total, count)) for k in range(found + 1))
        if p > ALPHA:
            possible.append(bad)
    return max(possible)


def test_the_tail_is_the_share_of_samples():
    for total in range(1, 8):
        for count in range(total + 1):
            for bad in range(total + 1):
                for most in range(-1, count + 1):
                    assert tail(total, bad, count, most) == naive_tail(total, bad, count, most)


@given(seen())
def test_the_bound_is_that_of_trying_every_number(case):
    assert most_bad(*case) == naive_bound(*case)


@given(seen(2_000))
def test_the_bound_agrees_with_scipy(case):
    total, count, found = case
    bound = most_bad(*case)
    if bound < total - (count - found):
        assert hypergeom.cdf(found, total, bound + 1, count) <= 0.05 + 1e-9
    assert hypergeom.cdf(found, total, bound, count) >= 0.05 - 1e-9


@pytest.mark.parametrize(
    ("total", "count", "found", "bound"),
    [(1, 0, 0, 1), (10, 10, 3, 3), (10, 0, 0, 10), (10, 10, 0, 0), (100, 99, 0, 0), (40, 4, 4, 40), (300, 300, 1, 1)],
)
def test_edges(total, count, found, bound):
    assert most_bad(total, count, found) == bound


def test_a_large_set_tends_to_the_known_rule_of_three():
    assert most_bad(1_000_000, 300, 0) / 1_000_000 == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-3)
    assert most_bad(10_000_000, 1_000, 5) / 10_000_000 == pytest.approx(share_of_a_stream(1_000, 5), rel=1e-3)
    assert most_bad(2_000, 300, 0) < 2_000 * share_of_a_stream(300, 0)  # a finite set is known better


@given(st.integers(1, 200), st.data())
def test_the_bound_of_a_stream_is_where_the_binomial_tail_is_five_percent(count, data):
    found = data.draw(st.integers(0, count))
    share = share_of_a_stream(count, found)
    if found == count:
        assert share == 1.0
    else:
        tail_there = sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(found + 1))
        assert tail_there == pytest.approx(0.05, rel=1e-6)
        assert binom.cdf(found, count, share) == pytest.approx(0.05, rel=1e-6)


def test_the_bound_holds_nineteen_times_of_twenty():
    draw = random.Random(7)
    total, bad, count = 400, 30, 60
    held = sum(most_bad(total, count, sum(row < bad for row in draw.sample(range(total), count))) >= bad for _ in range(2_000))
    assert 0.94 <= held / 2_000 <= 1.0  # 95 % or a little more, as counts are whole


@pytest.mark.parametrize("case", [(5, 6, 0), (5, 3, 4), (5, 3, -1)])
def test_impossible_counts_are_refused(case):
    with pytest.raises(ValueError, match="among"):
        most_bad(*case)
