"""How sure a figure is: the percentile bootstrap over units, paired between two models. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.core.order import LARGEST
from ringfence.evaluate.settings import CONFIDENCE, Compared, Estimate

Floats = NDArray[np.float64]


class Sums(NamedTuple):
    """What figures are computed from, of the base model and of the tuned one."""

    measured: Floats  # [2, columns], over the rows themselves
    drawn: Floats | None  # [resamples, 2, columns], over units that were drawn; None: there is one unit, and nothing is known of the spread


def summed(columns: Floats, units: Sequence[int], *, resamples: int, seed: int) -> Sums:
    """Return columns [rows, 2, columns] summed over all rows, and over the rows of as many units as there are, drawn with replacement.

    units: whose row each is. All rows of a unit go together: rows of one person are no independent ones. What is drawn is the same for both models.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; of whole units, Davison and Hinkley, Bootstrap Methods and their
    Application, 1997, section 3.8.
    """
    places = np.unique(units, return_inverse=True)[1].reshape(-1)  # [rows]
    count = int(places.max()) + 1
    of_unit = np.zeros((count, columns[0].size))
    np.add.at(of_unit, places, columns.reshape(len(columns), -1))
    drawn = None
    if count > 1:
        random, drawn = np.random.default_rng(seed), np.empty((resamples, *columns.shape[1:]))
        for at in range(resamples):
            times = np.bincount(random.integers(count, size=count), minlength=count)  # [units]
            drawn[at] = (times @ of_unit).reshape(columns.shape[1:])
    return Sums(columns.sum(axis=0), drawn)


def compared(sums: Sums, figure: Callable[[Floats], Floats]) -> Compared:
    """Return a figure of both models, and by how much the tuned one's is larger, each with its interval.

    figure: of sums [..., columns], returned as [...]. Every draw serves both models, so that what rows have in common cancels in the difference.
    """
    values = figure(sums.measured)  # [2]
    spread = None if sums.drawn is None else figure(sums.drawn)  # [resamples, 2]
    base, tuned = (_estimate(values[side], None if spread is None else spread[:, side]) for side in (0, 1))
    return Compared(
        base=base, tuned=tuned, difference=_estimate(values[1] - values[0], None if spread is None else spread[:, 1] - spread[:, 0])
    )


def loss(sums: Floats) -> Floats:
    """Return the mean loss a token [...], of sums [..., 2] of losses and tokens; or a pair, where these are counted instead."""
    return sums[..., 0] / sums[..., 1]


def perplexity(sums: Floats) -> Floats:
    """Return e to the power of the mean loss in nats [...]; what no figure can hold is the largest that one can."""
    return np.exp(np.minimum(loss(sums), np.log(LARGEST)))


def accuracy(sums: Floats) -> Floats:
    """Return the share of pairs [...] that are in the right order, of sums [..., 4] of losses, pairs, those in order, and margins."""
    return sums[..., 2] / sums[..., 1]


def margin(sums: Floats) -> Floats:
    """Return the mean margin of a pair [...], of the same sums."""
    return sums[..., 3] / sums[..., 1]


def _estimate(value: float, spread: Floats | None) -> Estimate:
    if spread is None:
        return Estimate(value=float(value))
    lower, upper = np.quantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=float(value), lower=float(lower), upper=float(upper))
