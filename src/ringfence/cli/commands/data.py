"""`ringfence data list|show|delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from ringfence.cli.context import emit, say, table, workspace
from ringfence.core.text import t

ORDER = 100


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Sets and other objects in the vault.", "保险库中的数据集与其他对象。"), no_args_is_help=True)
    group.command("list", help=t("List all objects.", "列出所有对象。"))(list_)
    group.command("show", help=t("Show one set: where it comes from, and its statements.", "显示一个数据集：来源与声明。"))(show)
    group.command(
        "delete",
        help=t(
            "Destroy the keys of a set: its bytes can never be read again.\n\nExample: ringfence data delete clinic@sealed --yes",
            "销毁数据集的密钥：其内容再也无法读取。\n\n示例：ringfence data delete clinic@sealed --yes",
        ),
    )(delete)
    app.add_typer(group, name="data")


def list_(
    everything: Annotated[bool, typer.Option("--all", help=t("Deleted ones and helpers, too.", "包括已删除的与辅助对象。"))] = False,
) -> None:
    """List all objects."""
    from ringfence.flows.data import listing

    rows = listing(workspace(unlock=False), everything=everything)
    shown = [[r["name"], r["digest"][:12], r["label"], r["size"], r["made"], r["state"]] for r in rows]
    columns = [t("name", "名称"), t("digest", "摘要"), t("label", "标签"), t("bytes", "字节"), t("made", "时间"), t("state", "状态")]
    emit({"objects": rows}, lambda: table("", columns, [[str(cell) for cell in row] for row in shown], right=(3,)))


def show(name: Annotated[str, typer.Argument(metavar="SET")]) -> None:
    """Show one set."""
    from ringfence.flows.data import describe

    found = describe(workspace(unlock=False), name)

    def print_it() -> None:
        for key, value in found.items():
            if key != "chain":
                say(f"{key:<10} {value}")
        for step in found["chain"]:
            say(f"  ← {step['step']:<8} {step['ended']}  {step['run']}  {' '.join(step['parts'])}")

    emit(found, print_it)


def delete(
    name: Annotated[str, typer.Argument(metavar="SET")],
    yes: Annotated[bool, typer.Option("--yes", help=t("Do not ask.", "不再询问。"))] = False,
) -> None:
    """Destroy the keys of a set."""
    from ringfence.flows.data import delete as shred

    space = workspace()
    thing = space.state.resolve(name)
    title = f"{thing.made.name}@{thing.made.stage} {thing.made.digest[:12]}"
    if not yes:
        typer.confirm(
            t("Destroy the key of {title}? This cannot be undone.", "销毁 {title} 的密钥？此操作无法撤销。", title=title), abort=True
        )
    shred(space, [thing])
    emit({"deleted": thing.made.digest}, lambda: say(t("✔ {title} can never be read again", "✔ {title} 再也无法读取", title=title)))
