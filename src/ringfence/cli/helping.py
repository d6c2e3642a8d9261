"""Help in Chinese: the headings, and the ends of lines, which the library of the command line would cut off."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from typer.core import TyperCommand, TyperGroup

from ringfence.core.text import chosen, t


@lru_cache(maxsize=1)  # once a process
def mend_help() -> None:
    """Make every help text whole in the reader's language. Call it before commands are built."""
    for kind in (TyperCommand, TyperGroup):
        kind.format_help = _prepared(kind.format_help)  # type: ignore[method-assign]


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
