"""From scores to what they show. Pure: a register, one score a canary, and the claim that the run made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ringfence.audit.settings import DIGITS, EACH_SIDE, AuditFigures, Blind, Canary, Interval, Kind, Register, Validity
from ringfence.audit.statistics import (
    Estimate,
    auc,
    certified_exposure,
    exposure_limit,
    exposure_p_value,
    extractable_log_probability,
    one_run_epsilon,
    one_run_guesses,
    rank_p_value,
    rate,
    tpr_at_fpr,
)
from ringfence.core.rules import LEVEL

BITS = DIGITS * math.log2(10)  # of a secret
_BLIND: tuple[tuple[float, Blind], ...] = ((0.001, "void"), (0.05, "warn"))  # probability of the blind check's ranks by chance, two-sided
_ALARM = 0.001  # of the held-out secrets: rarer than this by chance, and they must have been planted
_SHOWN = 0.01  # of the positive control


class Score(NamedTuple):
    """Natural logarithms of probabilities of one canary's unpredictable span; `constrained` among all codes of its length."""

    log_p: float  # with the adapter; of a row of compared answers, less that of the rejected one's
    log_p_base: float  # without; no number for a code, whose membership nobody asks
    constrained: float
    is_greedy: bool = False  # decoding without chance, after the true question, spells it


def findings(register: Register, scores: Mapping[str, Score], *, delta: float, are_cut: bool = False) -> AuditFigures:
    """Return the figures of an audit.

    scores: by canary id. are_cut: the rows of the run were too short for a canary, so that it learned nothing of its end. delta: of the run's claim, for the one-run test; of an ordinary run, the one that such a claim would have.
    """

    def of(kind: Kind, *, is_in: bool) -> list[Score]:
        return [scores[one.id] for one in register.of(kind, is_in=is_in)]

    planted, held_out, controls = of("secret", is_in=True), of("secret", is_in=False), of("control", is_in=True)
    shown, hidden, control = (_exposures(side) for side in (planted, held_out, controls))
    members, others = ([_ratio(one) for one in of("row", is_in=is_in)] for is_in in (True, False))
    extracted = sum(map(_is_extracted, planted))
    found = tpr_at_fpr(members, others)
    rows = register.of("row")
    guesses, right = one_run_guesses(
        [_ratio(scores[one.id]) for one in rows], [one.is_in for one in rows], each_side=len(rows) // EACH_SIDE
    )
    blind = _blind(rows, scores)
    return AuditFigures(
        secrets=len(planted),
        held_out=len(held_out),
        extracted=extracted,
        extraction=_interval(rate(extracted, len(planted))),
        held_out_extracted=sum(map(_is_extracted, held_out)),
        exposure_mean=_mean(shown),
        exposure_max=max(shown, default=0.0),
        exposure_p=exposure_p_value(shown),
        exposure_limit=exposure_limit(len(shown)) if shown else 0.0,
        held_out_exposure_max=max(hidden, default=0.0),
        held_out_exposure_p=exposure_p_value(hidden),
        members=len(members),
        others=len(others),
        auc=_interval(auc(members, others)),
        tpr=_interval(found[1]) if found else None,
        guesses=guesses,
        right=right,
        epsilon_lower=one_run_epsilon(canaries=len(rows), guesses=guesses, right=right, delta=delta),
        epsilon_ceiling=one_run_epsilon(canaries=len(rows), guesses=guesses, right=guesses, delta=delta),
        controls=len(controls),
        controls_extracted=sum(map(_is_extracted, controls)),
        control_p=exposure_p_value(control),
        blind=blind,
        validity=_unusable([*planted, *held_out, *controls], are_cut=are_cut) or _validity(hidden, control, blind),
        exposures_in=tuple(sorted(shown)),
        exposures_out=tuple(sorted(hidden)),
        scores_in=tuple(sorted(members)),
        scores_out=tuple(sorted(others)),
    )


def _exposures(scores: Sequence[Score]) -> list[float]:
    """Return the certified bits of each."""
    return [max(-BITS, certified_exposure(one.constrained, bits=BITS)) for one in scores]


def _ratio(score: Score) -> float:
    """Return the statistic of membership, fixed before training: how much likelier the adapter made the unpredictable part."""
    return score.log_p - score.log_p_base


def _is_extracted(score: Score) -> bool:
    return score.is_greedy or score.log_p >= extractable_log_probability()


def _blind(rows: Sequence[Canary], scores: Mapping[str, Score]) -> Blind:
    """Return whether the base model alone, which saw nothing, tells members from others: then the split was not by a fair coin."""
    p = rank_p_value(*([scores[one.id].log_p_base for one in rows if one.is_in == side] for side in (True, False)))
    return next((verdict for level, verdict in _BLIND if p < level), "ok")


def _unusable(scores: Sequence[Score], *, are_cut: bool) -> Validity | None:
    if are_cut:
        return "canaries were cut"
    return "codes cannot be spelled" if any(one.constrained == -math.inf for one in scores) else None


def _validity(hidden: Sequence[float], control: Sequence[float], blind: Blind) -> Validity:
    if exposure_p_value(hidden) < _ALARM:
        return "held-out canaries look planted"
    if blind == "void":
        return "blind check failed"
    if control and exposure_p_value(control) > _SHOWN:
        return "positive control shows nothing"
    return "valid"


def _interval(found: Estimate) -> Interval:
    return Interval(value=found.value, lower=found.lower, upper=found.upper, level=1 - LEVEL)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
