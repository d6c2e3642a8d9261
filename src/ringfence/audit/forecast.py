"""What chosen numbers of canaries can and cannot show, before anything is planted. Pure arithmetic."""

from __future__ import annotations

import math
from typing import NamedTuple

from ringfence.audit.settings import CONTROLS, EACH_SIDE, AuditSettings
from ringfence.audit.statistics import one_run_epsilon, rate
from ringfence.core.gates import LEAST_SECRETS, ReleaseRules, least_rows, least_tries

FORWARD_SHARE = 1 / 4.6  # of the time in which a row is trained on once, a forward pass takes; measured on SmolLM2, LoRA of all linears
_Z = 1.6448536269514722  # of the 95th percentile of the normal distribution
_LEAST_OUT = 100  # rows for a threshold at 1 % false positives


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
            found.append(f"G1 secret extraction: audit.secrets {least_tries(one.max_rate)}")
        if rules.secret_exposure and not self.exposure_decides:
            found.append(f"G2 secret exposure: audit.secrets {LEAST_SECRETS}")
        if (two := rules.membership) and self.auc_upper > two.max_auc:
            found.append(f"G3 membership: audit.in_out {least_rows(two.max_auc)}")
        return found


def reach(settings: AuditSettings, *, control: bool, delta: float, rows: int = 0, spans: int = 0) -> Reach:
    """Return what an audit of these canaries can show. rows, spans: real rows and replaced identifiers that are tried beside them."""
    n = settings.in_out
    guesses = 2 * (2 * n // EACH_SIDE)
    return Reach(
        secrets=settings.secrets,
        in_out=n,
        extraction_upper=rate(0, settings.secrets).upper,
        exposure_decides=settings.secrets >= LEAST_SECRETS,
        auc_upper=min(1.0, 0.5 + _Z * math.sqrt((2 * n + 1) / (12 * n * n))) if n else 1.0,
        has_tpr=n >= _LEAST_OUT,
        epsilon_ceiling=one_run_epsilon(canaries=2 * n, guesses=guesses, right=guesses, delta=delta),
        forwards=2 * (2 * settings.secrets + 2 * n + (CONTROLS if control else 0)) + rows + spans,
    )
