"""`ringfence import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.cli.context import advise, emit, progress, say, workspace
from ringfence.core.text import t

ORDER = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "import",
        help=t(
            "Seal the rows of a file (JSON, JSON Lines, CSV, Parquet, text) as a set.\n\n"
            "Examples:\n\n  ringfence import notes.jsonl --name clinic --unit patient_id\n\n"
            "  ringfence import qa.json --map prompt=QUESTION,completion=LONG_ANSWER --rows 1:300\n\n"
            "  ringfence import data/dataset_info.json --entry alpaca_en_demo\n\n"
            "Any refused row refuses the import; --skip-bad imports the others, on record.",
            "把文件（JSON、JSON Lines、CSV、Parquet、文本）的各行封存为数据集。\n\n"
            "示例：\n\n  ringfence import notes.jsonl --name clinic --unit patient_id\n\n"
            "  ringfence import qa.json --map prompt=QUESTION,completion=LONG_ANSWER --rows 1:300\n\n"
            "  ringfence import data/dataset_info.json --entry alpaca_en_demo\n\n"
            "任何一行被拒绝都会拒绝整个导入；--skip-bad 会导入其余的行，并留下记录。",
        ),
    )(import_)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("File to import.", "要导入的文件。"))],
    entry: Annotated[
        str | None,
        typer.Option(
            "--entry",
            metavar="NAME",
            help=t(
                "FILE is a dataset_info.json: import what NAME stands for in it.", "FILE 是 dataset_info.json：导入其中 NAME 所指的文件。"
            ),
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help=t("Name of the set (default: the file's).", "数据集名称（默认取文件名）。"))
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help=t(
                "auto, messages, alpaca, pair, text, preference, feedback or feedback-messages.",
                "auto、messages、alpaca、pair、text、preference、feedback 或 feedback-messages。",
            ),
        ),
    ] = "auto",
    format_: Annotated[
        str, typer.Option("--format", help=t("auto, json, jsonl, csv, parquet or text.", "auto、json、jsonl、csv、parquet 或 text。"))
    ] = "auto",
    mapping: Annotated[
        str | None, typer.Option("--map", help=t("Columns, as role=COLUMN,role=COLUMN.", "列映射，如 role=列名,role=列名。"))
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", help=t("Column that says whom a row belongs to.", "表明该行属于谁的列。"))] = None,
    id_column: Annotated[str | None, typer.Option("--id", help=t("Column with the row's id.", "行编号所在的列。"))] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="A:B", help=t("Only rows A to B, from 1.", "只取第 A 到 B 行，从 1 起。"))
    ] = None,
    label: Annotated[
        str, typer.Option("--label", help=t("public, internal or sensitive.", "public、internal 或 sensitive。"))
    ] = "sensitive",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help=t("Import the rows that are sound.", "只导入合格的行。"))] = False,
) -> None:
    """Seal the rows of a file as a set."""
    from ringfence.cli.parse import choice, name_of, pairs, settings
    from ringfence.core.errors import row_reasons
    from ringfence.core.statement import LABELS
    from ringfence.flows.import_ import import_file
    from ringfence.flows.units import hindrance, sharing, unit_told
    from ringfence.ingest.settings import ImportSettings

    chosen = name_of(name or entry or file.stem, "import")
    described: dict[str, Any] = {}
    if entry is not None:
        file, described = _entry_of(file, entry)
    asked = {
        "source": f"{chosen}{file.suffix}",  # not the file's own name: settings stand in signed statements
        "format": None if format_ == "auto" else format_,
        "layout": None if layout == "auto" else layout,
        "mapping": pairs(mapping, "import") or None,
        "unit": unit,
        "id_column": id_column,
        "rows": rows,
        "skip_bad": skip_bad,
    }
    wanted = settings(ImportSettings, "import", **described | {key: value for key, value in asked.items() if value is not None})
    space = workspace()
    with progress(t("import", "导入")) as bar:
        committed, figures = import_file(
            space, file, name=chosen, settings=wanted, label=choice(label, LABELS, "--label", "import"), show=bar
        )
    made = committed.things["set"].made
    others = sharing(space, committed.things["set"])

    def show() -> None:
        say(
            t(
                "✔ {name}@sealed  {rows} rows, {units} units, label {label}",
                "✔ {name}@sealed  {rows} 行，{units} 个单位，标签 {label}",
                name=chosen,
                rows=figures.rows,
                units=figures.units,
                label=label,
            )
        )
        if figures.refused:
            why = row_reasons(figures.reasons, figures.row_numbers)
            say(t("  {n} rows were left out: {why}", "  {n} 行未导入：{why}", n=figures.refused, why=why))
        if others:
            names = ", ".join(f"{name} ({unit_told(by)})" for name, by in others)
            say(
                t(
                    "  somebody or a row is in {names}, too: they share one privacy budget",
                    "  有人或行也在 {names} 中：共用一份隐私预算",
                    names=names,
                )
            )
            if why := hindrance(space, committed.things["set"]):
                say(t("  a private run on {name} will be refused: {why}", "  {name} 上的隐私运行会被拒绝：{why}", name=chosen, why=why))

    emit(
        {
            "set": chosen,
            "stage": "sealed",
            "digest": made.digest,
            "run": committed.run,
            **figures.model_dump(mode="json"),
            "shares_budget_with": [name for name, _ in others],
        },
        show,
    )
    advise(f"ringfence scan {chosen}")


def _entry_of(file: Path, entry: str) -> tuple[Path, dict[str, Any]]:
    """Return the file that an entry of a dataset_info.json names, and how it is to be imported."""
    from ringfence.core.errors import BadArgument
    from ringfence.ingest.dataset_info import FILE, entries, source_of

    known = entries(file.parent) if file.name == FILE else {}
    if entry not in known:
        problem = (
            t("{file} has no such entry", "{file} 中没有该条目", file=file)
            if file.name == FILE
            else t("it belongs to a file called {name}", "它只用于名为 {name} 的文件", name=FILE)
        )
        raise BadArgument(option=f"--entry {entry}", problem=problem, verb="import")
    found = source_of(file.parent, entry, known[entry])
    return found.path, found.settings.model_dump(exclude_defaults=True)
