"""Gaussian noise from a secure stream."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ringfence.privacy.keystream import Keystream

_BITS = 64  # of a uniform number; a double holds the 53 that lead, so that small ones, which make the tail, keep theirs
_BLOCK = 1 << 18  # pairs at a time


class SecureNoise:
    """Independent standard normal numbers, never the same twice.

    Source: Box and Muller 1958, in double precision (by torch, whose logarithm and sines take half the time of numpy's): u in (0, 1], so that a number is at most √(130 ln 2) ≈ 9.49, which one in 10²⁰ would exceed.
    The numbers are doubles, not reals: the floating-point attack of Jin et al. (arXiv:2112.05307) is outside what this noise defends against.
    """

    def __init__(self) -> None:
        self._stream = Keystream()

    def normal(self, count: int) -> NDArray[np.float64]:
        """Return `count` standard normal numbers."""
        pairs = -(-count // 2)
        found = torch.empty(2 * pairs, dtype=torch.float64)
        for at in range(0, pairs, _BLOCK):
            size = min(_BLOCK, pairs - at)
            words = self._stream.words(2 * size).astype(np.float64)
            uniform = torch.from_numpy(words).add_(0.5).mul_(2.0**-_BITS)  # (0, 1]
            radius = uniform[:size].log_().mul_(-2.0).sqrt_()
            angle = uniform[size:].mul_(2.0 * math.pi)
            torch.mul(radius, angle.cos(), out=found[2 * at : 2 * at + size])
            torch.mul(radius, angle.sin_(), out=found[2 * at + size : 2 * (at + size)])
        numbers: NDArray[np.float64] = found.numpy()
        return numbers[:count]
