"""`ringfence data list|show|delete`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import emit, say, table, workspace
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
            say(f"  ← {step['step']:<8} {step['ended']}  {step['run']}  {' '.join(step['parts'])}")

    emit(found, print_it)


def delete(
    name: Annotated[str, typer.Argument(metavar="SET|DIGEST")],
    with_derived: Annotated[
        bool, typer.Option("--derived", help=t("And everything that was made from it.", "连同由它生成的一切。"))
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=t("Do not ask.", "不再询问。"))] = False,
) -> None:
    """Destroy the keys of a set."""
    from ringfence.core.errors import Interrupted
    from ringfence.flows.data import delete as shred
    from ringfence.flows.data import foresee

    space = workspace()
    thing = space.state.find(name)
    if not yes:
        expected = foresee(space, [thing], with_derived=with_derived)
        titles = ", ".join(map(_title, expected.going))
        for line in _left(expected, with_derived=with_derived):
            print(line, file=sys.stderr)
        question = t("Destroy the keys of {titles}? This cannot be undone.", "销毁 {titles} 的密钥？此操作无法撤销。", titles=titles)
        if not _confirmed(question):
            raise Interrupted
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


def _confirmed(question: str) -> bool:
    from ringfence.core.errors import BadArgument

    try:
        return typer.confirm(question, err=True)
    except typer.Abort as cause:
        if sys.stdin.isatty():
            raise
        print(file=sys.stderr)
        problem = t("nobody answered; --yes does not ask", "没有得到回答；--yes 表示不再询问")
        raise BadArgument(option="--yes", problem=problem, verb="data delete") from cause


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
