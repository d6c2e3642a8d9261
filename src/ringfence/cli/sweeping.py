"""What `train --sweep` prints: what is to be done and what it costs, then what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.context import advise, auditor_opening, clock, emit, options, progress, say, table
from ringfence.cli.training import announcing, bring_sets, note_before, shared_as
from ringfence.cli.words import columns, padded
from ringfence.core.bounds import epsilon_told, exact
from ringfence.core.errors import BadArgument, Interrupted
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.sweep import Planned, Trial
    from ringfence.flows.train import Price
    from ringfence.recipe.sweep import Sweep
    from ringfence.report.figures import Tried
    from ringfence.workspace.space import Workspace

_VERB = "train"
_SEALED = ("before", "loss", "lower", "rows", "units", "upper")  # of a value: figures of held-out rows, which no epsilon covers


@dataclass(frozen=True)
class Asked:
    """A sweep as it stands on the command line."""

    sweep: Sweep
    text: str  # key=value,value
    html: Path | None  # where its page goes
    audits: bool
    auditor: str | None  # file of the auditor's passphrase
    processes: int | None  # that share each run
    shard: bool = False  # and its base

    def arguments(self) -> list[str]:
        """Return the options again, for a process that works in another folder."""
        page = ["--html", str(self.html)] if self.html else []
        audit = ["--audit"] if self.audits else []
        auditor = ["--auditor-passphrase-file", str(Path(self.auditor).resolve())] if self.auditor else []
        return ["--sweep", self.text, *page, *audit, *auditor, *shared_as(self.processes, shard=self.shard)]


def asked(
    recipe: Path,
    keys: Mapping[str, Any],
    sweeps: Sequence[str],
    *,
    html: Path | None,
    audits: bool,
    auditor: str | None,
    processes: int | None = None,
    shard: bool = False,
) -> Asked:
    """Return what the options ask for.

    Raises: BadArgument, AlreadyExists, and what reading a recipe raises.
    """
    from ringfence.cli.parse import new_path, swept
    from ringfence.recipe.sweep import sweep

    if len(sweeps) != 1:
        problem = (
            t("it is missing; --html and --audit belong to a sweep", "缺失；--html 与 --audit 属于参数扫描")
            if not sweeps
            else t("one key at a time", "一次只能一个键")
        )
        raise BadArgument(option="--sweep", problem=problem, verb=_VERB)
    page = new_path(html, "--html", _VERB) if html else None
    found = sweep(recipe, *swept(sweeps[0], _VERB), keys)
    found = replace(found, variants=tuple(replace(one, recipe=one.recipe.shared_by(processes, shard=shard)) for one in found.variants))
    if audits and any(one.recipe.audit is None for one in found.variants):
        problem = t("the recipe plants no canaries; add an audit: block", "配方没有植入金丝雀；请加入 audit: 块")
        raise BadArgument(option="--audit", problem=problem, verb=_VERB)
    return Asked(found, sweeps[0], page, audits, auditor, processes, shard)


def compare(space: Workspace, wanted: Asked, *, dry_run: bool = False, announce: int | None = None) -> None:
    """Lay a sweep out, carry it out with a bar a run, and print what the runs showed."""
    from ringfence.flows.sweep import carry_out, lay_out, prices, write_page

    bring_sets(space, wanted.sweep.variants[0].recipe, dry_run=dry_run)
    note_before(space, wanted.sweep.variants[0].recipe)
    planned = lay_out(space, wanted.sweep)
    if dry_run:
        if not options().quiet:
            print(t("timing a few steps of each run in the sandbox …", "正在沙箱中为每次运行的几步计时……"), file=sys.stderr, flush=True)
        _show_plan(planned, prices(space, planned, bar=progress))
        return
    if not (options().quiet or options().json):
        for line in plan_lines(planned):
            print(line, file=sys.stderr, flush=True)
    opening = auditor_opening(space, wanted.auditor) if wanted.audits else None
    try:
        tried = carry_out(space, planned, auditor=opening, bar=progress, started=announcing(announce))
    except (Interrupted, KeyboardInterrupt):
        if not options().quiet:
            words = t("the same command goes on with the sweep; what is finished is kept", "再次运行同一命令会继续扫描；已完成的保留")
            print(words, file=sys.stderr, flush=True)
        raise
    if wanted.html:
        write_page(planned, tried, wanted.html)
    _show(planned, tried, wanted)


def plan_lines(planned: Planned, found: Sequence[Price | None] = ()) -> Iterator[str]:
    """Yield what a sweep will do, one value a line, and what it spends. found: what each run would cost; empty where nobody timed it."""
    trials = planned.trials
    new = sum(one.run is None for one in trials)
    yield t(
        "Sweep   {key} on {data}: {n} runs, {new} to make, {on} to go on with, {done} finished",
        "扫描    {data} 上的 {key}：{n} 次运行，待做 {new}，继续 {on}，已完成 {done}",
        key=planned.sweep.key,
        data=planned.set,
        n=len(trials),
        new=new,
        on=sum(one.run is not None and not one.is_done for one in trials),
        done=sum(one.is_done for one in trials),
    )
    width = max(columns(one.variant.told) for one in trials)
    for number, one in enumerate(trials):
        cost = found[number] if found else None
        yield f"  {padded(one.variant.told, width)}  {_what(one)}" + (f"; {_cost(cost)}" if cost else "")
    if costs := [one for one in found if one]:
        yield t("  time    about {time} together", "  时间    合计约 {time}", time=clock(sum(one.figures.seconds for one in costs)))
    for budget in planned.budgets:
        yield t(
            "  budget  ε {spent} spent and {held} reserved, {total} with the whole sweep, of {limit}",
            "  预算    已用 ε {spent}，预留 {held}，加上整个扫描 {total}，上限 {limit}",
            spent=epsilon_told(budget["spent"]),
            held=epsilon_told(budget["reserved"]),
            total=epsilon_told(budget["with_sweep"]),
            limit="-" if budget["epsilon"] is None else f"{budget['epsilon']:g}",
        )
    if planned.budgets and new:
        yield t(
            "          every private run of a sweep is charged, whichever is kept",
            "          无论保留哪一次，扫描中的每次隐私运行都计入预算",
        )
    if planned.budgets and any(one.plan is None for one in trials):
        yield t(
            "          releasing the ordinary run would void the lifetime bound of the private runs on the same people",
            "          放行普通运行会使同一批人的隐私运行的终身上限失效",
        )


def _what(trial: Trial) -> str:
    promise = f"ε {exact(trial.plan.epsilon)}, δ {exact(trial.plan.delta)}" if trial.plan else t("an ordinary run", "普通运行")
    if trial.run is None:
        return promise
    if trial.is_done:
        return t("{promise}: finished, {run}", "{promise}：已完成，{run}", promise=promise, run=trial.run.id)
    return t("{promise}: goes on, {run}", "{promise}：继续，{run}", promise=promise, run=trial.run.id)


def _cost(price: Price) -> str:
    figures = price.figures
    return t(
        "{n} steps, learning rate {rate:g}, {time}, {gb:.1f} GiB",
        "{n} 步，学习率 {rate:g}，{time}，{gb:.1f} GiB",
        n=figures.steps,
        rate=figures.learning_rate,
        time=clock(figures.seconds),
        gb=figures.peak_memory / 2**30,
    )


def _show_plan(planned: Planned, found: Sequence[Price | None]) -> None:
    def show() -> None:
        for line in plan_lines(planned, found):
            say(line)
        say(t("Nothing was started.", "尚未启动任何任务。"))

    values = [
        {
            "value": one.variant.told,
            "run": one.run.id if one.run else None,
            "finished": one.is_done,
            "privacy": one.plan.model_dump(mode="json") if one.plan else None,
            "plan": cost.figures.model_dump(mode="json") if cost else None,
        }
        for one, cost in zip(planned.trials, found, strict=True)
    ]
    emit({"key": planned.sweep.key, "values": values, "budgets": planned.budgets}, show)


def _show(planned: Planned, tried: Sequence[Tried], wanted: Asked) -> None:
    from ringfence.report.frontier import column_names, loss_told, memory_told, rate_told, steps_told
    from ringfence.report.pictures import value_told

    def show() -> None:
        names = [*column_names(planned.sweep.key), t("run", "运行")]
        table(
            "",
            names,
            [[value_told(one), *loss_told(one), steps_told(one), rate_told(one), *memory_told(one.audit), one.run] for one in tried],
            right=(1,),
        )
        say(
            t(
                "  losses are figures of private rows: no epsilon covers them, and they stay inside",
                "  损失是隐私行的数字：epsilon 不涵盖它们，它们留在内部",
            )
        )
        if wanted.html:
            say(t("✔ {path}", "✔ {path}", path=wanted.html))

    page = {"html": str(wanted.html)} if wanted.html else {}
    inside = {"not_private": list(_SEALED)} if any(one.epsilon for one in tried) else {}
    emit({"key": planned.sweep.key, "values": [_as_json(one) for one in tried], "budgets": planned.budgets, **inside, **page}, show)
    if any(one.audit is None and trial.variant.recipe.audit for one, trial in zip(tried, planned.trials, strict=True)):
        advise(t("the same command with --audit measures what the runs remember", "加上 --audit 再次运行同一命令，测量各次运行记住了什么"))


def _as_json(one: Tried) -> dict[str, Any]:
    fields = {name: value for name, value in vars(one).items() if name not in ("told", "audit")}
    return {"value": one.told, **fields, "audit": one.audit.model_dump(mode="json") if one.audit else None}
