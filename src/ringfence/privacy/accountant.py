"""The one place that turns mechanisms into ε, and ε into noise: privacy-loss distributions by Google's `dp-accounting`.

Every ε is an upper bound: distributions are discretised pessimistically. Central-limit accounting (GDP) is not offered, it reports less than the truth.

Source: Koskela et al. 2020 (arXiv:1906.03049); Doroshenko et al. 2022 (arXiv:2207.04380), connect the dots.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterable

from dp_accounting import DpEvent, GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.mechanism_calibration import ExplicitBracketInterval, calibrate_dp_mechanism
from dp_accounting.pld import PLDAccountant, privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import RdpAccountant

from ringfence.core.errors import PlanImpossible
from ringfence.core.text import t
from ringfence.privacy.plan import MOST_STEPS, DPPlan, Mechanism, PrivacySettings, merged

logging.getLogger("absl").setLevel(logging.ERROR)  # the search for noise tries what the Rényi bound cannot price

_GRID = 1e-4  # of the privacy loss
_SEARCH_GRID = 1e-3  # while noise is sought: ten times faster, and its ε a looser upper bound
_RELATION = NeighboringRelation.REPLACE_SPECIAL  # zero-out
_LEAST, _MOST = 0.3, 1e5  # noise multipliers that a plan may have; below, ε is beyond any use
_NEAR = 0.99  # of what was asked for; plans of many steps that lose little each need the finer grid
_LEAST_RATE = 1e-6
_BEYOND = 1_000.0  # ε
_STRIDE = 1.25  # between tried noise multipliers
_ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64, 128, 256, 1024, 4096)  # of Rényi divergences
_DIGITS = 5  # significant digits of a noise multiplier, rounded up


def epsilon_spent(mechanisms: Iterable[Mechanism], *, delta: float) -> float:
    """Return the ε of all these steps together, at `delta`; 0.0 for none, infinity where it is beyond 1,000 and means nothing any more.

    mechanisms: composed adaptively, in whatever order; all on the same units.
    """
    kinds = merged(mechanisms)
    if not kinds:
        return 0.0
    if _quick_bound([_event(one) for one in kinds], delta) > _BEYOND:  # its distribution would fill the memory
        return math.inf
    return float(functools.reduce(lambda a, b: a.compose(b), map(_loss, kinds)).get_epsilon_for_delta(delta))


def noise_for(*, epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Return a noise multiplier (standard deviation over clip norm) whose steps spend at most (epsilon, delta), and hardly less.

    Raises: PlanImpossible when no noise below 100,000 suffices.
    """
    for grid in (_SEARCH_GRID, _GRID):
        noise = _noise_on(grid, epsilon=epsilon, delta=delta, sampling_rate=sampling_rate, steps=steps)
        spent = epsilon_spent([Mechanism(noise_multiplier=noise, sampling_rate=sampling_rate, steps=steps)], delta=delta)
        if noise == _LEAST or _NEAR * epsilon <= spent <= epsilon:
            return noise
    while spent > epsilon:  # the search stops within its tolerance, on either side
        noise = _rounded_up(noise * (1 + 10.0**-_DIGITS))
        spent = epsilon_spent([Mechanism(noise_multiplier=noise, sampling_rate=sampling_rate, steps=steps)], delta=delta)
    return noise


def _noise_on(grid: float, *, epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Return the least noise multiplier that suffices on distributions of that grid, to five digits."""

    def event(noise: float) -> DpEvent:
        return _event(Mechanism(noise_multiplier=noise, sampling_rate=sampling_rate, steps=steps))

    def suffices(noise: float) -> bool:
        return bool(PLDAccountant(_RELATION, grid).compose(event(noise)).get_epsilon(delta) <= epsilon)

    upper = _LEAST
    while _quick_bound([event(upper)], delta) > epsilon or not suffices(upper):  # the cheap bound first, where the distribution is wide
        upper *= _STRIDE
        if upper > _MOST:
            raise PlanImpossible(
                problem=t("no noise gives epsilon {e:g} over {n} steps", "{n} 步内任何噪声都达不到 epsilon {e:g}", e=epsilon, n=steps)
            )
    if upper == _LEAST:
        return _LEAST
    lower = max(_LEAST, upper / _STRIDE)
    while suffices(lower):
        if lower == _LEAST:
            return _LEAST
        upper, lower = lower, max(_LEAST, lower / _STRIDE)
    found = calibrate_dp_mechanism(
        lambda: PLDAccountant(_RELATION, grid), event, epsilon, delta, ExplicitBracketInterval(lower, upper), tol=1e-5 * lower
    )
    return _rounded_up(float(found) * (1 + 1e-5))


def plan(wanted: PrivacySettings, *, units: int, batch: int, steps: int | None, epochs: float) -> DPPlan:
    """Return the plan of a run: how often each unit is sampled, how many steps there are, and the noise that they need.

    batch: units that a step shall read on average; `wanted.sampling_rate` wins. steps: None makes as many as read each unit `epochs` times on
    average.

    Raises: PlanImpossible.
    """
    if not units:
        raise PlanImpossible(problem=t("the set has no unit", "数据集中没有任何单位"))
    if wanted.delta >= 1 / units:
        raise PlanImpossible(
            problem=t(
                "delta {delta:g} is not below 1 / {units} units; one unit could be published whole under it",
                "delta {delta:g} 不小于 1 / {units} 个单位；在此之下可以公开任一单位的全部数据",
                delta=wanted.delta,
                units=units,
            )
        )
    rate = wanted.sampling_rate or min(1.0, batch / units)
    many = steps if steps is not None else epochs / rate
    if not 0 < many <= MOST_STEPS or rate < _LEAST_RATE:
        raise PlanImpossible(
            problem=t(
                "it would have {n:g} steps at a rate of {q:.3g}; at most {most} steps and at least a millionth of the units a step can be priced",
                "它将有 {n:g} 步，抽样率 {q:.3g}；只能核算至多 {most} 步、每步至少百万分之一单位的运行",
                n=float(many),
                q=rate,
                most=MOST_STEPS,
            )
        )
    count = max(1, round(many))
    return DPPlan(
        epsilon=wanted.epsilon,
        delta=wanted.delta,
        unit=wanted.unit,
        units=units,
        clip_norm=wanted.clip_norm,
        sampling_rate=rate,
        steps=count,
        noise_multiplier=noise_for(epsilon=wanted.epsilon, delta=wanted.delta, sampling_rate=rate, steps=count),
    )


def _event(mechanism: Mechanism) -> DpEvent:
    step = PoissonSampledDpEvent(mechanism.sampling_rate, GaussianDpEvent(mechanism.noise_multiplier))
    return SelfComposedDpEvent(step, mechanism.steps)


def _quick_bound(events: Iterable[DpEvent], delta: float) -> float:
    """Return an upper bound of ε by Rényi accounting, in milliseconds: where to look, and never a number that is told."""
    accountant = RdpAccountant(_ORDERS, _RELATION)
    for event in events:
        accountant.compose(event)
    return float(accountant.get_epsilon(delta))


@functools.lru_cache(maxsize=256)
def _loss(mechanism: Mechanism) -> PrivacyLossDistribution:
    one = privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=mechanism.noise_multiplier,
        value_discretization_interval=_GRID,
        sampling_prob=mechanism.sampling_rate,
        neighboring_relation=_RELATION,
    )
    return one.self_compose(mechanism.steps)


def _rounded_up(noise: float) -> float:
    text = f"{noise:.{_DIGITS}g}"
    return float(text) if float(text) >= noise else float(f"{noise * (1 + 10.0 ** -(_DIGITS - 1)):.{_DIGITS}g}")
