"""`ringfence run list|show|watch|stop|resume|export|close`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.cli.context import emit, progress, say, table, workspace
from ringfence.cli.parse import new_path
from ringfence.cli.training import AnnounceFd
from ringfence.cli.words import lines, word
from ringfence.core.text import t

ORDER = 110
_TICK = 1.0  # s between looks at a running run
RUN = Annotated[str, typer.Argument(metavar="RUN", help=t("Id of the run, or its beginning.", "运行编号，或其开头。"))]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Runs: what is being done and was done.", "运行：正在做的和做过的。"), no_args_is_help=True)
    group.command("list", help=t("List all runs.", "列出所有运行。"))(list_)
    group.command(
        "show",
        help=t(
            "Show one run: figures, seconds per control, its statement. With --html, write a page in the chosen language: of a de-identification what it found and may have left, of another run its audit.",
            "显示一次运行：数据、各项控制的耗时与声明。加 --html 则写成所选语言的网页：脱敏运行写其发现与可能的残留，其他运行写其审计。",
        ),
    )(show)
    group.command("watch", help=t("Follow a running run.", "跟随正在进行的运行。"))(watch)
    group.command(
        "stop",
        help=t(
            "Ask a training run to save a checkpoint and stop; one of grpo or rloo keeps none.",
            "要求训练保存检查点并停止；grpo 与 rloo 的运行不保存。",
        ),
    )(stop)
    group.command("resume", help=t("Continue an interrupted training run.", "继续被中断的训练。"))(resume)
    group.command(
        "export",
        help=t(
            "Write the losses of a finished run into a new folder: trainer_log.jsonl and trainer_state.json as LLaMA-Factory and transformers write them, "
            "training_loss.svg, and TensorBoard's events where the extra tensorboard is installed. Not of a private run: no epsilon covers its losses.\n\n"
            "Example: ringfence run export train-1a2b3c figures",
            "把已完成运行的损失写入新文件夹：trainer_log.jsonl 与 trainer_state.json（同 LLaMA-Factory 与 transformers）、training_loss.svg，"
            "安装 tensorboard 附加组件时还有 TensorBoard 事件。隐私运行除外：其损失不受 ε 保护。\n\n"
            "示例：ringfence run export train-1a2b3c figures",
        ),
    )(export)
    group.command(
        "close",
        help=t(
            "Give up an interrupted run: its checkpoint is shredded, and what it had reserved of a privacy budget is free again.",
            "放弃被中断的训练：粉碎其检查点，并释放它预留的隐私预算。",
        ),
    )(close)
    app.add_typer(group, name="run")


def list_() -> None:
    """List all runs."""
    from ringfence.flows.runs import overview

    runs = overview(workspace(unlock=False))
    rows = [[r["run"], r["set"], word(r["state"]), r["started"], r["ended"] or "", r["code"] or ""] for r in runs]
    columns = [t("run", "运行"), t("set", "数据集"), t("state", "状态"), t("started", "开始"), t("ended", "结束"), t("code", "代码")]
    emit({"runs": runs}, lambda: table("", columns, rows))


def show(
    run: RUN,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help=t("Write its page to FILE: figures only.", "把它的网页写到 FILE：仅含数字。"),
        ),
    ] = None,
) -> None:
    """Show one run, or write its audit as a page."""
    if html is not None:
        from ringfence.flows.report import write_page

        written = write_page(workspace(), run, new_path(html, "--html", "run show"))
        emit({"html": str(written)}, lambda: say(t("✔ {path}", "✔ {path}", path=written)))
        return
    from ringfence.flows.runs import details

    found = details(workspace(), run)
    emit(found, lambda: say("\n".join(lines(found))))


def watch(run: RUN) -> None:
    """Follow a running run."""
    from ringfence.core.order import Progress
    from ringfence.flows.runs import state_of, status

    space = workspace(unlock=False)
    last: dict[str, Any] | None = None
    with progress(t("train", "训练")) as bar:
        while (answer := status(space, run)) is not None:
            if answer != last and "done" in answer:
                bar(Progress(done=answer["done"], total=answer["total"], loss=answer.get("loss"), reward=answer.get("reward")))
            last = answer
            time.sleep(_TICK)
    space.refresh()
    ended = space.state.run(run)
    state = state_of(space, ended)
    emit({"run": ended.id, "state": state}, lambda: say(f"{ended.id}  {word(state)}"))


def stop(run: RUN) -> None:
    """Ask a training run to stop."""
    from ringfence.flows.runs import request_stop

    found = request_stop(workspace(unlock=False), run)
    line = t("✔ {run} will save a checkpoint and stop", "✔ {run} 将保存检查点并停止", run=found.run)
    if not found.keeps:
        line = t("✔ {run} will stop after this step; nothing of it is kept", "✔ {run} 将在此步之后停止；不保留任何内容", run=found.run)
    emit({"run": found.run, "stopping": True, "keeps": found.keeps}, lambda: say(line))


def export(
    run: RUN, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=t("New folder to write.", "要写入的新文件夹。"))]
) -> None:
    """Write the losses of a run into a folder."""
    from ringfence.flows.run_export import export_run

    path = new_path(folder, "FOLDER", "run export")
    files = export_run(workspace(), run, path)
    emit({"folder": str(path), "files": files}, lambda: say(t("✔ {path}: {files}", "✔ {path}：{files}", path=path, files=", ".join(files))))


def close(run: RUN) -> None:
    """Give up an interrupted run."""
    from ringfence.flows.runs import close as give_up

    found = give_up(workspace(), run)
    emit({"run": found, "state": "failed"}, lambda: say(t("✔ {run} is closed", "✔ {run} 已关闭", run=found)))


def resume(
    run: RUN,
    detach: Annotated[bool, typer.Option("--detach", help=t("Keep going when the terminal closes.", "终端关闭后继续运行。"))] = False,
    announce_fd: AnnounceFd = None,
) -> None:
    """Continue an interrupted training run."""
    from ringfence.cli.training import follow, launch

    if detach:
        launch(["run", "resume", run])
        return
    space = workspace()
    follow(space, again=space.state.run(run), announce=announce_fd)
