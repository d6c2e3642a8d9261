"""`ringfence verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, options, say
from ringfence.core.text import t

ORDER = 70


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "verify",
        help=t(
            "Check a bundle with nothing but the owner's public keys: offline, no workspace.\n\n"
            "Example: ringfence verify clinic-lora --keys hospital-keys.json",
            "只凭所有者的公钥检查发布包：离线，无需工作区。\n\n示例：ringfence verify clinic-lora --keys hospital-keys.json",
        ),
    )(verify)


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help=t("Folder of the bundle.", "发布包文件夹。"))],
    keys: Annotated[
        Path, typer.Option("--keys", metavar="FILE", help=t("Public keys, got from the owner by another way.", "另行从所有者取得的公钥。"))
    ],
) -> None:
    """Check a bundle."""
    from ringfence.cli.verifying import public_keys
    from ringfence.release.steps import Step
    from ringfence.release.verify import verify_bundle

    def show(step: Step) -> None:
        if not options().json:
            mark = "✔" if step.outcome == "pass" else "✖"
            say(f"({step.number}) {mark} {step.title.show()}" + (f"  {step.detail}" if step.detail else ""))

    report = verify_bundle(bundle, public_keys(keys), on_step=show)
    steps = [{"number": s.number, "step": s.title.en, "detail": s.detail} for s in report.steps]
    emit(
        {"ok": True, "bundle": report.manifest.name, "run": report.manifest.run, "fingerprint": report.fingerprint, "steps": steps},
        lambda: say(
            t(
                "✔ {name} is what {run} trained and its owner released",
                "✔ {name} 由 {run} 训练，并由其所有者放行",
                name=report.manifest.name,
                run=report.manifest.run,
            )
        ),
    )
