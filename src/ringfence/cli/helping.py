"""Help in Chinese: the headings, the library's own sentences, and the ends of lines, which it would cut off."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import click.core
import click.decorators
import click.formatting
import click.parser
import click.types
import typer.core
from typer.core import TyperCommand, TyperGroup

from ringfence.core.text import chosen, t

_SPEAKING = (
    click.core,
    click.decorators,
    click.formatting,
    click.parser,
    click.types,
    typer.core,
)  # each has gettext's functions as its own
# What people meet of click 8.4 and typer 0.20, by the English sentence. A whole catalogue of gettext would be a file for each language, chosen by LANG.
_CHINESE = {
    "Usage:": "用法:",
    "Show this message and exit.": "显示此帮助并退出。",
    "default: {default}": "默认：{default}",
    "required": "必填",
    "Missing command.": "缺少命令。",
    "Got unexpected extra argument ({args})": "多余的参数（{args}）",
    "Got unexpected extra arguments ({args})": "多余的参数（{args}）",
    "Option {name!r} requires an argument.": "选项 {name!r} 需要一个值。",
    "Option {name!r} requires {nargs} arguments.": "选项 {name!r} 需要 {nargs} 个值。",
    "Option {name!r} does not take a value.": "选项 {name!r} 不带值。",
    "{value} is not in the range {range}.": "{value} 不在范围 {range} 内。",
    "{value!r} is not a valid {number_type}.": "{value!r} 不是有效的 {number_type}。",
    "{value!r} is not {choice}.": "{value!r} 不是 {choice}。",
    "{value!r} is not one of {choices}.": "{value!r} 不是 {choices} 之一。",
    "{name} {filename!r} does not exist.": "{filename!r} 不存在。",
    "{name} {filename!r} is a file.": "{filename!r} 是文件。",
    "{name} {filename!r} is a directory.": "{filename!r} 是文件夹。",
    "{name} {filename!r} is not readable.": "{filename!r} 不可读。",
}


@lru_cache(maxsize=1)  # once a process
def mend_help() -> None:
    """Make every help text whole in the reader's language. Call it before commands are built."""
    for kind in (TyperCommand, TyperGroup):
        kind.format_help = _prepared(kind.format_help)  # type: ignore[method-assign]
    for module in _SPEAKING:
        for name, speak in (("_", _said), ("ngettext", _counted)):
            if hasattr(module, name):
                setattr(module, name, speak)


def _said(sentence: str) -> str:
    """Return a sentence of the library in the reader's language, placeholders and all; as it is where the catalogue has none."""
    return _CHINESE.get(sentence, sentence) if chosen() == "zh" else sentence


def _counted(one: str, several: str, number: int) -> str:
    return _said(one if number == 1 else several)


def _prepared(shown: Callable[..., None]) -> Callable[..., None]:
    @wraps(shown)
    def prepared(*given: Any) -> None:  # noqa: ANN401  the library's
        _choose_language()
        shown(*given)

    return prepared


def _choose_language() -> None:
    """Put the headings into the reader's language, and break Chinese lines anywhere: to the library a line is one word, which it cuts off."""
    from typer import rich_utils

    rich_utils.ARGUMENTS_PANEL_TITLE = t("Arguments", "参数")
    rich_utils.OPTIONS_PANEL_TITLE = t("Options", "选项")
    rich_utils.COMMANDS_PANEL_TITLE = t("Commands", "命令")
    rich_utils.REQUIRED_LONG_STRING = t("[required]", "[必填]")
    rich_utils.DEFAULT_STRING = t("[default: {{}}]", "[默认：{{}}]")
    made = _made()
    rich_utils._make_rich_text = _folded(made) if chosen() == "zh" else made  # noqa: SLF001  every text of help goes through it


@lru_cache(maxsize=1)
def _made() -> Callable[..., Any]:
    from typer import rich_utils

    return rich_utils._make_rich_text  # noqa: SLF001


def _folded(made: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(made)
    def folded(**given: Any) -> Any:  # noqa: ANN401  the library's
        text = made(**given)
        text.overflow = "fold"
        return text

    return folded
