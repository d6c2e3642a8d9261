"""`ringfence init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import advise, auditor_secret, emit, say, secret
from ringfence.core.errors import BadArgument
from ringfence.core.text import t

ORDER = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "init",
        help=t(
            "Make a workspace: keys, ledger, vault and a default policy.\n\n"
            "Example: ringfence init hospital\n\n"
            "It asks for two passphrases: yours and the auditor's. With --solo one person plays both parts, and the evidence says so.",
            "建立工作区：密钥、账本、保险库与默认策略。\n\n示例：ringfence init hospital\n\n"
            "会询问两个口令：你的和审计员的。用 --solo 时由一人兼任，证据中会写明。",
        ),
    )(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=t("New or empty folder.", "新的或空的文件夹。"))],
    solo: Annotated[bool, typer.Option("--solo", help=t("One person is also the auditor.", "一人兼任审计员。"))] = False,
    auditor_passphrase_file: Annotated[
        str | None, typer.Option(metavar="FILE", help=t("The auditor's passphrase.", "审计员的口令。"))
    ] = None,
) -> None:
    """Make a workspace."""
    if solo and auditor_passphrase_file is not None:
        raise BadArgument(
            option="--solo", problem=t("it excludes --auditor-passphrase-file", "不能与 --auditor-passphrase-file 同用"), verb="init"
        )
    from ringfence.flows.init import init as make

    chosen = secret(new=True)
    auditor = None if solo else auditor_secret(auditor_passphrase_file)
    space = make(folder.absolute(), chosen, auditor=auditor)
    fingerprint = space.public.fingerprint()

    def show() -> None:
        say(t("✔ workspace {path}", "✔ 工作区 {path}", path=folder))
        say(t("✔ keys (AES-256-GCM, Ed25519, P-256), fingerprint {f}", "✔ 密钥（AES-256-GCM、Ed25519、P-256），指纹 {f}", f=fingerprint))
        say(t("✔ policy: scan and deid before training, sandbox tier T1", "✔ 策略：训练前须扫描与脱敏，沙箱等级 T1"))

    emit({"workspace": str(folder), "tenant": space.settings.tenant, "fingerprint": fingerprint, "solo": solo}, show)
    advise(f"cd {folder} && ringfence import FILE --name NAME")
