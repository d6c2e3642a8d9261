"""Verdicts for people: one row a rule, with what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ringfence.cli.context import table
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.core.verdict import Verdict


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a table of verdicts."""
    from ringfence.core.verdict import OUTCOMES

    rows = [[one.rule, OUTCOMES[one.outcome].show(), one.detail] for one in verdicts]
    table("", [t("rule", "规则"), t("verdict", "判定"), t("found", "依据")], rows)


def as_rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """Return verdicts for scripts."""
    return [{"rule": one.rule, "outcome": one.outcome, "detail": one.detail, "how": one.how} for one in verdicts]
