"""How bounds of privacy are told: never smaller than they are, and for no delta at which they were seen to be."""

from __future__ import annotations

import math

from ringfence.core.text import t

# At 1e-12 the accountant's grid was seen to claim a quarter of the true delta; from here on 1e-10 of delta, kept back, makes up for what it loses.
LEAST_DELTA = 1e-8


def rounded_up(epsilon: float, digits: int) -> float:
    """Return an ε in so many decimals, and none below it but for what a float cannot hold: a millionth of the last decimal."""
    scale = 10.0**digits
    return math.ceil(round(epsilon * scale, 6)) / scale


def epsilon_told(epsilon: float | None) -> str:
    """Return an ε for people; None is one beyond every use."""
    return t("over 1000", "超过 1000") if epsilon is None else f"{rounded_up(epsilon, 3):.3f}"
