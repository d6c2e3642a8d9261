"""Click's usage errors as ours: with a code, in the reader's language, as JSON where that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ringfence.core.errors import BadArgument
from ringfence.core.text import t


def as_ours(error: click.UsageError) -> BadArgument:
    """Return what was wrong with the command line."""
    verb = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
    if isinstance(error, click.NoSuchOption):
        return BadArgument(option=error.option_name, problem=_unknown(error.possibilities), verb=verb)
    if isinstance(error, click.exceptions.NoSuchCommand):
        return BadArgument(option=error.command_name, problem=_unknown(error.possibilities), verb=verb)
    if isinstance(error, click.BadParameter):
        hint = error.param_hint or (error.param.get_error_hint(error.ctx) if error.param and error.ctx else None)
        option = hint if isinstance(hint, str) else " / ".join(hint or [verb])
        return BadArgument(option=option.strip("'"), problem=_problem(error), verb=verb)
    return BadArgument(option=verb or "ringfence", problem=error.message.rstrip(".。"), verb=verb)


def _unknown(nearest: Sequence[str] | None) -> str:
    if not nearest:
        return t("there is nothing of that name", "没有这个名称")
    known = ", ".join(dict.fromkeys(nearest))
    return t("there is nothing of that name; did you mean {known}?", "没有这个名称；是否想写 {known}？", known=known)


def _problem(error: click.BadParameter) -> str:
    if isinstance(error, click.MissingParameter):
        return t("it is missing", "缺失")
    kind = error.param.type if error.param else None
    if isinstance(kind, click.IntRange):
        if kind.max is None:
            return t("write a whole number from {least}", "请写不小于 {least} 的整数", least=kind.min)
        return t("write a whole number from {least} to {most}", "请写 {least} 到 {most} 的整数", least=kind.min, most=kind.max)
    if isinstance(kind, type(click.INT)):
        return t("write a whole number", "请写整数")
    return error.message.rstrip(".。")
