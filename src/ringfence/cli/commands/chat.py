"""`ringfence chat`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.answering import filter_option, guard_choice, guard_option, keys_option, tell_guard
from ringfence.cli.context import emit, options, progress
from ringfence.cli.streams import printable
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.chat import Speaker
    from ringfence.flows.guard import Choice

ORDER = 80


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "chat",
        help=t(
            "Talk to a verified bundle, or to an unreleased run inside the vault (on record).\n\n"
            "Examples: ringfence chat clinic-lora · ringfence chat clinic-lora --filter default · ringfence chat train-0123456789ab --ask 'What is the capital of France?'",
            "与已验证的发布包对话，或在保险库内与未放行的运行对话（留有记录）。\n\n示例：ringfence chat clinic-lora · ringfence chat clinic-lora --filter default · ringfence chat train-0123456789ab --ask '法国的首都是哪里？'",
        ),
    )(chat)


def chat(
    target: Annotated[
        str, typer.Argument(metavar="BUNDLE|RUN", help=t("Bundle (name or folder) or run id.", "发布包（名称或文件夹）或运行编号。"))
    ],
    ask: Annotated[list[str] | None, typer.Option("--ask", help=t("Ask this and end; may be repeated.", "提问后结束；可重复。"))] = None,
    keys: Annotated[Path | None, keys_option()] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, max=4096, help=t("Longest answer, in tokens.", "回答的最大词元数。"))
    ] = 256,
    filter_: Annotated[str | None, filter_option()] = None,
    guard: Annotated[str, guard_option()] = "auto",
) -> None:
    """Talk to a bundle or run."""
    from ringfence.deid.profile import settings_for
    from ringfence.flows.chat import chat as talk

    profile = settings_for(filter_) if filter_ is not None else None
    choice = guard_choice(guard, "chat")
    answers: list[str] = []
    pieces: list[str] = []  # of the answer that is being given
    prompts = iter([one.encode(errors="replace").decode() for one in ask or []])  # an argument may hold bytes that are no text

    def hear() -> str | None:
        if ask:
            return next(prompts, None)
        print("> ", end="", file=sys.stderr, flush=True)  # standard output holds answers alone
        try:
            return input() or None
        except EOFError:
            return None

    def say(piece: str, *, is_end: bool) -> None:
        if not options().json:
            print("\n" if is_end else printable(piece), end="", flush=True)
        pieces.append(piece)
        if is_end:
            answers.append("".join(pieces))
            pieces.clear()

    speaker = _opened(target, keys, choice)
    tell_guard(speaker.guarding)
    if not ask and not options().quiet:
        print(t("An empty line ends the conversation.", "空行结束对话。"), file=sys.stderr)
    figures = talk(speaker, hear=hear, say=say, max_new_tokens=max_new_tokens, profile=profile)
    if figures.masked and not options().quiet:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(figures.masked.items()))
        print(t("masked: {counts}", "已遮盖：{counts}", counts=counts), file=sys.stderr)
    if figures.blocked and not options().quiet:
        print(t("refused by the replay guard: {n} tokens", "复现防护拒绝的词元：{n}", n=figures.blocked), file=sys.stderr)
    guarded = {"guard": speaker.guarding.guard is not None}
    emit({"answers": answers, **guarded, **figures.model_dump(mode="json")}, lambda: None)


def _opened(target: str, keys: Path | None, guard: Choice) -> Speaker:
    """Return what answers. A bundle from elsewhere, with its owner's keys, needs no workspace."""
    from ringfence.cli.verifying import owner_space, public_keys
    from ringfence.flows.chat import from_bundle, from_workspace

    if keys is not None:
        return from_bundle(Path(target), public_keys(keys), guard=guard)
    space = owner_space("chat")
    with progress(t("replay guard", "复现防护")) as bar:
        return from_workspace(space, target, guard=guard, show=bar)
