"""How well rows that are not learned are foretold, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

_LEAST = 2  # units, below which nothing is known of their spread


class HeldOut(NamedTuple):
    """The mean loss per predicted token, its standard error, and the units whose rows they are; of one unit there is no error."""

    loss: float
    error: float | None
    units: int


def held_out(losses: Sequence[float], weights: Sequence[int], units: Sequence[int]) -> HeldOut:
    """Return the loss of rows, and its standard error over the units whose rows they are: rows of one person are no independent ones.

    losses, weights: summed loss and predicted tokens of each row. units: whose row it is.

    The loss is a ratio, R = Σ loss / Σ weight. With d = loss - R · weight, summed over the rows of each of m units, its standard error is
    √(m / (m - 1) · Σ d²) / Σ weight. It says how much R would differ on other rows, and nothing of how it would differ after another training.

    Source: Cochran, Sampling Techniques, 3rd edition 1977, chapters 6 (ratio estimators) and 9A (clusters of unequal sizes).
    """
    total, weight = math.fsum(losses), sum(weights)
    ratio = total / weight
    left = np.asarray(losses) - ratio * np.asarray(weights)  # [rows]
    places = np.unique(units, return_inverse=True)[1]
    sums = np.bincount(places, weights=left)  # [units]
    if len(sums) < _LEAST:
        return HeldOut(ratio, None, len(sums))
    return HeldOut(ratio, math.sqrt(len(sums) / (len(sums) - 1) * float(np.square(sums).sum())) / weight, len(sums))


def interval(loss: float, error: float, *, units: int, level: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of a loss: by Student's distribution with units - 1 degrees of freedom, as the error itself is estimated."""
    reach = error * float(stdtrit(units - 1, (1 + level) / 2))
    return loss - reach, loss + reach
