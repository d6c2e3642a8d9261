"""Options of the commands that let a model answer. Functions, because the language of their help is chosen when a command is built."""

from __future__ import annotations

from typing import Any

import typer

from ringfence.core.text import t


def keys_option() -> Any:  # noqa: ANN401  as typer's own
    """Return `--keys`."""
    return typer.Option("--keys", metavar="FILE", help=t("Public keys of a bundle from elsewhere.", "外来发布包的公钥。"))


def filter_option() -> Any:  # noqa: ANN401
    """Return `--filter`."""
    return typer.Option(
        "--filter",
        metavar="NAME|FILE.json",
        help=t(
            "Mask the identifiers of a de-identification profile in the answers: <EMAIL> (default: answers are not changed).",
            "在回答中遮盖某个脱敏方案的标识符：<EMAIL>（默认不改动回答）。",
        ),
    )
