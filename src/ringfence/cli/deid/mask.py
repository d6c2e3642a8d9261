"""`ringfence deid mask`, or short `ringfence deid SET`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import advise, emit, progress, say, table, workspace
from ringfence.core.text import t

ORDER = 10


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "mask",
        help=t(
            "Replace identifiers and internal terms by consistent surrogates; no original survives, or nothing is written.\n\n"
            "Examples: ringfence deid clinic · ringfence deid clinic --terms projects.txt · ringfence deid clinic --with e5-names.v1",
            "把标识符与内部术语替换为一致的替代值；不残留原文，否则不写出。\n\n示例：ringfence deid clinic · ringfence deid clinic --terms projects.txt · ringfence deid clinic --with e5-names.v1",
        ),
    )(mask)


def mask(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("Set to de-identify.", "要脱敏的数据集。"))],
    profile: Annotated[str, typer.Option("--profile", help=t("De-identification profile.", "脱敏方案。"))] = "default",
    terms: Annotated[
        Path | None, typer.Option("--terms", metavar="FILE", help=t("Internal terms, one a line.", "内部术语，每行一个。"))
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="TAGGER", help=t("A tagger of the profile to go without.", "不使用方案中的某个标注器。")),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="TAGGER", help=t("A tagger to use besides those of the profile.", "在方案之外另加的标注器。")),
    ] = None,
) -> None:
    """Replace identifiers by surrogates."""
    from ringfence.deid.profile import settings_for
    from ringfence.flows.deid import deidentify

    space = workspace()
    with progress(t("deid", "脱敏")) as bar:
        committed, figures = deidentify(
            space, name, settings=settings_for(profile, without=without or (), with_=with_ or ()), terms=terms, show=bar
        )
    made = committed.things["set"].made

    def show() -> None:
        total = sum(figures.spans.values())
        say(
            t(
                "✔ {name}@masked:{p}  {n} identifiers in {rows} rows replaced, {left} originals survive",
                "✔ {name}@masked:{p}  替换了 {rows} 行中的 {n} 个标识符，残留原文 {left}",
                name=made.name,
                p=profile,
                n=total,
                rows=figures.records,
                left=figures.survivors,
            )
        )
        found = [[kind, str(count)] for kind, count in sorted(figures.spans.items(), key=lambda item: -item[1]) if count]
        if found:
            table("", [t("kind", "类型"), t("found", "数量")], found, right=(1,))

    emit({"set": made.name, "stage": "masked", "digest": made.digest, "run": committed.run, **figures.model_dump(mode="json")}, show)
    source = space.state.things[committed.statement.predicate.inputs["set"]].made
    if source.stage == "sealed":  # the default policy asks for both, in this order
        advise(f"ringfence scan {made.name} && ringfence deid {made.name}")
    else:
        advise("ringfence train RECIPE")
