"""Which units a step reads: each with the same probability, independently of all others and of all other steps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ringfence.privacy.keystream import Keystream

_RANGE = 1 << 64


class PoissonSampler:
    """Poisson sampling from a secure stream. The probability is rounded down to a multiple of 2^-64, so no unit is read more often than accounted."""

    def __init__(self, *, units: int, rate: float) -> None:
        self._units = units
        self._below = int(Fraction(rate) * _RANGE)
        self._stream = Keystream()

    def draw(self) -> NDArray[np.int64]:
        """Return the units of one step, ascending; perhaps none."""
        if self._below >= _RANGE:
            return np.arange(self._units)
        return np.flatnonzero(self._stream.words(self._units) < np.uint64(self._below))
