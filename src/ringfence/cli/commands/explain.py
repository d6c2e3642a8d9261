"""`ringfence explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from ringfence.cli.context import emit, say
from ringfence.core.text import t

ORDER = 170


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "explain",
        help=t(
            "Show the page of an error code.\n\nExample: ringfence explain RF-POLICY-001",
            "显示错误代码的说明页。\n\n示例：ringfence explain RF-POLICY-001",
        ),
    )(explain)


def explain(code: Annotated[str, typer.Argument(metavar="CODE", help=t("Error code.", "错误代码。"))]) -> None:
    """Show the page of an error code."""
    from ringfence.cli.pages import page

    text = page(code)
    emit({"code": code.upper(), "page": text}, lambda: say(text.rstrip()))
