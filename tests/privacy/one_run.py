"""A second, tighter estimator of what one run of a Gaussian mechanism gives away: oracle of the tests, not of the product.

Source: Mahloujifar, Melis and Chaudhuri 2024 (arXiv:2410.22235), algorithm 3: the chance of so many right guesses under a trade-off curve.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dp_accounting import get_epsilon_gaussian
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri


def guesses(scores: NDArray[np.float64], is_in: NDArray[np.bool_], *, each_side: int) -> tuple[int, int]:
    """Return (guesses, right ones): the highest scores are guessed in, the lowest out."""
    order = np.argsort(scores)
    return 2 * each_side, int(is_in[order[-each_side:]].sum() + (~is_in[order[:each_side]]).sum())


def is_too_good(mu: float, *, canaries: int, made: int, right: int, level: float) -> bool:
    """Return True when so many right guesses happen with chance `level` at most under mu-Gaussian differential privacy."""
    share = level * made / canaries
    r, h = share * right / made, share * (made - right) / made
    for i in range(right - 1, -1, -1):
        above = h
        h = max(above, float(ndtr(ndtri(r) - mu)))
        r += i / (made - i) * (h - above)
        if r + h > made / canaries:
            return True
    return False


def least_epsilon(scores: NDArray[np.float64], is_in: NDArray[np.bool_], *, delta: float, level: float, sides: Sequence[int]) -> float:
    """Return a lower bound of ε at `delta`, at confidence 1 - level over all tried numbers of guesses together.

    scores: [canaries], higher for those that look present. is_in: [canaries], by fair coins. sides: numbers of guesses on each side to try.
    """
    found = 0.0
    for each_side in sides:
        made, right = guesses(scores, is_in, each_side=each_side)
        low, high = 0.0, 20.0
        while high - low > 1e-3:
            mu = (low + high) / 2
            low, high = (mu, high) if is_too_good(mu, canaries=len(scores), made=made, right=right, level=level / len(sides)) else (low, mu)
        found = max(found, low)
    return float(get_epsilon_gaussian(1 / found, delta)) if found else 0.0
