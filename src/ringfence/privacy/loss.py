"""The privacy loss distribution of one step, as `dp-accounting` computes it, with all points of its grid at one time instead of one by one.

Source: Doroshenko et al. 2022 (arXiv:2207.04380), connect the dots; the supplementary material of dp-accounting, sampled additive noise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from dp_accounting.pld.pld_pmf import PLDPmf, create_pmf_pessimistic_connect_dots_fixed_gap
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.pld.privacy_loss_mechanism import AdjacencyType, GaussianPrivacyLoss


class _Gaussian(GaussianPrivacyLoss):  # type: ignore[misc]  # the library is untyped
    """Poisson-sampled Gaussian noise for one unit of length one, who is there or is taken out."""

    def get_delta_for_epsilon(self, epsilon: Any) -> Any:  # noqa: ANN401  as the library has it
        """Return the smallest delta for each epsilon. epsilon: float[n]; the result: float[n].

        At the point x at which the loss is ε, delta is P(loss > ε) of one output distribution less e^ε times that of the other.
        """
        epsilons = np.asarray(epsilon, dtype=float)
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


def sampled_gaussian(noise: float, rate: float, *, grid: float) -> PrivacyLossDistribution:
    """Return an upper bound of the privacy loss of one step. noise: standard deviation over clip norm; rate: chance to be drawn; grid: of the loss."""

    def one_way(adjacency: AdjacencyType) -> PLDPmf:
        loss = _Gaussian(noise, sampling_prob=rate, adjacency_type=adjacency)
        bounds = loss.connect_dots_bounds()
        low, high = math.floor(bounds.epsilon_lower / grid), math.ceil(bounds.epsilon_upper / grid)
        return create_pmf_pessimistic_connect_dots_fixed_gap(grid, low, high, loss.get_delta_for_epsilon(np.arange(low, high + 1) * grid))

    out = one_way(AdjacencyType.REMOVE)
    return PrivacyLossDistribution(out) if rate == 1 else PrivacyLossDistribution(out, one_way(AdjacencyType.ADD))
