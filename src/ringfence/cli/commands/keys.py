"""`ringfence keys status|export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, say, workspace
from ringfence.cli.words import lines
from ringfence.core.text import t

ORDER = 140


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Keys: what there is, and what a verifier needs.", "密钥：现状，以及验证者所需。"), no_args_is_help=True)
    group.command("status", help=t("Show which keys there are; never a key.", "显示有哪些密钥；从不显示密钥本身。"))(status)
    group.command(
        "export",
        help=t(
            "Write the public keys that a verifier brings.\n\nExample: ringfence keys export hospital-keys.json",
            "写出验证者使用的公钥。\n\n示例：ringfence keys export hospital-keys.json",
        ),
    )(export)
    app.add_typer(group, name="keys")


def status() -> None:
    """Show which keys there are."""
    space = workspace()
    found = {
        "tenant": space.settings.tenant,
        "fingerprint": space.public.fingerprint(),
        "tenant_key_version": space.keys.tenant_version,
        "object_keys": len(space.keys.slots()),
        "solo": space.keys.is_solo,
    }
    emit(found, lambda: say("\n".join(lines(found))))


def export(file: Annotated[Path, typer.Argument(metavar="FILE", help=t("Where to write them.", "写到哪里。"))]) -> None:
    """Write the public keys."""
    from ringfence.cli.parse import new_path
    from ringfence.core.durable import write_atomic

    public = workspace(unlock=False).public
    write_atomic(new_path(file, "FILE", "keys export"), public.to_bytes(), mode=0o644)
    emit(
        {"file": str(file), "fingerprint": public.fingerprint()},
        lambda: say(t("✔ {file}  fingerprint {f}", "✔ {file}  指纹 {f}", file=file, f=public.fingerprint())),
    )
