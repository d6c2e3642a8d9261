"""Which units a step reads: each with the same probability, independently of all others and of all other steps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ringfence.privacy.keystream import Keystream

_RANGE = 1 << 64


class PoissonSampler:
    """Poisson sampling from a secure stream. The probability is rounded down to a multiple of 2^-64, so no unit is read more often than accounted.

    Of a draw of more than `most` units a uniformly random part of that size is read (truncated Poisson sampling, arXiv:2508.15089).
    """

    def __init__(self, *, units: int, rate: float, most: int) -> None:
        self._units, self._most = units, most
        self._below = int(Fraction(rate) * _RANGE)
        self._stream = Keystream()

    def draw(self) -> NDArray[np.int64]:
        """Return the units of one step, ascending; perhaps none."""
        if self._below >= _RANGE:
            found = np.arange(self._units)
        else:
            found = np.flatnonzero(self._stream.words(self._units) < np.uint64(self._below))
        if len(found) > self._most:
            found = np.sort(found[np.argsort(self._stream.words(len(found)))[: self._most]])
        return found
