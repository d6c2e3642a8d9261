"""`ringfence data list|show|export|delete`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ringfence.cli.context import confirm, emit, progress, say, table, workspace
from ringfence.cli.words import lines, word
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.data import Deletion
    from ringfence.workspace.state import Thing

ORDER = 100


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Sets and other objects in the vault.", "保险库中的数据集与其他对象。"), no_args_is_help=True)
    group.command("list", help=t("List all objects.", "列出所有对象。"))(list_)
    group.command("show", help=t("Show one set: where it comes from, and its statements.", "显示一个数据集：来源与声明。"))(show)
    group.command(
        "export",
        help=t(
            "Write a set to a file in the clear, if the policy allows it: JSON Lines or Parquet, as the file's ending says. Each export goes into the ledger "
            "with the digest of the file.\n\n"
            "`export: masked`, the policy of a new workspace, lets masked sets and sets labelled public leave; `export: allow` any set, then with --plaintext; "
            "`export: refuse` none.\n\n"
            "Examples:\n\n  ringfence data export clinic@masked clinic.jsonl\n\n  ringfence data export clinic@masked clinic.parquet --without-unit",
            "在策略允许时，把数据集以明文写入文件：按文件后缀为 JSON Lines 或 Parquet。每次导出都连同文件摘要记入账本。\n\n"
            "`export: masked` 为新工作区的策略，允许导出脱敏的与标为 public 的数据集；`export: allow` 允许任何数据集，此时须加 --plaintext；"
            "`export: refuse` 一律不允许。\n\n"
            "示例：\n\n  ringfence data export clinic@masked clinic.jsonl\n\n  ringfence data export clinic@masked clinic.parquet --without-unit",
        ),
    )(export)
    group.command(
        "delete",
        help=t(
            "Destroy the keys of a set: its bytes can never be read again. What was made from it stays, unless you say --derived.\n\n"
            "Examples: ringfence data delete clinic@sealed · ringfence data delete clinic@sealed --derived --yes",
            "销毁数据集的密钥：其内容再也无法读取。由它生成的对象仍在，除非加 --derived。\n\n"
            "示例：ringfence data delete clinic@sealed · ringfence data delete clinic@sealed --derived --yes",
        ),
    )(delete)
    app.add_typer(group, name="data")


def list_(
    everything: Annotated[bool, typer.Option("--all", help=t("Deleted ones and helpers, too.", "包括已删除的与辅助对象。"))] = False,
) -> None:
    """List all objects."""
    from ringfence.flows.data import listing

    rows = listing(workspace(unlock=False), everything=everything)
    shown = [[r["name"], r["digest"][:12], r["label"], r["size"], r["made"], word(r["state"])] for r in rows]
    columns = [t("name", "名称"), t("digest", "摘要"), t("label", "标签"), t("bytes", "字节"), t("made", "时间"), t("state", "状态")]
    emit({"objects": rows}, lambda: table("", columns, [[str(cell) for cell in row] for row in shown], right=(3,)))


def show(name: Annotated[str, typer.Argument(metavar="SET")]) -> None:
    """Show one set."""
    from ringfence.flows.data import describe

    found = describe(workspace(unlock=False), name)

    def print_it() -> None:
        say("\n".join(lines({key: value for key, value in found.items() if key != "chain"})))
        for step in found["chain"]:
            say(f"  ← {step['step']:<8} {step['ended']}  {step['run']}  {step['set']}  {' '.join(step['parts'])}")

    emit(found, print_it)


def export(
    name: Annotated[str, typer.Argument(metavar="SET")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("New file.", "新文件。"))],
    format_: Annotated[
        str | None,
        typer.Option("--format", help=t("jsonl or parquet; default: by the file's ending.", "jsonl 或 parquet；默认按文件后缀。")),
    ] = None,
    without_unit: Annotated[
        bool,
        typer.Option("--without-unit", help=t("Do not say which rows belong to the same person.", "不写明哪些行属于同一人。")),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help=t("Replace the file if it exists.", "文件已存在时替换它。"))] = False,
    plaintext: Annotated[
        bool,
        typer.Option("--plaintext", help=t("Yes, a set that is not masked may leave the vault.", "确认：未脱敏的数据集可离开保险库。")),
    ] = False,
) -> None:
    """Write a set to a file in the clear."""
    from ringfence.cli.parse import new_path
    from ringfence.flows.export import export_set

    chosen = _format(file, format_)
    if not (force and file.is_file()):
        new_path(file, "FILE", "data export")
    with progress(t("export", "导出")) as bar:
        left = export_set(
            workspace(),
            name,
            file.absolute(),
            file_format=chosen,
            unit=not without_unit,
            replace=force,
            is_confirmed=plaintext,
            show=bar,
        )
    made, entry = left.thing.made, left.entry

    def show() -> None:
        say(
            t(
                "✔ {file}  {rows} rows of {name}@{stage}, {n} bytes, SHA-256 {digest}",
                "✔ {file}  {name}@{stage} 的 {rows} 行，{n} 字节，SHA-256 {digest}",
                file=file,
                rows=entry.rows,
                name=made.name,
                stage=made.stage,
                n=entry.size,
                digest=entry.file,
            )
        )
        if left.figures.has_unit:
            say(t("  column unit: which rows belong together", "  unit 列：哪些行属于同一单位"))

    document = {"set": made.name, "stage": made.stage, "digest": made.digest, "file": str(file), "sha256": entry.file, "format": chosen}
    emit(document | left.figures.model_dump(mode="json"), show)


def _format(file: Path, wanted: str | None) -> Literal["jsonl", "parquet"]:
    from ringfence.cli.parse import choice
    from ringfence.core.errors import BadArgument

    if wanted is not None:
        return choice(wanted, ("jsonl", "parquet"), "--format", "data export")
    endings: dict[str, Literal["jsonl", "parquet"]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
    if (found := endings.get(file.suffix.lower())) is None:
        problem = t(
            "{file} ends in none of {known}; say which", "{file} 的后缀不在 {known} 之中；请指明", file=file.name, known=", ".join(endings)
        )
        raise BadArgument(option="--format", problem=problem, verb="data export")
    return found


def delete(
    name: Annotated[str, typer.Argument(metavar="SET|DIGEST")],
    with_derived: Annotated[
        bool, typer.Option("--derived", help=t("And everything that was made from it.", "连同由它生成的一切。"))
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=t("Do not ask.", "不再询问。"))] = False,
) -> None:
    """Destroy the keys of a set."""
    from ringfence.flows.data import delete as shred
    from ringfence.flows.data import foresee

    space = workspace()
    thing = space.state.find(name)
    if not yes:
        expected = foresee(space, [thing], with_derived=with_derived)
        titles = ", ".join(map(_title, expected.going))
        question = t("Destroy the keys of {titles}? This cannot be undone.", "销毁 {titles} 的密钥？此操作无法撤销。", titles=titles)
        confirm(question, verb="data delete", facts=_left(expected, with_derived=with_derived))
    done = shred(space, [thing], with_derived=with_derived)

    def show() -> None:
        for one in done.going:
            say(t("✔ {title} can never be read again", "✔ {title} 再也无法读取", title=_title(one)))
        for line in _left(done, with_derived=with_derived):
            say(line)

    document = {
        "deleted": [one.made.digest for one in done.going],
        "still_there": [one.made.digest for one in done.staying],
        "same_name_still_there": [one.made.digest for one in done.namesakes],
        "accounts_still_there": [one.made.digest for one in done.accounts],
        "bundles": {"removed" if with_derived else "still_there": list(done.bundles)},
        "ended_runs": list(done.runs),
    }
    emit(document, show)


def _left(found: Deletion, *, with_derived: bool) -> list[str]:
    """Return what a deletion leaves or takes besides objects, a line each."""
    lines = []
    if found.staying:
        titles = ", ".join(map(_title, found.staying))
        lines.append(
            t("  made from it, and stays without --derived: {titles}", "  由它生成，不加 --derived 则保留：{titles}", titles=titles)
        )
    if found.namesakes:
        titles = ", ".join(map(_title, found.namesakes))
        lines.append(t("  another import of the same name, which stays: {titles}", "  同名的另一次导入，仍保留：{titles}", titles=titles))
    if found.accounts:
        lines.append(
            t(
                "  its account stays: keyed ids of its units and their row counts, so that what was spent stays known",
                "  其账目仍保留：各单位的带密钥标识与行数，使已用的预算仍可查",
            )
        )
    if found.bundles:
        names = ", ".join(found.bundles)
        lines.append(
            t("  bundles with its weights, removed here: {names}", "  含其权重、在此处移除的发布包：{names}", names=names)
            if with_derived
            else t("  bundles with its weights, which stay: {names}", "  含其权重、仍保留的发布包：{names}", names=names)
        )
        lines.append(t("  copies of a bundle elsewhere are not reached", "  别处的发布包副本无法触及"))
    if found.runs:
        lines.append(t("  unfinished runs that end with it: {runs}", "  随之结束的未完成运行：{runs}", runs=", ".join(found.runs)))
    return lines


def _title(thing: Thing) -> str:
    kind = "" if thing.made.kind in ("set", "quarantine", "adapter", "tagger") else f" ({word(thing.made.kind)})"
    return f"{thing.made.name}@{thing.made.stage}{kind} {thing.made.digest[:12]}"
