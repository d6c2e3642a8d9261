"""How much of a whole set is bad at most, by a sample of it. Pure."""

from __future__ import annotations

import math
from fractions import Fraction

ALPHA = Fraction(1, 20)  # one-sided 95 %


def most_bad(total: int, seen: int, bad: int, *, alpha: Fraction = ALPHA) -> int:
    """Return the largest number of bad rows in a set of `total` that a sample explains: upper bound at confidence 1 - alpha.

    seen: rows drawn without replacement, uniformly.  bad: how many of them are bad.

    The largest K with P(X ≤ bad) > alpha for X ~ Hypergeometric(total, K, seen), in whole numbers, so it is exact for any size; a census
    (seen = total) gives `bad`, no sample gives `total`.
    Source: Buonaccorsi 1987, A note on confidence intervals for proportions in finite populations (the inverted one-sided test).
    """
    if not 0 <= bad <= seen <= total:
        raise ValueError("bad rows are among the seen ones, and those among all")
    low, high = bad, total - (seen - bad)  # the tail falls as K grows; at `low` it is 1
    while low < high:
        middle = (low + high + 1) // 2
        if tail(total, middle, seen, bad) > alpha:
            low = middle
        else:
            high = middle - 1
    return low


def tail(total: int, bad: int, seen: int, most: int) -> Fraction:
    """Return P(X ≤ most) where `seen` of `total` rows are drawn, `bad` of which are bad; exact."""
    good = total - bad
    least = max(0, seen - good)
    if most < least:
        return Fraction(0)
    term = math.comb(bad, least) * math.comb(good, seen - least)
    ways = term
    for k in range(least, min(most, seen, bad)):  # each term by the one before, in whole numbers
        term = term * (bad - k) * (seen - k) // ((k + 1) * (good - seen + k + 1))
        ways += term
    return Fraction(ways, math.comb(total, seen))


def share_of_a_stream(seen: int, bad: int, *, alpha: float = float(ALPHA)) -> float:
    """Return the upper bound of the share of bad rows where the set has no end: what to expect of more rows of the same source.

    1.0 when nothing was seen.  Source: Clopper and Pearson 1934, one-sided.
    """
    if not 0 <= bad <= seen:
        raise ValueError("bad rows are among the seen ones")
    if bad == seen:
        return 1.0
    from scipy.stats import beta  # noqa: PLC0415  a second of import

    return float(beta.ppf(1 - alpha, bad + 1, seen - bad))
