"""Whether the time of something grows with its size or with its square, asked so that a busy machine gives no answer of its own."""

from __future__ import annotations

import gc
from collections.abc import Callable

TIMES = 8  # the larger size over the smaller: a linear cost takes 8 times as long, a quadratic one 64 times
TRIES = 4


def assert_linear(seconds: Callable[[int], float], size: int, *, floor: float = 0.0) -> None:
    """Assert that `seconds` of eight times the `size` are less than 24 times `seconds` of the size, or less than `floor`.

    `seconds` does the work on an input of that size and returns its CPU seconds. Both sizes are tried in turn, the quickest of each counts, and
    a try that passes ends it: what other processes take can only be added, so noise may ask for another try but cannot hide a square.
    """
    small = large = float("inf")
    gc.collect()
    gc.disable()  # or the collector looks, on this test's time, through all that other tests left
    try:
        for _ in range(TRIES):
            small, large = min(small, seconds(size)), min(large, seconds(TIMES * size))
            if large < max(3 * TIMES * small, floor):
                return
    finally:
        gc.enable()
    raise AssertionError(f"{large:.3f} s at {TIMES * size}, {small:.3f} s at {size}")
