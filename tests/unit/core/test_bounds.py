"""Bounds are rounded up, and decimals that a float cannot hold stay what they are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.bounds import epsilon_told, rounded_up


@given(st.floats(0, 1_000), st.sampled_from([3, 4]))
def test_what_is_told_is_never_below_what_is_spent(epsilon, digits):
    told = rounded_up(epsilon, digits)
    assert epsilon - 2e-6 * 10.0**-digits <= told < epsilon + 1.01 * 10.0**-digits


@pytest.mark.parametrize(
    ("epsilon", "told"), [(4.00001, "4.001"), (4.0, "4.000"), (0.1 + 0.2, "0.300"), (5.3621, "5.363"), (None, "over 1000")]
)
def test_in_words(epsilon, told):
    assert epsilon_told(epsilon) == told


def test_a_decimal_stays_itself_however_often_it_is_rounded():
    assert all(rounded_up(rounded_up(n / 1e4, 4), 4) == n / 1e4 for n in range(0, 100_000, 37))
    assert math.isclose(rounded_up(2.00001, 4), 2.0001)
