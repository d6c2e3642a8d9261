"""How bounds of privacy are told: never smaller than they are, and for no delta at which they were seen to be."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Literal, get_args

from ringfence.core.text import Text, t

Bound = Literal["holds", "exceeded", "none", "unknown", "void"]  # over a lifetime; each is worse than the one before
BOUNDS: tuple[Bound, ...] = get_args(Bound)
_BOUNDS: dict[Bound, Text] = {
    "holds": Text("holds", "有效"),
    "exceeded": Text("exceeded", "已超出"),
    "none": Text("none: no budget is in force", "没有：当前没有生效的预算"),
    "unknown": Text("not known: runs per record or another unit ({runs})", "无从得知：按记录或其他单位的运行（{runs}）"),
    "void": Text("void: {names}", "失效：{names}"),
}

# At 1e-12 the accountant's grid was seen to claim a quarter of the true delta; from here on 1e-10 of delta, kept back, makes up for what it loses.
LEAST_DELTA = 1e-8


def rounded_up(epsilon: float, digits: int) -> float:
    """Return an ε in so many decimals, and none below it but for what a float cannot hold: a millionth of the last decimal."""
    scale = 10.0**digits
    return math.ceil(round(epsilon * scale, 6)) / scale


def exact(number: float) -> str:
    """Return an ε or a δ that was chosen as it was written, in as many digits as it takes: with fewer it could be told as less."""
    return repr(float(number)).removesuffix(".0")


def bound_told(bound: Bound, *, voided_by: Iterable[str], guarded: Collection[str], runs: Iterable[str]) -> str:
    """Return whether a budget bounds what people lose over a lifetime.

    voided_by: bundles that ended every bound. guarded: those of them that are private runs' with a replay guard. runs: that promised per record, or per another unit.
    """
    names = ", ".join(f"{name} ({t('replay guard', '复现防护')})" if name in guarded else name for name in voided_by)
    return _BOUNDS[bound].show(names=names, runs=", ".join(runs))


def epsilon_told(epsilon: float | None) -> str:
    """Return an ε for people; None is one beyond every use."""
    return t("over 1000", "超过 1000") if epsilon is None else f"{rounded_up(epsilon, 3):.3f}"
