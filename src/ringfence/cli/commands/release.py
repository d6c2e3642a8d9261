"""`ringfence release`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import advise, emit, options, progress, say, workspace
from ringfence.core.errors import BadArgument, PolicyRefused
from ringfence.core.text import t

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ringfence.release.formats import Format, Parity
    from ringfence.workspace.space import Workspace
    from ringfence.workspace.state import Run

ORDER = 60


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "release",
        help=t(
            "Ask today's policy about a finished run; sign its adapter into a bundle, or say which rule refuses.\n\n"
            "Examples:\n\n  ringfence release train-0123456789ab --dry-run\n\n  ringfence release train-0123456789ab --name clinic-lora\n\n"
            "  ringfence release train-0123456789ab --name clinic-lora --format merged --format gguf-q8_0",
            "用当前策略审查已完成的运行；签名打包其适配器，或说明哪条规则拒绝。\n\n"
            "示例：\n\n  ringfence release train-0123456789ab --dry-run\n\n  ringfence release train-0123456789ab --name clinic-lora\n\n"
            "  ringfence release train-0123456789ab --name clinic-lora --format merged --format gguf-q8_0",
        ),
    )(release)


def release(
    run: Annotated[str, typer.Argument(metavar="RUN", help=t("Id of the training run, or its beginning.", "训练运行的编号，或其开头。"))],
    name: Annotated[str | None, typer.Option("--name", help=t("Name of the bundle.", "发布包名称。"))] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=t(
                "What the bundle holds beside the adapter: merged, gguf-f16, gguf-q8_0, gguf-q4_1. May be given several times.",
                "发布包除适配器外还包含的格式：merged、gguf-f16、gguf-q8_0、gguf-q4_1。可多次给出。",
            ),
        ),
    ] = None,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard",
            help=t(
                "Say in statement and card that answers pass a replay guard where you serve it, also of a private run; epsilon does not cover it, and no lifetime bound holds after it.",
                "在声明与模型卡中说明：由你提供服务时回答经过复现防护，隐私运行亦然；epsilon 不涵盖它，此后终身上限不再成立。",
            ),
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("Print every verdict; sign nothing.", "只显示每条判定，不签名。"))] = False,
) -> None:
    """Sign an adapter into a bundle."""
    from ringfence.cli.parse import name_of
    from ringfence.cli.verdicts import as_rows, show_verdicts
    from ringfence.flows.release import release as sign

    if not dry_run and name is None:
        raise BadArgument(option="--name", problem=t("a bundle needs a name", "发布包需要名称"), verb="release")
    bundle = name_of(name, "release") if name is not None else ""
    formats = _formats(format_ or [])
    space = workspace()
    if dry_run:
        _judge(space, run, bundle, formats, guard=guard)
        return
    try:
        with progress(t("release", "放行")) as bar:
            done = sign(space, run, name=bundle, guard=guard, formats=formats, show=bar)
    except PolicyRefused as refused:
        if not options().json:
            show_verdicts(refused.verdicts)
        raise

    def show() -> None:
        show_verdicts(done.verdicts)
        say(t("✔ the policy allows it: no rule of {n} refuses", "✔ 策略允许：{n} 条规则均不拒绝", n=len(done.verdicts)))
        for one in done.parity:
            say(_compared(one))
        say(t("✔ {path}  {n} files, signed twice", "✔ {path}  {n} 个文件，双重签名", path=done.path, n=done.files))
        _say_told(done.told)
        if done.voids:
            say(_voiding(is_done=True, guard=guard))

    document = {"bundle": str(done.path), "manifest": done.manifest, "run": done.run, "verdicts": as_rows(done.verdicts)}
    parity = [one.model_dump(mode="json") | {"agreement": one.agreement} for one in done.parity]
    emit(document | {"voids_lifetime_bound": done.voids, "formats": parity} | _told(done.told), show)
    advise(f"ringfence keys export KEYS.json && ringfence verify {done.path} --keys KEYS.json")


def _judge(space: Workspace, run: str, name: str, formats: list[Format], *, guard: bool) -> None:
    """Print what the policy in force says of a run, once its model can be said in the formats that are asked for, and the room that these will take."""
    from ringfence.cli.verdicts import as_rows, show_verdicts
    from ringfence.core.verdict import refusals
    from ringfence.flows.gate import refuse
    from ringfence.flows.release import judge

    found = judge(space, run, name=name, guard=guard, formats=formats)

    def show() -> None:
        show_verdicts(found.verdicts)
        for line in _room(found.sizes):
            say(line)
        _say_told(found.told)
        if found.voids:
            say(_voiding(is_done=False, guard=guard))

    document = {"run": found.run, "verdicts": as_rows(found.verdicts), "voids_lifetime_bound": found.voids, "bytes": dict(found.sizes)}
    emit(document | _told(found.told), show)
    if options().json and refusals(found.verdicts):  # one document is enough for a script
        raise typer.Exit(PolicyRefused.exit_code)
    refuse(found.verdicts, name=found.name)


def _room(sizes: Mapping[Format, int]) -> Iterator[str]:
    """Yield what each format takes on the disk beside the adapter, and together where there are several."""
    for format_, size in sizes.items():
        yield t("  {format} takes {size} on the disk", "  {format} 占磁盘 {size}", format=format_, size=_space(size))
    if len(sizes) > 1:
        yield t("  together {size}", "  合计 {size}", size=_space(sum(sizes.values())))


def _space(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 1 << 30 else f"{size / 2**20:.1f} MiB"


def _formats(asked: list[str]) -> list[Format]:
    from ringfence.release.formats import FORMATS

    for one in asked:
        if one not in FORMATS:
            raise BadArgument(option="--format", problem=t("one of {known}", "须为 {known} 之一", known=", ".join(FORMATS)), verb="release")
    return [known for known in FORMATS if known in asked]


def _compared(one: Parity) -> str:
    return t(
        "✔ {format}: at {n} of {of} places the likeliest token is that of what was trained; divergence {kl:.2g} nats a token",
        "✔ {format}：{of} 处中 {n} 处最可能的词元与训练所得相同；每词元散度 {kl:.2g} 奈特",
        format=one.format,
        n=one.same,
        of=one.tokens,
        kl=one.divergence,
    )


def _told(told: Run | None) -> dict[str, str | None]:
    return {"evaluation": told.id if told else None}


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


def _voiding(*, is_done: bool, guard: bool) -> str:
    if guard and is_done:
        return t(
            "! it is out with a replay guard, which tells who is in the set: the lifetime bound of private runs on the same people is void from here on",
            "! 已带复现防护放行，而防护会透露谁在数据集中：同一批人的隐私运行的终身上限自此失效",
        )
    if guard:
        return t(
            "! a replay guard tells who is in the set: with it, this release would void the lifetime bound of private runs on the same people, for good",
            "! 复现防护会透露谁在数据集中：带防护放行会使同一批人的隐私运行的终身上限永久失效",
        )
    if is_done:
        return t(
            "! an ordinary run is out: the lifetime bound of private runs on the same people is void from here on",
            "! 普通运行已放行：同一批人的隐私运行的终身上限自此失效",
        )
    return t(
        "! this is an ordinary run: its release would void the lifetime bound of private runs on the same people, for good",
        "! 这是普通运行：放行它会使同一批人的隐私运行的终身上限永久失效",
    )
