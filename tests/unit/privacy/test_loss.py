"""The privacy loss of one step and of many: that of dp-accounting, which takes the points one by one, of plain convolution, and of a Rényi accountant."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.pld_pmf import DensePLDPmf
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from ringfence.privacy import accountant
from ringfence.privacy.loss import composed, cut_gaussian, sampled_gaussian
from ringfence.privacy.plan import Mechanism

EPSILONS = [-3.0, -0.2, 0.0, 1e-3, 0.1, 1.0, 4.0, 9.0]


def both(noise, rate, grid):
    theirs = privacy_loss_distribution.from_gaussian_mechanism(
        noise, sampling_prob=rate, value_discretization_interval=grid, neighboring_relation=NeighboringRelation.REPLACE_SPECIAL
    )
    return sampled_gaussian(noise, rate, grid=grid), theirs


def assert_same(noise, rate, grid):
    ours, theirs = both(noise, rate, grid)
    for epsilon in EPSILONS:
        assert ours.get_delta_for_epsilon(epsilon) == pytest.approx(theirs.get_delta_for_epsilon(epsilon), rel=1e-7, abs=1e-13), epsilon
    for delta in (1e-3, 1e-6, 1e-9):
        assert ours.get_epsilon_for_delta(delta) == pytest.approx(theirs.get_epsilon_for_delta(delta), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(
    ("noise", "rate"), [(1.0, 0.01), (0.5, 0.5), (0.3, 0.9), (20.0, 0.001), (2.0, 1.0), (0.45, 5e-4), (90.0, 0.2), (1e4, 0.3), (0.3, 1e-6)]
)
def test_it_is_the_librarys(noise, rate):
    assert_same(noise, rate, 1e-3)


@settings(max_examples=40)
@given(noise=st.floats(0.3, 100), rate=st.floats(1e-5, 1))
def test_it_is_the_librarys_wherever_one_looks(noise, rate):
    assert_same(noise, rate, 5e-3)


@pytest.mark.parametrize(("noise", "rate"), [(5.0, 1 - math.exp(-0.1)), (5.0, 148 / 163), (0.4, 0.999999), (1e5, 1e-6)])
def test_a_point_of_the_grid_may_be_the_loss_of_who_was_not_drawn_and_a_rate_nearly_one(noise, rate):
    assert_same(noise, rate, 1e-4)


def both_cut(noise, rate, units, most, grid):
    theirs = privacy_loss_distribution.from_truncated_subsampled_gaussian_mechanism(
        dataset_size=units,
        sampling_probability=rate,
        truncated_batch_size=most,
        noise_multiplier=noise,
        value_discretization_interval=grid,
        neighboring_relation=NeighboringRelation.REPLACE_SPECIAL,
    )
    return cut_gaussian(noise, rate, units=units, most=most, grid=grid), theirs


def assert_same_cut(noise, rate, units, most, grid):
    ours, theirs = both_cut(noise, rate, units, most, grid)
    for epsilon in EPSILONS:
        assert ours.get_delta_for_epsilon(epsilon) == pytest.approx(theirs.get_delta_for_epsilon(epsilon), rel=1e-7, abs=1e-13), epsilon
    for delta in (1e-3, 1e-6, 1e-9):
        assert ours.get_epsilon_for_delta(delta) == pytest.approx(theirs.get_epsilon_for_delta(delta), rel=1e-7, abs=1e-9)


CUT = [(1.0, 0.01, 1_000, 15), (0.3, 0.5, 20, 12), (2.0, 0.9, 50, 46), (20.0, 0.001, 10_000, 11), (0.7, 0.2, 200, 40), (300.0, 0.3, 10, 9)]


@pytest.mark.parametrize(("noise", "rate", "units", "most"), CUT)
def test_where_a_step_may_be_cut_it_is_the_librarys_too(noise, rate, units, most):
    assert_same_cut(noise, rate, units, most, 1e-3)
    assert cut_gaussian(noise, rate, units=units, most=most, grid=1e-3).get_epsilon_for_delta(1e-6) > sampled_gaussian(
        noise, rate, grid=1e-3
    ).get_epsilon_for_delta(1e-6)


@settings(max_examples=25, deadline=None)
@given(noise=st.floats(0.3, 100), rate=st.floats(1e-3, 0.999), units=st.integers(2, 2_000), share=st.floats(0, 1))
def test_wherever_one_looks(noise, rate, units, share):
    least = max(1, int(rate * units))
    assert_same_cut(noise, rate, units, least + int(share * (units - 1 - least)), 5e-3)


def test_a_cut_that_no_float_can_hold_is_none():
    uncut, cut = sampled_gaussian(1.0, 1e-4, grid=1e-3), cut_gaussian(1.0, 1e-4, units=1_000_000, most=900_000, grid=1e-3)
    assert cut.get_epsilon_for_delta(1e-6) == uncut.get_epsilon_for_delta(1e-6)


@pytest.mark.parametrize("rate", [1 - 1e-11, 1 - 1e-12, 1 - 1e-13, 1 - 2**-53])
@pytest.mark.filterwarnings("error")
def test_a_rate_that_is_as_good_as_one_costs_what_one_costs(rate):
    """The library has no number there: its logarithms cancel."""
    surely = sampled_gaussian(0.3, 1.0, grid=1e-3).get_epsilon_for_delta(1e-5)
    assert sampled_gaussian(0.3, rate, grid=1e-3).get_epsilon_for_delta(1e-5) == pytest.approx(surely, rel=1e-6)
    run = Mechanism(noise_multiplier=0.3, sampling_rate=rate, steps=1)
    assert accountant.epsilon_spent([run, run], delta=1e-5) > surely


def test_what_is_no_number_is_more_than_any_limit(monkeypatch):
    monkeypatch.setattr(accountant, "_loss", lambda _: type("Loss", (), {"get_epsilon_for_delta": lambda _, __: math.nan})())
    run = Mechanism(noise_multiplier=0.77, sampling_rate=0.5, steps=3)
    assert accountant.epsilon_spent([run], delta=1e-5) == math.inf


def test_on_the_grid_that_is_priced_with_and_after_many_steps():
    ours, theirs = both(0.8, 0.02, 1e-4)
    ours, theirs = composed(ours, 1_000), theirs.self_compose(1_000)
    assert ours.get_epsilon_for_delta(1e-6) == pytest.approx(theirs.get_epsilon_for_delta(1e-6), rel=1e-6)
    assert ours._pmf_remove.size < theirs._pmf_remove.size


def assert_same_together(one, times):
    ours, theirs = composed(one, times), one.self_compose(times)
    for epsilon in EPSILONS:
        assert ours.get_delta_for_epsilon(epsilon) == pytest.approx(theirs.get_delta_for_epsilon(epsilon), rel=1e-6, abs=2e-12), epsilon


@settings(max_examples=40, deadline=None)
@given(noise=st.floats(0.5, 100), rate=st.floats(1e-4, 1), times=st.integers(1, 2_000))
def test_many_steps_cost_what_the_library_says(noise, rate, times):
    assert_same_together(sampled_gaussian(noise, rate, grid=5e-3), times)


@pytest.mark.parametrize(("noise", "rate", "units", "most"), CUT[:4])
@pytest.mark.parametrize("times", [2, 300])
def test_many_steps_that_may_be_cut_too(noise, rate, units, most, times):
    assert_same_together(cut_gaussian(noise, rate, units=units, most=most, grid=1e-3), times)


@pytest.mark.parametrize("times", [2, 3, 40])
def test_the_sum_of_losses_is_their_convolution_and_all_that_is_left_out_is_charged(times):
    """The oracle multiplies out, without a transform, and leaves nothing out."""
    drawn = np.random.default_rng(4).dirichlet(np.full(30, 0.2))
    drawn[-12:] *= 1e-7
    one = DensePLDPmf(0.05, -9, drawn, 1e-16, pessimistic_estimate=True)
    whole = functools.reduce(np.convolve, [drawn] * times)
    ours = composed(PrivacyLossDistribution(one), times)._pmf_remove
    begin = ours._lower_loss + 9 * times
    end = begin + ours.size
    assert ours._probs == pytest.approx(whole[begin:end], abs=1e-15)
    assert ours.size < len(whole) or times == 2
    assert whole[:begin].sum() + whole[end:].sum() <= 1e-15
    assert ours._infinity_mass == pytest.approx(times * 1e-16 + 1e-15, rel=1e-9, abs=0)


LONG = {  # a step, and how many of it
    "a million steps that may be cut": (lambda: cut_gaussian(1.17728, 1.3012e-4, units=65_364, most=27, grid=1e-4), 1_000_000),
    "a million": (lambda: sampled_gaussian(1.17728, 1.3012e-4, grid=1e-4), 1_000_000),
    "as many as the least is kept for": (lambda: sampled_gaussian(0.6, 1e-3, grid=1e-4), 200_000),
}


@pytest.mark.parametrize("case", LONG)
def test_round_off_takes_less_than_is_kept_for_it(case):
    """The oracle makes the same transform in long double, of whose 64 bits the eleven more than a double's are a thousandth of its error."""
    made, times = LONG[case]
    one = made()
    for ours, each in zip((composed(one, times)._pmf_remove, composed(one, times)._pmf_add), (one._pmf_remove, one._pmf_add), strict=True):
        points = fft.next_fast_len(max(ours.size, each.size), real=True)
        exact = fft.irfft(fft.rfft(each._probs.astype(np.longdouble), points) ** times, points)
        exact = np.roll(exact, each._lower_loss * times - ours._lower_loss)[: ours.size].astype(float)
        lost = max((exact - ours._probs)[at:].sum() for at in range(0, ours.size, 1_000))  # of the chance of so large a loss
        assert lost <= 1 - accountant._vouched(1.0, times)


@pytest.mark.parametrize("rate", [1e-6, 0.01, 0.7, 1.0])
@pytest.mark.parametrize("noise", [0.3, 1.0, 300.0])
def test_where_to_look_is_what_a_renyi_accountant_says(noise, rate):
    theirs = RdpAccountant(accountant._ORDERS, NeighboringRelation.REPLACE_SPECIAL)
    theirs.compose(SelfComposedDpEvent(PoissonSampledDpEvent(rate, GaussianDpEvent(noise)), 500))
    ours = accountant._quick_bound([Mechanism(noise_multiplier=noise, sampling_rate=rate, steps=500)], 1e-6)
    assert ours == pytest.approx(theirs.get_epsilon(1e-6), rel=1e-6, abs=2e-3)  # it knows that a loss of nearly nothing is none
    assert ours >= theirs.get_epsilon(1e-6) - 1e-9
