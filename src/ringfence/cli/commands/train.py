"""`ringfence train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import workspace
from ringfence.cli.training import AnnounceFd
from ringfence.core.text import t

ORDER = 50


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "train",
        help=t(
            "Fine-tune a base model on a set that the policy admits. The recipe is LLaMA-Factory's YAML; key=value overrides it, block.key=value a key of a block.\n\n"
            "Examples:\n\n  ringfence train clinic.yaml --dry-run\n\n  ringfence train clinic.yaml max_steps=60 --detach\n\n"
            "  ringfence train clinic.yaml --processes 4 --shard\n\n"
            "  ringfence train clinic.yaml --sweep privacy.epsilon=1,3,8,none --html frontier.html\n\n"
            "  ringfence train clinic.yaml --sweep learning_rate=1e-4,1e-3 --dry-run\n\n"
            "Ctrl-C saves a checkpoint and stops; ringfence run resume goes on with the same losses (a run of grpo or rloo keeps no checkpoint and starts anew).\n\n"
            "A sweep trains once for each value of one key and compares the losses on held-out rows; every private run is charged. "
            "The same command again makes only what is missing, and prints the table.",
            "在策略允许的数据集上微调基础模型。配方即 LLaMA-Factory 的 YAML；key=value 可覆盖，块内的键写成 block.key=value。\n\n"
            "示例：\n\n  ringfence train clinic.yaml --dry-run\n\n  ringfence train clinic.yaml max_steps=60 --detach\n\n"
            "  ringfence train clinic.yaml --processes 4 --shard\n\n"
            "  ringfence train clinic.yaml --sweep privacy.epsilon=1,3,8,none --html frontier.html\n\n"
            "  ringfence train clinic.yaml --sweep learning_rate=1e-4,1e-3 --dry-run\n\n"
            "Ctrl-C 会保存检查点并停止；ringfence run resume 以相同的损失继续（grpo 与 rloo 的运行不保存检查点，须重新开始）。\n\n"
            "参数扫描对一个键的每个值各训练一次，并比较留出集上的损失；每次隐私运行都计入预算。"
            "再次运行同一命令只做缺少的部分，并打印表格。",
        ),
    )(train)


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help=t("Recipe (YAML).", "配方（YAML）。"))],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help=t("Override recipe keys.", "覆盖配方中的键。"))] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=t("Price time and memory; start nothing.", "只估算时间与内存，不启动。"))
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help=t("Keep going when the terminal closes.", "终端关闭后继续运行。"))] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            max=64,
            metavar="N",
            help=t(
                "Processes that share the run (default: one for each GPU, without a GPU one). What is learned is the same for any number, up to rounding and to what dropout drops; the promise of a private run is the same exactly.",
                "分担运行的进程数（默认每个 GPU 一个；没有 GPU 时一个）。除舍入误差与 dropout 所丢弃的权重外，学到的内容与进程数无关；隐私运行的承诺则完全相同。",
            ),
        ),
    ] = None,
    shard: Annotated[
        bool,
        typer.Option(
            "--shard",
            help=t(
                "With --processes: each process holds a part of the frozen base instead of all of it. Less memory, more time; what is learned is the same, up to rounding.",
                "配合 --processes：每个进程只持有冻结基础模型的一部分，而非全部。内存更少，用时更多；除舍入误差外，学到的内容相同。",
            ),
        ),
    ] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=VALUE,VALUE",
            help=t(
                "Train once for each value of a key and compare; of privacy.epsilon, none is an ordinary run.",
                "对某个键的每个值各训练一次并比较；privacy.epsilon 的 none 表示普通运行。",
            ),
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help=t("With --sweep: write the picture and the table to FILE.", "配合 --sweep：把图与表写到 FILE。"),
        ),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help=t("With --sweep: audit each run that was not.", "配合 --sweep：审计每个尚未审计的运行。"))
    ] = False,
    auditor_passphrase_file: Annotated[
        str | None, typer.Option(metavar="FILE", help=t("With --audit: the auditor's passphrase.", "配合 --audit：审计员的口令。"))
    ] = None,
    announce_fd: AnnounceFd = None,
) -> None:
    """Fine-tune a base model."""
    from ringfence.cli.parse import override
    from ringfence.cli.training import follow, foretell, launch, shared_as
    from ringfence.recipe.read import read

    keys = dict(override(text, "train") for text in overrides or [])
    if sweep or html or audit:
        from ringfence.cli.sweeping import asked, compare

        wanted = asked(
            recipe, keys, sweep or [], html=html, audits=audit, auditor=auditor_passphrase_file, processes=processes, shard=shard
        )
        if detach and not dry_run:
            launch(["train", str(recipe.resolve()), *(overrides or []), *wanted.arguments()])
            return
        compare(workspace(), wanted, dry_run=dry_run, announce=announce_fd)
        return
    plan = read(recipe, keys).shared_by(processes, shard=shard)
    if detach and not dry_run:
        launch(["train", str(recipe.resolve()), *(overrides or []), *shared_as(processes, shard=shard)])
        return
    space = workspace()
    if dry_run:
        foretell(space, plan)
        return
    follow(space, plan=plan, announce=announce_fd)
