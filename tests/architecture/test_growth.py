"""The judge of running times tells a line from a square, whatever a busy machine adds."""

from __future__ import annotations

import itertools

import pytest

from tests.growth import assert_linear


def test_a_square_is_told_from_a_line():
    assert_linear(lambda size: 1e-6 * size, 100)
    with pytest.raises(AssertionError, match="at 800"):
        assert_linear(lambda size: 1e-6 * size**2, 100)


def test_noise_is_no_square_and_hides_none():
    late = itertools.chain([0, 50e-4, 0, 90e-4], itertools.repeat(0))
    assert_linear(lambda size: 1e-6 * size + next(late), 100)
    late = itertools.cycle([0, 9e-4, 1e-4, 0])
    with pytest.raises(AssertionError):
        assert_linear(lambda size: 1e-7 * size**2 + next(late), 100)


def test_what_takes_less_than_the_floor_is_not_judged():
    assert_linear(lambda size: 1e-8 * size**2, 100, floor=0.01)
