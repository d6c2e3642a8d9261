"""`ringfence deid reveal`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import emit, options, workspace
from ringfence.cli.streams import printable
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.deid.reveal import Answer

ORDER = 80


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "reveal",
        help=t(
            "Show the original behind a stand-in, if the policy says `reveal: allow`. Every answer goes into the ledger before it is shown. Of a stand-in that several originals share none is shown.\n\n"
            "Without --of it asks for one stand-in after another; an empty line ends.\n\n"
            "Example: ringfence deid reveal clinic@masked --ticket DPO-2026-17",
            "显示替代值背后的原文，前提是策略写有 `reveal: allow`。每次回答先记入账本，再显示。多个原文共用的替代值不予还原。\n\n不给 --of 时逐个询问替代值；空行结束。\n\n"
            "示例：ringfence deid reveal clinic@masked --ticket DPO-2026-17",
        ),
    )(reveal)


def reveal(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("A masked set.", "已脱敏的数据集。"))],
    ticket: Annotated[
        str,
        typer.Option(
            "--ticket", metavar="ID", help=t("The decision that asks for it; it stands in the ledger.", "要求还原的决定编号，记入账本。")
        ),
    ],
    of: Annotated[list[str] | None, typer.Option("--of", help=t("Stand-in; may be repeated.", "替代值；可重复。"))] = None,
) -> None:
    """Show the original behind a stand-in."""
    from ringfence.cli.parse import settings
    from ringfence.core.errors import RevealAmbiguous
    from ringfence.deid.settings import RevealSettings
    from ringfence.flows.reveal import reveal as look_up

    answers: list[dict[str, object]] = []
    wanted = iter([one.encode(errors="replace").decode() for one in of or []])

    def hear() -> str | None:
        if of:
            return next(wanted, None)
        print("> ", end="", file=sys.stderr, flush=True)  # standard output holds answers alone
        try:
            return input().strip() or None
        except EOFError:
            return None

    def show(stand_in: str, answer: Answer) -> None:
        answers.append({"stand_in": stand_in, **answer.model_dump(mode="json")})
        if not options().json:
            _print(answer)

    chosen = settings(RevealSettings, "deid reveal", ticket=ticket)
    figures = look_up(workspace(), name, settings=chosen, hear=hear, show=show)
    if figures.ambiguous and not figures.revealed:
        raise RevealAmbiguous(count=max(int(str(one["different"])) for one in answers))
    emit({"answers": answers, **figures.model_dump(mode="json")}, lambda: None)


def _print(answer: Answer) -> None:
    from ringfence.core.errors import RevealAmbiguous

    for one in answer.originals:
        print(printable(t("{o}  ({kind}, {n} times)", "{o}（{kind}，{n} 次）", o=one.original, kind=one.kind, n=one.occurrences)))
    if answer.left_out:
        print(t("{n} more spellings, too many or too long to be shown", "另有 {n} 种写法，过多或过长，未显示", n=answer.left_out))
    if answer.different > 1:
        what, remedy = RevealAmbiguous(count=answer.different).sentences()
        print(t("{what}; {do}", "{what}；{do}", what=what, do=remedy), file=sys.stderr)
    elif not answer.different:
        print(t("nothing was replaced by that", "没有内容被替换成它"))
