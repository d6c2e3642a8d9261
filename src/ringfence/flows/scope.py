"""What a promise about the records as they were imported takes: that no step before training looked at one of them for the sake of another."""

from __future__ import annotations

from ringfence.core.errors import PlanImpossible
from ringfence.core.statement import Statement
from ringfence.core.text import t
from ringfence.scan.detector import DETECTORS
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing


def refuse_prepared(space: Workspace, thing: Thing) -> None:
    """Return when every step that led from the file to a set treated each record by itself, so that a unit's own rows are all that it changes.

    Raises: PlanImpossible, naming what did not.
    """
    if found := [why for one in space.chain(thing) if (why := _looks_across(one))]:
        raise PlanImpossible(
            problem=t(
                "privacy.scope: record promises about the records as they were imported, and {found}; "
                "leave scope out for a promise about the records as preparation left them",
                "privacy.scope: record 的承诺针对导入时的记录，而{found}；不写 scope，承诺即针对预处理之后的记录",
                found=t("; ", "；").join(found),
            )
        )


def _looks_across(statement: Statement) -> str:
    """Return what a step did to a record that depended on the others; nothing where it did not."""
    step, predicate = statement.step, statement.predicate
    if step in ("import", "join"):
        return ""
    if step == "scan":
        together = [part for part in predicate.parts if not DETECTORS.create(part).alone]
        return t("the scan compared them ({parts})", "扫描对它们作了比较（{parts}）", parts=", ".join(together)) if together else ""
    if step == "plant":
        return "" if predicate.settings.get("blind") else t("the canaries speak the languages of its rows", "金丝雀采用其各行的语言")
    if step == "deid":
        if predicate.settings.get("reach") != "record":
            return t(
                "deid looked originals of one up in the others (it does not with --reach record)",
                "脱敏在其他记录中查找某条记录的原文（--reach record 则不会）",
            )
        return ""
    return t("people or figures chose among them ({step})", "由人或统计数据作了取舍（{step}）", step=step)
