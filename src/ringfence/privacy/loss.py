"""The privacy loss distribution of one step, and of many, as `dp-accounting` computes them, in a part of its time.

All points of the grid at one time instead of one by one; and a tighter bound of where the losses of many steps can be.

Source: Doroshenko et al. 2022 (arXiv:2207.04380), connect the dots; the supplementary material of dp-accounting, sampled additive noise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from dp_accounting.pld.pld_pmf import DensePLDPmf, PLDPmf, create_pmf_pessimistic_connect_dots_fixed_gap
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.pld.privacy_loss_mechanism import AdjacencyType, GaussianPrivacyLoss
from numpy.typing import NDArray
from scipy import fft
from scipy.stats import binom

_TAIL = 1e-15  # of the probability, that is left out of many steps' losses and charged to delta
_ORDERS = tuple(0.05 * 2**k for k in range(12))  # of moments, for a unit of loss


class _Gaussian(GaussianPrivacyLoss):  # type: ignore[misc]  # the library is untyped
    """Poisson-sampled Gaussian noise for one unit of length one, who is there, is taken out, or is replaced by its opposite."""

    def get_delta_for_epsilon(self, epsilon: Any) -> Any:  # noqa: ANN401  as the library has it
        """Return the smallest delta for each epsilon. epsilon: float[n]; the result: float[n].

        At the point x at which the loss is ε, delta is P(loss > ε) of one output distribution less e^ε times that of the other.
        """
        epsilons = np.asarray(epsilon, dtype=float)
        if self.adjacency_type == AdjacencyType.REPLACE:
            return self._delta_where_replaced(epsilons)
        taken_out = self.adjacency_type == AdjacencyType.REMOVE
        sign = 1.0 if taken_out else -1.0
        rate = self.sampling_prob
        edge = math.log1p(-rate) if rate < 1 else -math.inf  # the loss where the unit was surely not drawn: none is less
        inside = sign * epsilons > edge
        deltas = np.zeros_like(epsilons)
        if taken_out:
            deltas[~inside] = -np.expm1(epsilons[~inside])
        found = sign * epsilons[inside]
        unsampled = found - math.log(rate) + np.log(-np.expm1(edge - found))  # log(1 + (e^ε − 1) / q), which cancels where q is nearly 1
        x = -sign * (0.5 + unsampled * self._standard_deviation**2)
        deltas[inside] = self.mu_upper_cdf(x) - np.exp(epsilons[inside] + self.mu_lower_log_cdf(x))
        return np.clip(deltas, 0.0, 1.0)

    def _delta_where_replaced(self, epsilons: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the smallest delta for each epsilon. epsilons: float[n].

        With κ = exp(−1/2σ²), v = exp(x/σ² + ε/2) and a = (1 − q)/(qκ) · sinh(ε/2) the loss at x is ε where v² + 2av = 1: log v = −asinh(a).
        """
        rate, variance = self.sampling_prob, self._standard_deviation**2
        x = -variance * (epsilons / 2 + np.arcsinh((1 - rate) / rate * math.exp(1 / (2 * variance)) * np.sinh(epsilons / 2)))
        found: NDArray[np.float64] = np.clip(self.mu_upper_cdf(x) - np.exp(epsilons + self.mu_lower_log_cdf(x)), 0.0, 1.0)
        return found


def sampled_gaussian(noise: float, rate: float, *, grid: float) -> PrivacyLossDistribution:
    """Return an upper bound of the privacy loss of one step. noise: standard deviation over clip norm; rate: chance to be drawn; grid: of the loss."""
    out = _one_way(noise, rate, AdjacencyType.REMOVE, grid=grid)
    return PrivacyLossDistribution(out) if rate == 1 else PrivacyLossDistribution(out, _one_way(noise, rate, AdjacencyType.ADD, grid=grid))


def cut_gaussian(noise: float, rate: float, *, units: int, most: int, grid: float) -> PrivacyLossDistribution:
    """Return an upper bound of the privacy loss of one step that reads `most` of the units at most, a random part of those that it drew.

    Where the step is cut, one unit's coming or going moves another one in or out: it is priced as a unit that is replaced by its opposite.

    Source: arXiv:2508.15089, as dp-accounting computes it.
    """
    uncut = sampled_gaussian(noise, rate, grid=grid)
    chance = float(binom.sf(most - 1, units - 1, rate))  # that there was no room for one more
    if chance == 0:
        return uncut
    read = min(1.0, float(binom.sf(most, units, rate)) * most / chance / units)  # the chance of a unit to be read by a step that is cut
    if read == 0:  # beyond what a float can hold, and so is what it would add
        return uncut
    replaced = PrivacyLossDistribution(_one_way(noise / 2, read, AdjacencyType.REPLACE, grid=grid))
    return replaced.compute_mixture(uncut, chance)


def composed(one: PrivacyLossDistribution, times: int) -> PrivacyLossDistribution:
    """Return an upper bound of the privacy loss of so many steps, one of which has the loss `one`."""
    if times == 1:
        return one
    out = _composed_one_way(one._pmf_remove, times)  # noqa: SLF001  the library has no other way to them
    return PrivacyLossDistribution(out) if one._symmetric else PrivacyLossDistribution(out, _composed_one_way(one._pmf_add, times))  # noqa: SLF001


def _composed_one_way(loss: PLDPmf, times: int) -> PLDPmf:
    """Return the distribution of the sum of so many losses, by one Fourier transform of the part of the axis that holds all but `_TAIL` of it.

    As the library does it, which looks for that part with orders that shrink with the width of one step's losses: of steps that are rarely cut it
    is four times too wide. What lies outside wraps around into the part, and is charged besides.
    """
    dense = loss.to_dense_pmf()
    chances, grid = np.asarray(dense._probs), dense._discretization  # noqa: SLF001
    most = times * (len(chances) - 1)
    low, high = max(0, most - _last(chances[::-1], times, grid=grid)), min(most, _last(chances, times, grid=grid))
    count = high - low + 1
    points = fft.next_fast_len(max(count, len(chances)), real=True)
    together = np.roll(fft.irfft(fft.rfft(chances, points) ** times, points), -low)[:count]
    beyond = _TAIL - math.expm1(times * math.log1p(-dense._infinity_mass))  # noqa: SLF001
    return DensePLDPmf(grid, dense._lower_loss * times + low, together, beyond, pessimistic_estimate=True)  # noqa: SLF001


def _last(chances: NDArray[np.float64], times: int, *, grid: float) -> int:
    """Return a point beyond which a sum of so many has at most half of `_TAIL`, by Chernoff's bound, which has one minimum over the orders.

    chances: float[n], of the points 0 to n − 1 of one.
    """
    points = np.flatnonzero(chances > 0)
    logarithms = np.log(chances[points])
    found = math.inf
    for order in _ORDERS:
        weighed = logarithms + order * grid * points
        moment = weighed.max() + math.log(float(np.exp(weighed - weighed.max()).sum()))
        bound = (times * moment - math.log(_TAIL / 2)) / (order * grid)
        if bound > found:
            break
        found = bound
    return math.ceil(found)


def _one_way(noise: float, rate: float, adjacency: AdjacencyType, *, grid: float) -> PLDPmf:
    loss = _Gaussian(noise, sampling_prob=rate, adjacency_type=adjacency)
    bounds = loss.connect_dots_bounds()
    low, high = math.floor(bounds.epsilon_lower / grid), math.ceil(bounds.epsilon_upper / grid)
    return create_pmf_pessimistic_connect_dots_fixed_gap(grid, low, high, loss.get_delta_for_epsilon(np.arange(low, high + 1) * grid))
