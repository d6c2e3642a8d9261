"""`ringfence fsck`."""

from __future__ import annotations

import typer

from ringfence.cli.context import emit, say, workspace
from ringfence.core.text import t

ORDER = 160


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "fsck",
        help=t(
            "Check every object, statement and ledger tile; complete or remove what a crash left.",
            "检查每个对象、声明与账本块；完成或清除崩溃留下的东西。",
        ),
    )(fsck)


def fsck() -> int:
    """Check the workspace."""
    from ringfence.workspace.fsck import fsck as check

    report = check(workspace())

    def show() -> None:
        for line in report.mended:
            say(f"  {line}")
        for line in report.broken:
            say(f"✖ {line}")
        say(t("{mark} {n} objects checked", "{mark} 已检查 {n} 个对象", mark="✔" if report.is_sound else "✖", n=report.checked))

    emit({"ok": report.is_sound, "checked": report.checked, "mended": report.mended, "broken": report.broken}, show)
    return 0 if report.is_sound else 12
