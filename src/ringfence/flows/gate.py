"""Asks the signed policy about a chain of statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ringfence.core.errors import PolicyRefused, TierMissing
from ringfence.core.order import Tier
from ringfence.core.policy import Policy, evaluate
from ringfence.core.statement import Label, Statement
from ringfence.core.verdict import SET, Verdict, refusals
from ringfence.sandbox.tiers import probe


def refuse(verdicts: Sequence[Verdict], *, name: str) -> None:
    """Raise PolicyRefused, naming every rule that is not met, or return.

    name: of the set that the chain is of, for the remedies.

    Raises: PolicyRefused.
    """
    if bad := refusals(verdicts):
        rules = "; ".join(f"{v.rule} ({v.detail})" for v in bad)
        refused = PolicyRefused(rules=rules, how="; ".join(dict.fromkeys(v.how.replace(SET, name) for v in bad)))
        refused.verdicts = tuple(verdicts)
        raise refused


def gate(
    chain: Sequence[Statement], *, moment: Literal["train", "release"], name: str, epsilon: float | None = None
) -> Callable[[Policy], None]:
    """Return a check of `chain` that an arrow runs under the workspace lock, on the policy of that very moment."""

    def check(policy: Policy) -> None:
        refuse(evaluate(policy, chain, moment=moment, epsilon=epsilon), name=name)

    return check


def tier_for(policy: Policy, label: Label) -> Tier:
    """Return where data of that label is worked on: a sandbox, or a plain process for public data if the policy says so and nothing better is there.

    Raises: TierMissing.
    """
    try:
        return probe()
    except TierMissing:
        if label == "public" and policy.train.min_sandbox == "T0":
            return "T0"
        raise
