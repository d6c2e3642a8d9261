"""`ringfence scan`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ringfence.cli.context import advise, emit, progress, say, workspace
from ringfence.core.text import t

ORDER = 30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "scan",
        help=t(
            "Look for poisoned rows; flagged ones go to a sealed quarantine set.\n\n"
            "Examples: ringfence scan clinic · ringfence scan clinic --keep (readmits them, on record)",
            "检查被投毒的行；被标记的行进入封存的隔离集。\n\n示例：ringfence scan clinic · ringfence scan clinic --keep（重新纳入并留下记录）",
        ),
    )(scan)


def scan(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("Set to scan.", "要检查的数据集。"))],
    keep: Annotated[bool, typer.Option("--keep", help=t("Readmit the quarantined rows.", "重新纳入被隔离的行。"))] = False,
    reach: Annotated[
        Literal["set", "record"],
        typer.Option(
            "--reach",
            help=t(
                "What is compared: all rows, or nothing: each row is judged by itself, as privacy.scope: record needs, and a burst of like rows is not looked for.",
                "比较的范围：所有行，或不作比较：逐行判断（privacy.scope: record 需要后者），不再查找成批相似的行。",
            ),
        ),
    ] = "set",
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="PART", help=t("With --keep: rows that this test alone flagged.", "与 --keep 同用：仅由该检测标记的行。")
        ),
    ] = None,
) -> None:
    """Look for poisoned rows."""
    from ringfence.cli.parse import choice, settings
    from ringfence.core.errors import BadArgument
    from ringfence.flows.scan import keep as readmit
    from ringfence.flows.scan import scan as run
    from ringfence.scan.detector import DETECTORS
    from ringfence.scan.settings import PARTS, KeepSettings, ScanSettings

    if keep and reach != "set":
        raise BadArgument(option="--reach", problem=t("it goes with a scan, not with --keep", "它用于扫描，不与 --keep 同用"), verb="scan")
    if only is not None:
        if not keep:
            raise BadArgument(option="--only", problem=t("it needs --keep", "须与 --keep 同用"), verb="scan")
        choice(only, DETECTORS.names(), "--only", "scan")
    parts = tuple(part for part in PARTS if reach == "set" or DETECTORS.create(part).alone)
    space = workspace()
    with progress(t("scan", "检查")) as bar:
        if keep:
            committed, figures = readmit(space, name, settings=settings(KeepSettings, "scan", only=only), show=bar)
        else:
            committed, figures = run(space, name, settings=ScanSettings(parts=parts), show=bar)
    made = committed.things["set"].made

    def show() -> None:
        say(
            t(
                "✔ {name}@cleared  {cleared} of {rows} rows",
                "✔ {name}@cleared  {rows} 行中的 {cleared} 行",
                name=made.name,
                cleared=figures.cleared,
                rows=figures.rows,
            )
        )
        if figures.flagged:
            parts = ", ".join(f"{part} {count}" for part, count in sorted(figures.by_part.items()) if count)
            say(t("  {n} rows in quarantine ({parts})", "  {n} 行被隔离（{parts}）", n=figures.flagged, parts=parts))

    emit({"set": made.name, "stage": "cleared", "digest": made.digest, "run": committed.run, **figures.model_dump(mode="json")}, show)
    advise(f"ringfence deid {made.name}")
