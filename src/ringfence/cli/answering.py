"""Options of the commands that let a model answer. Functions, because the language of their help is chosen when a command is built."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, get_args

import typer

from ringfence.cli.context import options
from ringfence.core.errors import BadArgument
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.guard import Choice, Guarding


def keys_option() -> Any:  # noqa: ANN401  as typer's own
    """Return `--keys`."""
    return typer.Option("--keys", metavar="FILE", help=t("Public keys of a bundle from elsewhere.", "外来发布包的公钥。"))


def guard_option() -> Any:  # noqa: ANN401
    """Return `--guard`."""
    return typer.Option(
        "--guard",
        metavar="auto|on|off",
        help=t(
            "Refuse tokens that would repeat a passage of the training set word for word (auto: where the set is here and the run is ordinary).",
            "拒绝会逐字复现训练集片段的词元（auto：训练集在此处且为普通运行时）。",
        ),
    )


def guard_choice(value: str, verb: str) -> Choice:
    """Return what was chosen.

    Raises: BadArgument.
    """
    from ringfence.flows.guard import Choice

    choices: tuple[Choice, ...] = get_args(Choice)
    for choice in choices:
        if value == choice:
            return choice
    raise BadArgument(option="--guard", problem=t("one of auto, on, off", "须为 auto、on 或 off"), verb=verb)


def tell_guard(guarding: Guarding, before: str = "") -> None:
    """Say on standard error that answers pass a replay guard, or why they pass none. before: whose answers."""
    if guarding.guard:
        line = t("replay guard: on (--guard off switches it off)", "复现防护：已启用（--guard off 可关闭）")
    elif guarding.why:
        line = t("no replay guard: {why}", "没有复现防护：{why}", why=guarding.why.show())
    else:
        return
    if not options().quiet:
        with contextlib.suppress(OSError, ValueError):
            print(before + line, file=sys.stderr, flush=True)


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
