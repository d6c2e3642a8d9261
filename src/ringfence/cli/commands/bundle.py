"""`ringfence bundle list`."""

from __future__ import annotations

import typer

from ringfence.cli.context import emit, table, workspace
from ringfence.cli.words import word
from ringfence.core.text import t

ORDER = 115


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Released bundles.", "已放行的发布包。"), no_args_is_help=True)
    group.command("list", help=t("List all bundles.", "列出所有发布包。"))(list_)
    app.add_typer(group, name="bundle")


def list_() -> None:
    """List all bundles."""
    from ringfence.flows.release import bundles

    rows = bundles(workspace(unlock=False))
    shown = [[r["name"], r["run"], r["released"], r["manifest"][:12], word(r["state"])] for r in rows]
    emit(
        {"bundles": rows},
        lambda: table("", [t("name", "名称"), t("run", "运行"), t("released", "放行"), t("manifest", "清单"), t("state", "状态")], shown),
    )
