"""What a count or a score shows, and how surely: every rate has an interval, and nothing shown is said as nothing shown.

One-sided bounds at 95 % each, unless a function says otherwise: a limit passes when the upper bound is at or below it, and fails when the lower
bound is above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, gamma, mannwhitneyu, norm, rankdata

from ringfence.core.rules import LEVEL

Scores = Sequence[float] | NDArray[np.float64]


class Estimate(NamedTuple):
    """A measured value and its one-sided bounds."""

    value: float
    lower: float
    upper: float


def rate(hits: int, tries: int, *, level: float = LEVEL) -> Estimate:
    """Return the share of hits with its exact bounds; (0, 0, 1) when nothing was tried.

    Source: Clopper and Pearson 1934.
    """
    if not 0 <= hits <= tries:
        raise ValueError("hits are among the tries")
    if not tries:
        return Estimate(0.0, 0.0, 1.0)
    lower = float(beta.ppf(level, hits, tries - hits + 1)) if hits else 0.0
    upper = float(beta.ppf(1 - level, hits + 1, tries - hits)) if hits < tries else 1.0
    return Estimate(hits / tries, lower, upper)


def auc(members: Scores, others: Scores, *, level: float = LEVEL) -> Estimate:
    """Return P(score of a member > score of another) + ½ P(equal), with bounds in [0, 1]; (0.5, 0, 1) when a side is empty.

    members, others: scores, high = "was in the data".

    Source: Mann and Whitney 1947 for the value; DeLong et al. 1988 for its variance, by ranks as Sun and Xu 2014. Where that
    variance is zero, as for sides that do not overlap, the bound of a rate that was never missed stands in for it.
    """
    m, n = len(members), len(others)
    if not m or not n:
        return Estimate(0.5, 0.0, 1.0)
    together = rankdata(np.concatenate([np.asarray(members, float), np.asarray(others, float)]))
    of_members, of_others = rankdata(members), rankdata(others)
    above = (together[:m] - of_members) / n  # of each member: the share of others below it, [m]
    below = 1 - (together[m:] - of_others) / m  # of each other: the share of members above it, [n]
    value = float(above.mean())
    spread = math.sqrt(_variance(above) / m + _variance(below) / n) * float(norm.ppf(1 - level))
    spread = spread or 1 - level ** (1 / min(m, n))
    return Estimate(value, max(0.0, value - spread), min(1.0, value + spread))


def rank_p_value(members: Scores, others: Scores) -> float:
    """Return the two-sided probability of ranks so far from even, had chance alone parted the scores; 1.0 when a side is empty or all are equal.

    Source: Mann and Whitney 1947, exact for few scores without ties.
    """
    if not len(members) or not len(others):
        return 1.0
    if np.isnan([*members, *others]).any():
        raise ValueError("a score is no number")
    found = float(mannwhitneyu(members, others, alternative="two-sided").pvalue)
    return 1.0 if math.isnan(found) else found


def tpr_at_fpr(members: Scores, others: Scores, *, fpr: float = 0.01) -> tuple[int, Estimate] | None:
    """Return how many members score above the threshold that at most a share `fpr` of the others exceeds, and that rate.

    None when there are too few others for the threshold to mean anything (1 / fpr at least). The threshold is taken from the others alone.
    """
    allowed = math.floor(fpr * len(others))
    if not allowed or not len(members):
        return None
    threshold = np.sort(np.asarray(others, float))[::-1][allowed]
    hits = int((np.asarray(members, float) > threshold).sum())
    return hits, rate(hits, len(members))


# ── exposure ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def certified_exposure(log_probability: float, *, bits: float) -> float:
    """Return a lower bound of a secret's exposure in bits.

    log_probability: natural, of the secret under decoding that can spell every secret of its format and nothing else. All of them add up to 1 at
    most, so no more than 1 / p others are likelier: rank ≤ 1 / p, and exposure = log2(number of secrets) - log2(rank). Negative where it shows
    nothing. bits: log2 of the number of secrets of the format.

    Source: exposure by Carlini et al. 2019 (arXiv:1802.08232), definition 4.
    """
    return bits + log_probability / math.log(2)


def exposure_p_value(exposures: Scores) -> float:
    """Return the probability of exposures at least this large, taken together, if no secret was learned; 1.0 for none.

    An unplanted secret's exposure is exponential with P(≥ b bits) ≤ 2^-b, so that the sum of m of them times ln 2 is at most Gamma(m, 1). Lower
    bounds in place of exposures make the test conservative.
    """
    values = np.clip(np.asarray(exposures, float), 0.0, None)
    return float(gamma.sf(values.sum() * math.log(2), len(values))) if len(values) else 1.0


def exposure_limit(count: int, *, level: float = 0.01) -> float:
    """Return the bits that the largest of `count` exposures exceeds with probability `level` at most, if none was learned."""
    return math.log2(count / level)


# ── extraction by sampling ────────────────────────────────────────────────────────────────────────────────────────────


def extractable_log_probability(*, tries: int = 1000, chance: float = 0.5) -> float:
    """Return the natural log of the least probability of one sample at which `tries` samples hold the text with probability `chance`.

    Source: Hayes et al. 2024 (arXiv:2410.19482), (n, p)-discoverable extraction: 1 - (1 - p_z)^n ≥ p.
    """
    return math.log(-math.expm1(math.log1p(-chance) / tries))


# ── the one-run test of a privacy claim ───────────────────────────────────────────────────────────────────────────────


def one_run_p_value(*, canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return the probability that an (ε, δ)-private run lets a guesser be right `right` times or more of `guesses`.

    canaries: rows that were each in or out by a fair coin. guesses: those on which the guesser did not abstain.

    Source: Steinke et al. 2023 (arXiv:2305.08846), theorem 5.2 and appendix D.
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError("right guesses are among the guesses, and these among the canaries")
    share = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(right - 1, guesses, share))
    if not right or not delta:
        return min(1.0, tail)
    masses = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, share))  # P(right - i ≤ X < right), i = 1 … right
    slope = float((masses / np.arange(1, right + 1)).max())
    return min(1.0, tail + 2 * canaries * delta * slope)


def one_run_epsilon(*, canaries: int, guesses: int, right: int, delta: float, level: float = LEVEL) -> float:
    """Return the largest ε that the guesses refute at `level`: the run was not (ε, δ)-private for any smaller one. 0.0 = nothing shown.

    Source: as `one_run_p_value`. The guesser and its number of guesses are fixed before the coins are seen.
    """

    def refuted(epsilon: float) -> bool:
        return one_run_p_value(canaries=canaries, guesses=guesses, right=right, epsilon=epsilon, delta=delta) < level

    if not guesses or not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        low, high = high, high + 1
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def one_run_guesses(scores: Scores, is_in: Sequence[bool], *, each_side: int) -> tuple[int, int]:
    """Return (guesses, right ones): the `each_side` highest scores are guessed in, as many lowest ones out.

    scores, is_in: one a canary. Ties at a border are broken by position, which knows nothing of the coins.
    """
    count = min(each_side, len(scores) // 2)
    order = np.argsort(np.asarray(scores, float), kind="stable")
    members = np.asarray(is_in, bool)[order]
    right = int((~members[:count]).sum() + members[len(members) - count :].sum()) if count else 0
    return 2 * count, right


def _variance(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.25  # one value says nothing of its spread: the widest there is
