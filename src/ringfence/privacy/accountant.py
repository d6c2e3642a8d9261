"""The one place that turns mechanisms into ε, and ε into noise: privacy-loss distributions by Google's `dp-accounting`.

Every ε is an upper bound: distributions are discretised pessimistically. Central-limit accounting (GDP) is not offered, it reports less than the truth.

Source: Koskela et al. 2020 (arXiv:1906.03049); Doroshenko et al. 2022 (arXiv:2207.04380), connect the dots; arXiv:2508.15089 for steps that are cut.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp
from scipy.stats import binom

from ringfence.core.errors import PlanImpossible
from ringfence.core.text import t
from ringfence.privacy.loss import composed, cut_gaussian, sampled_gaussian
from ringfence.privacy.plan import MOST_STEPS, DPPlan, Mechanism, PrivacySettings, merged

_GRID = 1e-4  # of the privacy loss
_SEARCH_GRID = 1e-3  # while noise is sought: a tenth of the points, and its ε a looser upper bound
_LEAST, _MOST = 0.3, 1e5  # noise multipliers that a plan may have; below, ε is beyond any use
_GROUP_GRID = 2e-3  # for each unit of a group, whose losses are as many times as wide
_NEAR = 0.99  # of what was asked for; plans of many steps that lose little each need the finer grid
_LEAST_RATE = 1e-6
_LEAST_EPSILON = 0.01  # that is told
_BEYOND = 1_000.0  # ε
_STRIDE = 1.25  # between tried noise multipliers
_SHORT_STRIDE = 1.01  # from what the coarse grid said
_ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64, 128, 256, 1024, 4096)  # of Rényi divergences
_DIGITS = 5  # significant digits of a noise multiplier, rounded up
_CUT = 1e-3  # of delta: what a cut that hardly ever happens may take
_MOST_EXPONENT = 100.0  # ε beyond which no cut is rare enough
_ROUND_OFF = 5e-16  # of delta, for each step: what an FFT in double precision may lose; 2.3e-10 was seen in a million steps
_NEARLY_NONE = 1e-100  # a delta that is called that is none
_LEAST_STEPS = 200_000  # whose round-off is allowed for, however few there are


def epsilon_spent(mechanisms: Iterable[Mechanism], *, delta: float) -> float:
    """Return the ε of all these steps together, at `delta`; 0.0 for none, infinity where it is beyond 1,000 and means nothing any more.

    mechanisms: all on the same units, in whatever order. What each of them computes may depend on what the earlier ones gave, but not its noise, rate and
    steps: these are taken for fixed beforehand. Chosen later, with an end that depends on the sum so far, they are a matter of privacy filters and odometers
    (Rogers et al. 2016, arXiv:1605.08294; of Rényi divergences Feldman and Zrnic 2021, arXiv:2008.11193), for which no general theorem vouches for this sum.
    """
    kinds = merged(mechanisms)
    if not kinds:
        return 0.0
    if _quick_bound(kinds, delta) > _BEYOND:  # its distribution would fill the memory
        return math.inf
    chance = math.fsum(map(_chance_of_a_cut, kinds))
    if chance:
        epsilon = _composed(merged(map(_as_if_uncut, kinds)), delta * (1 - _CUT))
        if _is_hardly_cut(chance, epsilon=epsilon, delta=delta):
            return epsilon
    return _composed(kinds, delta)


def epsilon_after_each(mechanisms: Sequence[Mechanism], *, delta: float) -> list[float]:
    """Return the ε of the first of these steps, of the first two, and so on, at `delta`: `epsilon_spent` of every beginning, each composed onto the last.

    The chance of a cut and ε grow with every one, so what is hardly cut altogether is hardly cut in every beginning.
    """
    chance = math.fsum(map(_chance_of_a_cut, mechanisms))
    if chance:
        found = _composed_each([_as_if_uncut(one) for one in mechanisms], delta * (1 - _CUT))
        if _is_hardly_cut(chance, epsilon=found[-1], delta=delta):
            return found
    return _composed_each(mechanisms, delta)


def _composed_each(mechanisms: Sequence[Mechanism], delta: float) -> list[float]:
    found: list[float] = []
    together: PrivacyLossDistribution | None = None
    for number, one in enumerate(mechanisms, 1):
        if _quick_bound(merged(mechanisms[:number]), delta) > _BEYOND:
            return found + [math.inf] * (len(mechanisms) - len(found))
        together = _loss(one) if together is None else together.compose(_loss(one))
        found.append(_epsilon_at(together, delta, steps=sum(each.steps for each in mechanisms[:number])))
    return found


def _composed(kinds: Sequence[Mechanism], delta: float) -> float:
    return _epsilon_at(functools.reduce(lambda a, b: a.compose(b), map(_loss, kinds)), delta, steps=sum(one.steps for one in kinds))


def _epsilon_at(loss: PrivacyLossDistribution, delta: float, *, steps: int) -> float:
    found = float(loss.get_epsilon_for_delta(_vouched(delta, steps)))
    return math.inf if math.isnan(found) else found  # which is above no limit


def _vouched(delta: float, steps: int) -> float:
    """Return the part of delta that round-off cannot have taken; none of it is left at 1e-10, where ε is infinite."""
    return max(0.0, delta - _ROUND_OFF * max(_LEAST_STEPS, steps))


def _as_if_uncut(mechanism: Mechanism) -> Mechanism:
    return mechanism.model_copy(update={"units": None, "max_batch": None})


def _chance_of_a_cut(mechanism: Mechanism) -> float:
    """Return a bound of the chance that any of the steps is cut."""
    if (cut := _cut(mechanism)) is None:
        return 0.0
    units, most = cut
    return mechanism.steps * float(binom.sf(most, units, mechanism.sampling_rate))


def _is_hardly_cut(chance: float, *, epsilon: float, delta: float) -> bool:
    """Return True when the cut takes a thousandth of delta at most.

    Two runs that differ with probability p at most, of which one is (ε, δ₀)-private: the other one is (ε, δ₀ + (1 + e^ε) p)-private.
    """
    return epsilon < _MOST_EXPONENT and (1 + math.exp(epsilon)) * chance <= _CUT * delta


def epsilon_of_group(mechanism: Mechanism, *, units: int, delta: float) -> float:
    """Return an ε, at `delta`, of so many units together: of a person who has that many where each row is a unit of its own. Infinity beyond 1,000.

    How many of them a step reads is binomial, and so is what they add to its sum. Where a step may be cut, the cut is taken for one that reads all of
    them and moves as many others, without sampling: an upper bound.

    Source: arXiv:2401.10294 (mixtures of Gaussians).
    """
    grid = _GROUP_GRID * units
    rate, noise = mechanism.sampling_rate, mechanism.noise_multiplier
    read = list(range(units + 1))
    one = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        noise, read, [float(chance) for chance in binom.pmf(read, units, rate)], value_discretization_interval=grid
    )
    if _cut(mechanism) and mechanism.units is not None and mechanism.max_batch is not None:
        chance = float(binom.sf(mechanism.max_batch - units, max(0, mechanism.units - units), rate))
        worst = privacy_loss_distribution.from_gaussian_mechanism(noise / (2 * units), value_discretization_interval=grid)
        one = worst.compute_mixture(one, chance)
    found = _epsilon_at(composed(one, mechanism.steps), delta, steps=mechanism.steps)
    return found if found <= _BEYOND else math.inf


@functools.lru_cache(maxsize=64)  # a command asks for that of its run several times
def noise_for(
    *, epsilon: float, delta: float, sampling_rate: float, steps: int, units: int | None = None, max_batch: int | None = None
) -> float:
    """Return a noise multiplier (standard deviation over clip norm) whose steps spend at most (epsilon, delta), and hardly less.

    units, max_batch: as of a `Mechanism`.

    Raises: PlanImpossible when no noise below 100,000 suffices.
    """

    def mechanism(noise: float) -> Mechanism:
        return Mechanism(noise_multiplier=noise, sampling_rate=sampling_rate, steps=steps, units=units, max_batch=max_batch)

    if (chance := _chance_of_a_cut(mechanism(1.0))) and _is_hardly_cut(chance, epsilon=epsilon, delta=delta):
        return noise_for(epsilon=epsilon, delta=delta * (1 - _CUT), sampling_rate=sampling_rate, steps=steps)
    noise = _LEAST
    for grid in (_SEARCH_GRID, _GRID):
        noise = _noise_on(grid, mechanism, epsilon=epsilon, delta=delta, guess=noise)
        spent = epsilon_spent([mechanism(noise)], delta=delta)
        if noise == _LEAST or _NEAR * epsilon <= spent <= epsilon:
            return noise
    while spent > epsilon:  # the search stops within its tolerance, on either side
        noise = _rounded_up(noise * (1 + 10.0**-_DIGITS))
        spent = epsilon_spent([mechanism(noise)], delta=delta)
    return noise


def _noise_on(grid: float, mechanism: Callable[[float], Mechanism], *, epsilon: float, delta: float, guess: float) -> float:
    """Return the least noise multiplier that suffices on distributions of that grid, to five digits. guess: where to begin."""
    sure = _vouched(delta, mechanism(_LEAST).steps)

    @functools.cache
    def over(noise: float) -> float:
        """Return the logarithm of the delta at epsilon over the one that is asked for: smooth in the noise, and cheaper than an ε."""
        if not sure:
            return math.inf
        lost = float(_loss_on(grid, mechanism(noise)).get_delta_for_epsilon(epsilon))
        return math.inf if math.isnan(lost) else math.log(max(lost, _NEARLY_NONE) / sure)

    def suffices(noise: float) -> bool:  # the cheap bound first, where one has to look far: the losses of little noise are wide
        return (guess > _LEAST or _quick_bound([mechanism(noise)], delta) <= epsilon) and over(noise) <= 0

    upper = guess
    while not suffices(upper):
        upper *= _STRIDE
        if upper > _MOST:
            raise PlanImpossible(
                problem=t(
                    "no noise gives epsilon {e:g} over {n} steps",
                    "{n} 步内任何噪声都达不到 epsilon {e:g}",
                    e=epsilon,
                    n=mechanism(upper).steps,
                )
            )
    if upper == _LEAST:
        return _LEAST
    stride = _SHORT_STRIDE if guess > _LEAST else _STRIDE
    lower = max(_LEAST, upper / stride)
    while over(lower) <= 0:
        if lower == _LEAST:
            return _LEAST
        stride *= stride
        upper, lower = lower, max(_LEAST, lower / stride)
    return _rounded_up(float(brentq(over, lower, upper, xtol=1e-5 * lower)) * (1 + 1e-5))


def calibrate(wanted: PrivacySettings, *, units: int, batch: int, steps: int | None, epochs: float, most_rows: int = 1) -> DPPlan:
    """Return the plan of a run: how often each unit is sampled, how many steps there are, and the noise that they need.

    batch: units that a step shall read on average; `wanted.sampling_rate` wins. steps: None makes as many as read each unit `epochs` times on
    average. most_rows: of one unit.

    Raises: PlanImpossible.
    """
    if not units:
        raise PlanImpossible(problem=t("the set has no unit", "数据集中没有任何单位"))
    if wanted.max_rows is not None and most_rows > wanted.max_rows:
        raise PlanImpossible(
            problem=t(
                "a unit has {rows} rows, and max_rows admits {most}; write max_rows: {rows} or more, or leave it out",
                "有单位含 {rows} 行，而 max_rows 只允许 {most} 行；请将 max_rows 设为 {rows} 或更大，或不写",
                rows=most_rows,
                most=wanted.max_rows,
            )
        )
    if wanted.delta >= 1 / units:
        raise PlanImpossible(
            problem=t(
                "delta {delta:g} is not below 1 / {units} units; one unit could be published whole under it. Write {less:g} or less",
                "delta {delta:g} 不小于 1 / {units} 个单位；在此之下可以公开任一单位的全部数据。请写 {less:g} 或更小",
                delta=wanted.delta,
                units=units,
                less=10.0 ** (math.ceil(-math.log10(units)) - 1),
            )
        )
    if wanted.sampling_rate is None and batch > units:
        raise PlanImpossible(
            problem=t(
                "a step of {batch} units is larger than the set, which has {units}; "
                "per_device_train_batch_size times gradient_accumulation_steps must be {units} at most",
                "每步 {batch} 个单位，多于数据集的 {units} 个；per_device_train_batch_size 乘以 gradient_accumulation_steps 至多为 {units}",
                batch=batch,
                units=units,
            )
        )
    rate = wanted.sampling_rate or batch / units
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
    epsilon = wanted.epsilon or _told_of(
        wanted, Mechanism(noise_multiplier=wanted.noise_multiplier or _LEAST, sampling_rate=rate, steps=count)
    )
    enough = _hardly_exceeded(units, rate, steps=count, epsilon=epsilon, delta=wanted.delta)
    most = min(units, wanted.max_batch or enough)
    if most < rate * units:
        raise PlanImpossible(
            problem=t(
                "steps read {n:g} units on average, and max_batch admits {most}; write max_batch {enough} or more, or leave it out",
                "每步平均读取 {n:g} 个单位，而 max_batch 只允许 {most} 个；请将 max_batch 设为 {enough} 或更大，或不写",
                n=rate * units,
                most=most,
                enough=enough,
            )
        )
    noise = wanted.noise_multiplier
    if noise is None:
        noise = noise_for(epsilon=epsilon, delta=wanted.delta, sampling_rate=rate, steps=count, units=units, max_batch=most)
    else:
        mechanism = Mechanism(noise_multiplier=noise, sampling_rate=rate, steps=count, units=units, max_batch=most)
        epsilon = _told_of(wanted, mechanism)
    return DPPlan(
        epsilon=epsilon,
        delta=wanted.delta,
        unit=wanted.unit,
        units=units,
        clip_norm=wanted.clip_norm,
        clipping=wanted.clipping,
        scope=wanted.scope,
        sampling_rate=rate,
        max_batch=most,
        steps=count,
        noise_multiplier=noise,
    )


def _told_of(wanted: PrivacySettings, mechanism: Mechanism) -> float:
    """Return what these steps spend at the delta that is wanted, rounded up.

    Raises: PlanImpossible where it is beyond every use.
    """
    spent = epsilon_spent([mechanism], delta=wanted.delta)
    if spent > _BEYOND:
        raise PlanImpossible(
            problem=t(
                "{n} steps at noise {noise:g} would spend an epsilon of more than {most:g}; write a larger noise_multiplier, or an epsilon",
                "{n} 步、噪声 {noise:g} 将用去超过 {most:g} 的 epsilon；请写更大的 noise_multiplier，或改写 epsilon",
                n=mechanism.steps,
                noise=mechanism.noise_multiplier,
                most=_BEYOND,
            )
        )
    return max(_LEAST_EPSILON, _rounded_up(spent))


def _hardly_exceeded(units: int, rate: float, *, steps: int, epsilon: float, delta: float) -> int:
    """Return a largest batch that Poisson draws exceed so rarely that it costs a thousandth of delta."""
    if epsilon >= _MOST_EXPONENT:
        return units
    chance = _CUT * delta / (steps * (1 + math.exp(epsilon)))
    found = binom.isf(chance, units, rate)
    return min(units, max(1, int(found))) if math.isfinite(found) else units


def _cut(mechanism: Mechanism) -> tuple[int, int] | None:
    """Return the number of units and the most that a step reads of those it draws; None where it reads them all."""
    if mechanism.units is None or mechanism.max_batch is None or mechanism.max_batch >= mechanism.units:
        return None
    return mechanism.units, mechanism.max_batch


def _quick_bound(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Return ε by Rényi accounting, in milliseconds, as if no step were cut: where to look, and never a number that is told."""
    found = math.inf
    for order in _ORDERS:
        divergence = sum(one.steps * _divergence(order, one.sampling_rate, one.noise_multiplier) for one in mechanisms)
        found = min(found, divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))
    return max(0.0, found)


@functools.lru_cache(maxsize=4096)
def _divergence(order: int, rate: float, noise: float) -> float:
    """Return the Rényi divergence of one step, of a whole order: Mironov et al. 2019 (arXiv:1908.10530), section 3.3."""
    if rate == 1:
        return order / (2 * noise**2)
    drawn = np.arange(order + 1)
    ways = gammaln(order + 1) - gammaln(drawn + 1) - gammaln(order - drawn + 1)
    terms = ways + drawn * math.log(rate) + (order - drawn) * math.log1p(-rate) + (drawn**2 - drawn) / (2 * noise**2)
    return float(logsumexp(terms)) / (order - 1)


@functools.lru_cache(maxsize=256)
def _loss(mechanism: Mechanism) -> PrivacyLossDistribution:
    return _loss_on(_GRID, mechanism)


def _loss_on(grid: float, mechanism: Mechanism) -> PrivacyLossDistribution:
    noise, rate = mechanism.noise_multiplier, mechanism.sampling_rate
    if cut := _cut(mechanism):
        units, most = cut
        one = cut_gaussian(noise, rate, units=units, most=most, grid=grid)
    else:
        one = sampled_gaussian(noise, rate, grid=grid)
    return composed(one, mechanism.steps)


def _rounded_up(noise: float) -> float:
    text = f"{noise:.{_DIGITS}g}"
    return float(text) if float(text) >= noise else float(f"{noise * (1 + 10.0 ** -(_DIGITS - 1)):.{_DIGITS}g}")
