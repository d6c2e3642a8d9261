"""`ringfence recipe check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, say, table
from ringfence.core.text import t

ORDER = 120


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Recipes: LLaMA-Factory's YAML.", "配方：LLaMA-Factory 的 YAML。"), no_args_is_help=True)
    group.command(
        "check",
        help=t(
            "Say what becomes of every key; start nothing.\n\nExample: ringfence recipe check clinic.yaml",
            "说明每个键如何处理，不启动任何任务。\n\n示例：ringfence recipe check clinic.yaml",
        ),
    )(check)
    app.add_typer(group, name="recipe")


def check(file: Annotated[Path, typer.Argument(metavar="FILE", help=t("Recipe (YAML).", "配方（YAML）。"))]) -> int:
    """Say what becomes of every key."""
    from ringfence.recipe.read import judge, load, read

    document = load(file)
    lines = judge(document)
    bad = [line for line in lines if line.treatment == "refused"]

    def show() -> None:
        words = {"used": t("used", "使用"), "noted": t("noted", "忽略并注明"), "refused": t("refused", "拒绝")}
        rows = [[line.key, str(document[line.key]), words[line.treatment], line.why] for line in lines]
        table("", [t("key", "键"), t("value", "值"), t("treatment", "处理"), t("why", "原因")], rows)
        say(t("✖ {n} keys are refused", "✖ {n} 个键被拒绝", n=len(bad)) if bad else t("✔ the recipe can be trained", "✔ 配方可以训练"))

    if not bad:
        read(file)  # values, too
    emit({"keys": [{"key": line.key, "treatment": line.treatment, "why": line.why} for line in lines], "ok": not bad}, show)
    return 2 if bad else 0
