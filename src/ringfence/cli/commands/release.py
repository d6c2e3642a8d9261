"""`ringfence release`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import advise, emit, options, say, workspace
from ringfence.core.errors import BadArgument, PolicyRefused
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.workspace.state import Run

ORDER = 60


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "release",
        help=t(
            "Ask today's policy about a finished run; sign its adapter into a bundle, or say which rule refuses.\n\n"
            "Examples:\n\n  ringfence release train-0123456789ab --dry-run\n\n  ringfence release train-0123456789ab --name clinic-lora",
            "用当前策略审查已完成的运行；签名打包其适配器，或说明哪条规则拒绝。\n\n"
            "示例：\n\n  ringfence release train-0123456789ab --dry-run\n\n  ringfence release train-0123456789ab --name clinic-lora",
        ),
    )(release)


def release(
    run: Annotated[str, typer.Argument(metavar="RUN", help=t("Id of the training run, or its beginning.", "训练运行的编号，或其开头。"))],
    name: Annotated[str | None, typer.Option("--name", help=t("Name of the bundle.", "发布包名称。"))] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("Print every verdict; sign nothing.", "只显示每条判定，不签名。"))] = False,
) -> None:
    """Sign an adapter into a bundle."""
    from ringfence.cli.parse import name_of
    from ringfence.cli.verdicts import as_rows, show_verdicts
    from ringfence.core.verdict import refusals
    from ringfence.flows.gate import refuse
    from ringfence.flows.release import judge
    from ringfence.flows.release import release as sign

    if not dry_run and name is None:
        raise BadArgument(option="--name", problem=t("a bundle needs a name", "发布包需要名称"), verb="release")
    bundle = name_of(name, "release") if name is not None else ""
    space = workspace()
    if dry_run:
        found = judge(space, run)

        def show_found() -> None:
            show_verdicts(found.verdicts)
            _say_told(found.told)
            if found.voids:
                say(_voiding(is_done=False))

        told = {"voids_lifetime_bound": found.voids, "evaluation": found.told.id if found.told else None}
        emit({"run": found.run, "verdicts": as_rows(found.verdicts), **told}, show_found)
        if options().json and refusals(found.verdicts):  # one document is enough for a script
            raise typer.Exit(PolicyRefused.exit_code)
        refuse(found.verdicts, name=found.name)
        return
    try:
        done = sign(space, run, name=bundle)
    except PolicyRefused as refused:
        if not options().json:
            show_verdicts(refused.verdicts)
        raise

    def show() -> None:
        show_verdicts(done.verdicts)
        say(t("✔ the policy allows it: no rule of {n} refuses", "✔ 策略允许：{n} 条规则均不拒绝", n=len(done.verdicts)))
        say(t("✔ {path}  {n} files, signed twice", "✔ {path}  {n} 个文件，双重签名", path=done.path, n=done.files))
        _say_told(done.told)
        if done.voids:
            say(_voiding(is_done=True))

    document = {"bundle": str(done.path), "manifest": done.manifest, "run": done.run, "verdicts": as_rows(done.verdicts)}
    emit(document | {"voids_lifetime_bound": done.voids, "evaluation": done.told.id if done.told else None}, show)
    advise(f"ringfence keys export KEYS.json && ringfence verify {done.path} --keys KEYS.json")


def _say_told(told: Run | None) -> None:
    if told:
        facts = {"run": told.id, "set": told.intent.name}
        say(
            t(
                "  the card tells the figures of {run} on {set}: once they are out, no later promise bounds what its people lose over a lifetime",
                "  模型卡写明 {run} 在 {set} 上的指标：一旦放行，以后的承诺都不再限定这批人终身的损失",
                **facts,
            )
        )


def _voiding(*, is_done: bool) -> str:
    if is_done:
        return t(
            "! an ordinary run is out: the lifetime bound of the private runs on the same people is void from here on",
            "! 普通运行已放行：同一批人的隐私运行的终身上限自此失效",
        )
    return t(
        "! this is an ordinary run: its release would void the lifetime bound of the private runs on the same people, for good",
        "! 这是普通运行：放行它会使同一批人的隐私运行的终身上限永久失效",
    )
