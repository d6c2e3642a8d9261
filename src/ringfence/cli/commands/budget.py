"""`ringfence budget show|set|freeze|simulate`."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import confirm, emit, say, table, workspace
from ringfence.cli.parse import new_path
from ringfence.cli.words import lifetime_told
from ringfence.core.bounds import LEAST_DELTA, epsilon_told, exact
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.budget import Account

ORDER = 135
_EPSILON = Annotated[float, typer.Option(min=1e-6, help=t("The most that all runs together may spend.", "所有运行合计最多可用的量。"))]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Privacy budgets: what is spent, what is left.", "隐私预算：已用与剩余。"), no_args_is_help=True)
    group.command(
        "show",
        help=t(
            "Show what private runs spent. Sets whose units overlap share one account. Of one set, every run with the epsilon after it; with --html "
            "as a page in the chosen language, with a picture of it over time.\n\n"
            "Examples:\n\n  ringfence budget show clinic\n\n  ringfence budget show clinic --html account.html",
            "显示隐私运行的支出。单位有重叠的数据集共用一个账户。指定数据集时列出每次运行及其后的 epsilon；加 --html 则写成所选语言的网页，"
            "并附随时间变化的图。\n\n示例：\n\n  ringfence budget show clinic\n\n  ringfence budget show clinic --html account.html",
        ),
    )(show)
    group.command(
        "set",
        help=t(
            "Lower the budget of a set, on record. The policy is the upper limit. A run that is open keeps the steps that it reserved; "
            "an interrupted one is asked again when it resumes.\n\nExample: ringfence budget set clinic --epsilon 4",
            "调低一个数据集的预算并记入账本。策略是上限。进行中的运行保留其已预留的步数；被中断的运行在续训时重新检查。\n\n示例：ringfence budget set clinic --epsilon 4",
        ),
    )(set_)
    group.command(
        "freeze",
        help=t(
            "Let nothing more be spent on the units of a set, for good and on record: no private run begins, goes on or resumes, and no ordinary "
            "run on them is released. Sets that share the account are frozen with it, later imports of the same units, too.\n\n"
            "Example: ringfence budget freeze clinic",
            "永久禁止在一个数据集的单位上继续支出，并记入账本：隐私运行不得开始、继续或续训，其上的普通运行不得放行。"
            "共用账户的数据集一并冻结，之后导入的相同单位亦然。\n\n示例：ringfence budget freeze clinic",
        ),
    )(freeze)
    group.command(
        "simulate",
        help=t(
            "Print the epsilon that steps would spend, or with --epsilon the noise that they need. Spends nothing.\n\n"
            "Examples:\n\n  ringfence budget simulate --noise 1.0 --rate 0.01 --steps 1000 --delta 1e-5\n\n"
            "  ringfence budget simulate --epsilon 8 --rate 0.25 --steps 24 --delta 1e-4",
            "显示若干步会花费的 epsilon；给出 --epsilon 时显示所需的噪声。不产生支出。\n\n"
            "示例：\n\n  ringfence budget simulate --noise 1.0 --rate 0.01 --steps 1000 --delta 1e-5\n\n"
            "  ringfence budget simulate --epsilon 8 --rate 0.25 --steps 24 --delta 1e-4",
        ),
    )(simulate)
    app.add_typer(group, name="budget")


def show(
    name: Annotated[str | None, typer.Argument(metavar="[SET]", help=t("A set; all without it.", "数据集；省略则显示全部。"))] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help=t("Write the account of the set to FILE.", "把该数据集的账户写到 FILE。")),
    ] = None,
) -> None:
    """Show what private runs spent, or write it as a page."""
    from ringfence.flows.budget import accounts, find, history, overview, write_page
    from ringfence.report.spending import columns as run_columns
    from ringfence.report.spending import row

    space = workspace(unlock=False)
    if html is not None:
        written = write_page(space, _named(name), new_path(html, "--html", "budget show"))
        emit({"html": str(written)}, lambda: say(t("✔ {path}", "✔ {path}", path=written)))
        return
    account = find(space, name) if name else None
    found = [overview(one) for one in ([account] if account else accounts(space))]
    spenders = history(space, account, delta=found[0]["delta"]) if account else []
    columns = [
        t("sets", "数据集"),
        t("unit", "单位"),
        t("budget", "预算"),
        t("spent", "已用"),
        t("reserved", "预留"),
        t("left", "剩余"),
        t("lifetime bound", "终身上限"),
    ]
    rows = [
        [
            ", ".join(one["sets"]),
            ", ".join(one["units"]),
            t("none", "无") if one["epsilon"] is None else f"ε {exact(one['epsilon'])} (δ {exact(one['delta'])})",
            epsilon_told(one["spent"]),
            epsilon_told(one["reserved"]),
            f"{one['left']:.3f}" + (t(", frozen since {time}", "，自 {time} 起冻结", time=one["frozen"]) if one["frozen"] else ""),
            lifetime_told(one),
        ]
        for one in found
    ]
    nothing = t("nothing was imported yet", "尚未导入任何数据")

    def show_found() -> None:
        if not rows:
            say(nothing)
            return
        table("", columns, rows)
        if spenders:
            say("")
            table("", run_columns(), [row(one) for one in spenders])

    emit({"accounts": found} | ({"history": [asdict(one) for one in spenders]} if account else {}), show_found)


def _named(name: str | None) -> str:
    """Return the set of which a page is asked for.

    Raises: BadArgument.
    """
    from ringfence.core.errors import BadArgument

    if name is None:
        raise BadArgument(option="--html", problem=t("name the set", "请指明数据集"), verb="budget show")
    return name


def _must_be_numbers(verb: str, **options: float | None) -> None:
    """Raise BadArgument for NaN and infinity, which pass every bound of an option."""
    from ringfence.core.errors import BadArgument

    for name, value in options.items():
        if value is not None and not math.isfinite(value):
            raise BadArgument(option=f"--{name}", problem=t("write a number", "请写数字"), verb=verb)


def set_(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("The set.", "数据集。"))],
    epsilon: _EPSILON,
    delta: Annotated[float | None, typer.Option(min=LEAST_DELTA, max=0.5, help=t("Absent: as it is.", "省略则不变。"))] = None,
) -> None:
    """Lower the budget of a set."""
    from ringfence.flows.budget import set_budget

    _must_be_numbers("budget set", epsilon=epsilon, delta=delta)
    limit = set_budget(workspace(), name, epsilon=epsilon, delta=delta)
    emit(
        {"set": name, "epsilon": limit.epsilon, "delta": limit.delta},
        lambda: say(
            t(
                "✔ {name}: at most epsilon {e} at delta {d} from here on",
                "✔ {name}：自此至多 epsilon {e}（delta {d}）",
                name=name,
                e=exact(limit.epsilon),
                d=exact(limit.delta),
            )
        ),
    )


def freeze(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("The set.", "数据集。"))],
    yes: Annotated[bool, typer.Option("--yes", help=t("Do not ask.", "不再询问。"))] = False,
) -> None:
    """Let nothing more be spent on the units of a set."""
    from ringfence.flows.budget import find
    from ringfence.flows.budget import freeze as close

    space = workspace()
    before = find(space, name)
    if not yes and before.frozen is None:
        question = t(
            "Freeze the account of {name}? No private run will ever spend on its units again, and no ordinary run on them be released. "
            "This cannot be undone.",
            "冻结 {name} 的账户？此后任何隐私运行都不得再在其单位上支出，其上的普通运行也不得放行。此操作无法撤销。",
            name=name,
        )
        confirm(question, verb="budget freeze", facts=_stopped(before))
    done = close(space, name)
    sets = ", ".join(done.sets)

    def show() -> None:
        if before.frozen:
            say(t("✔ {sets}: frozen since {time} already", "✔ {sets}：自 {time} 起已冻结", sets=sets, time=done.frozen))
            return
        say(t("✔ {sets}: nothing more can be spent from here on", "✔ {sets}：自此不得再有支出", sets=sets))
        for line in _stopped(done)[1:]:
            say(line)

    emit({"set": name, "sets": list(done.sets), "frozen": done.frozen, "unfinished_runs": list(done.unfinished)}, show)


def _stopped(account: Account) -> list[str]:
    """Return what a freeze meets, a line each: every set that shares the account, and the runs that will not go on."""
    told = [t("  the account is that of: {sets}", "  该账户属于：{sets}", sets=", ".join(account.sets))]
    if account.unfinished:
        runs = ", ".join(account.unfinished)
        told.append(t("  unfinished runs that make no further step: {runs}", "  不再继续的未完成运行：{runs}", runs=runs))
    return told


def simulate(
    rate: Annotated[float, typer.Option(min=1e-6, max=1, help=t("Share of the units in each step.", "每步抽取单位的比例。"))],
    steps: Annotated[int, typer.Option(min=1, max=10**6, help=t("Number of steps.", "步数。"))],
    noise: Annotated[
        float | None,
        typer.Option(min=0.3, max=1e5, help=t("Noise multiplier (noise std / clip norm).", "噪声乘数（噪声标准差 / 裁剪范数）。")),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(min=0.01, max=1000, help=t("Find the noise for this epsilon.", "求达到该 epsilon 的噪声。"))
    ] = None,
    delta: Annotated[float, typer.Option(min=LEAST_DELTA, max=0.5, help=t("Chance outside the promise.", "承诺之外的概率。"))] = 1e-6,
) -> None:
    """Print what steps would spend."""
    from ringfence.core.errors import BadArgument
    from ringfence.privacy.accountant import epsilon_spent, noise_for
    from ringfence.privacy.plan import Mechanism

    _must_be_numbers("budget simulate", rate=rate, noise=noise, epsilon=epsilon, delta=delta)
    if (noise is None) == (epsilon is None):
        raise BadArgument(option="--noise, --epsilon", problem=t("give one of the two", "两者给出其一"), verb="budget simulate")
    if noise is None:
        noise = noise_for(epsilon=epsilon or 0.0, delta=delta, sampling_rate=rate, steps=steps)
    spent = epsilon_spent([Mechanism(noise_multiplier=noise, sampling_rate=rate, steps=steps)], delta=delta)
    found = spent if math.isfinite(spent) else None
    emit(
        {"noise": noise, "rate": rate, "steps": steps, "delta": delta, "epsilon": found},
        lambda: say(
            t(
                "epsilon {e} at delta {d} with noise {n} (PLD, Poisson, zero-out, one unit)",
                "epsilon {e}（delta {d}，噪声 {n}；PLD、泊松抽样、清零相邻、单个单位）",
                e=epsilon_told(found),
                d=exact(delta),
                n=exact(noise),
            )
        ),
    )
