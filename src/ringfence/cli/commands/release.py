"""`ringfence release`."""

from __future__ import annotations

from typing import Annotated

import typer

from ringfence.cli.context import advise, emit, say, workspace
from ringfence.core.text import t

ORDER = 60


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "release",
        help=t(
            "Ask today's policy about a finished run; sign its adapter into a bundle, or say which rule refuses.\n\n"
            "Example: ringfence release train-0123456789ab --name clinic-lora",
            "用当前策略审查已完成的运行；签名打包其适配器，或说明哪条规则拒绝。\n\n示例：ringfence release train-0123456789ab --name clinic-lora",
        ),
    )(release)


def release(
    run: Annotated[str, typer.Argument(metavar="RUN", help=t("Id of the training run, or its beginning.", "训练运行的编号，或其开头。"))],
    name: Annotated[str, typer.Option("--name", help=t("Name of the bundle.", "发布包名称。"))],
) -> None:
    """Sign an adapter into a bundle."""
    from ringfence.cli.parse import name_of
    from ringfence.flows.release import release as sign

    space = workspace()
    done = sign(space, run, name=name_of(name, "release"))

    def show() -> None:
        say(t("✔ the policy allows it: {n} rules pass", "✔ 策略允许：{n} 条规则通过", n=len(done.verdicts)))
        say(t("✔ {path}  {n} files, signed twice", "✔ {path}  {n} 个文件，双重签名", path=done.path, n=done.files))

    emit({"bundle": str(done.path), "manifest": done.manifest, "run": done.run, "rules": [v.rule for v in done.verdicts]}, show)
    advise(f"ringfence keys export KEYS.json && ringfence verify {done.path} --keys KEYS.json")
