"""`ringfence deid profiles`."""

from __future__ import annotations

from typing import Annotated

import typer

from ringfence.cli.context import emit, say, table
from ringfence.core.text import t

ORDER = 20


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "profiles",
        help=t(
            "List the built-in profiles, or print one as JSON: a start for a profile of your own.\n\n"
            "Examples:\n\n  ringfence deid profiles\n\n  ringfence deid profiles medical-zh > ours.json",
            "列出内置方案，或以 JSON 打印其中之一，作为自定义方案的起点。\n\n示例：\n\n  ringfence deid profiles\n\n  ringfence deid profiles medical-zh > ours.json",
        ),
    )(profiles)


def profiles(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help=t("Profile to print.", "要打印的方案。"))] = None,
) -> None:
    """List the built-in profiles or print one."""
    from ringfence.deid.profile import load, names

    if name is not None:
        content = load(name)
        emit(content.model_dump(mode="json", exclude_defaults=True), lambda: say(content.model_dump_json(indent=2, exclude_defaults=True)))
        return
    known = {one: load(one) for one in names()}
    rows = [[one, str(len(p.recognisers)), ", ".join(p.taggers), str(len(p.operators))] for one, p in known.items()]
    columns = [
        t("profile", "方案"),
        t("recognisers", "识别器"),
        t("taggers", "标注器"),
        t("kinds with an operator of their own", "有专门算子的类型"),
    ]
    emit({"profiles": list(known)}, lambda: table("", columns, rows, right=(1, 3)))
