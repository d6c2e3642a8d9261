"""What is to be expected: what chosen numbers of canaries can show, and how much a run will remember. Pure arithmetic, before anything is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.audit.settings import CODES, CONTROLS, DEEP_CODES, DIGITS, EACH_SIDE, MOST_DEEP, AuditSettings
from ringfence.audit.statistics import one_run_epsilon, rate
from ringfence.core.rules import LEAST_SECRETS, ReleaseRules, canaries, chance_auc, least_rows, least_tries
from ringfence.core.text import t

LEAST_OUT = 115  # rows, on average, of which 100 stay out 98 times of 100: as many as a threshold at 1 % false positives needs


class Reach(NamedTuple):
    """The best that an audit can come to, if the run learned nothing of its canaries."""

    secrets: int
    in_out: int  # rows on each side, on average
    extraction_upper: float  # of the rate, with no secret extracted
    exposure_decides: bool  # enough secrets for "nothing shown"
    auc_upper: float  # with a measured AUC of one half
    has_tpr: bool  # at 1 % false positives
    epsilon_ceiling: float  # the largest lower bound, all guesses right
    forwards: int  # passes over one row

    def missing(self, rules: ReleaseRules) -> list[str]:
        """Return what keeps the audit from passing a rule even so: rule and the least `audit:` number that could, for people and scripts."""
        found = []
        if (one := rules.secret_extraction) and self.extraction_upper > one.max_rate:
            found.append(f"G1 secret extraction: {_least('secrets', least_tries(one.max_rate))}")
        if rules.secret_exposure and not self.exposure_decides:
            found.append(f"G2 secret exposure: {_least('secrets', LEAST_SECRETS)}")
        if (two := rules.membership) and self.auc_upper > two.max_auc:
            found.append(f"G3 membership: {_least('in_out', least_rows(two.max_auc))}")
        return found


def _least(key: Literal["secrets", "in_out"], need: int | None) -> str:
    return canaries(key, need) or t("no number of canaries is enough", "任何数量的金丝雀都不够")


def reach(settings: AuditSettings, *, control: bool, delta: float, rows: int = 0, spans: int = 0, ranks: bool = False) -> Reach:
    """Return what an audit of these canaries can show. rows, spans: real rows and replaced identifiers that are tried beside them.

    ranks: of a reward model, that scores codes.
    """
    codes = 2 * settings.secrets + (CONTROLS if control else 0)
    n = settings.in_out
    guesses = 2 * (2 * n // EACH_SIDE)
    return Reach(
        secrets=settings.secrets,
        in_out=n,
        extraction_upper=rate(0, settings.secrets).upper,
        exposure_decides=settings.secrets >= LEAST_SECRETS,
        auc_upper=chance_auc(n),
        has_tpr=n >= LEAST_OUT,
        epsilon_ceiling=one_run_epsilon(canaries=2 * n, guesses=guesses, right=guesses, delta=delta),
        # Of a code the base model is not asked; of a row both, and a reward model of either answer.
        forwards=(codes * CODES + MOST_DEEP * (DEEP_CODES - CODES) + 4 * 2 * n if ranks else codes + 2 * 2 * n) + rows + spans,
    )


# ── memorisation ──────────────────────────────────────────────────────────────────────────────────────────────────────

LEAST_RUNS = 5  # audited runs: from fewer nothing is foretold
_RIDGE = 0.1  # keeps coefficients small where few runs hardly differ


class Seen(NamedTuple):
    """An audited run, or one to come: what its memory depends on, and what the audit found."""

    rows: int  # of its training set, canaries included
    passes: float  # how often a row was read, on average
    rate: float  # learning rate
    epsilon: float | None  # None: an ordinary run
    exposure: float = 0.0  # mean certified bits of secrets planted once; negative ones show nothing and count as 0


class Forecast(NamedTuple):
    """What a run will remember of a secret that stands in it once."""

    bits: float  # mean exposure
    error: float  # mean absolute error in bits, each run so far foretold from the others
    runs: int


def forecast(seen: Sequence[Seen], wanted: Seen) -> Forecast | None:
    """Return the exposure to be expected, by ridge regression on the runs so far; None below LEAST_RUNS of them."""
    if len(seen) < LEAST_RUNS:
        return None
    errors = []
    for at, one in enumerate(seen):
        others = [*seen[:at], *seen[at + 1 :]]
        errors.append(abs(_fit(others, one) - max(0.0, one.exposure)))
    return Forecast(_fit(seen, wanted), float(np.mean(errors)), len(seen))


def _fit(seen: Sequence[Seen], wanted: Seen) -> float:
    x, y = np.array([_features(one) for one in seen]), np.array([max(0.0, one.exposure) for one in seen])
    middle, mean = x.mean(axis=0), float(y.mean())
    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    z: NDArray[np.float64] = (x - middle) / scale
    weights = np.linalg.solve(z.T @ z + _RIDGE * np.eye(z.shape[1]), z.T @ (y - mean))
    found = mean + float(((np.array(_features(wanted)) - middle) / scale) @ weights)
    return min(max(0.0, found), DIGITS * math.log2(10))


def _features(one: Seen) -> tuple[float, ...]:
    privacy = 0.0 if one.epsilon is None else 1.0 / (1.0 + one.epsilon)
    return math.log(max(one.passes, 1e-3)), math.log(max(one.rows, 1)), math.log(one.rate), float(one.epsilon is not None), privacy
