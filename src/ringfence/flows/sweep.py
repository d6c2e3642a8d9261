"""Sweep: one recipe trained once for each value of a key, and what came of it side by side. What the ledger has already is not made again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence import __version__
from ringfence.core.bounds import epsilon_told
from ringfence.core.digest import settings_digest
from ringfence.core.durable import write_atomic
from ringfence.core.errors import Busy, NotResumable
from ringfence.core.order import Progress
from ringfence.core.text import t
from ringfence.flows.audit import audit
from ringfence.flows.join import by_role, cut_of, joined, sources_of
from ringfence.flows.plant import settings_for
from ringfence.flows.runs import audits_of, details, state_of
from ringfence.flows.train import Price, Saved, ask, model_of, order_for, price, resume, saved_of, train
from ringfence.models import store as models
from ringfence.privacy.plan import DPPlan
from ringfence.recipe.read import Recipe
from ringfence.recipe.sweep import Sweep, Variant
from ringfence.report.figures import MemoryShown, SweepFacts, TrainShown, Tried
from ringfence.report.frontier import frontier_page
from ringfence.train.adapter import predict
from ringfence.train.held_out import interval
from ringfence.vault.keys import auditor_keyset
from ringfence.workspace.entries import Reserve
from ringfence.workspace.space import Secret, Workspace
from ringfence.workspace.state import Run, Thing

Bar = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]  # title -> context that yields a Progress callback


@dataclass(frozen=True)
class Trial:
    """One value of a sweep, and the run of that very recipe, if there is one."""

    variant: Variant
    plan: DPPlan | None  # what it promises; of a run to come, for as many canaries as are planted on average
    reserve: Reserve | None  # of a private run
    run: Run | None  # finished, or to be resumed

    @property
    def name(self) -> str:
        """The sets that it learns from, for people."""
        return ", ".join(name.partition("@")[0] for name in self.variant.recipe.datasets)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to make."""
        return self.run is not None and self.run.state == "done"


@dataclass(frozen=True)
class Planned:
    """A sweep of which nothing is refused, as far as can be known before it begins."""

    sweep: Sweep
    trials: tuple[Trial, ...]
    budgets: tuple[dict[str, Any], ...]  # of each account that it charges: what is spent, and what will be when all runs are made

    @property
    def set(self) -> str:
        """The name of the set, or the names where that is what is swept."""
        return "; ".join(dict.fromkeys(one.name for one in self.trials))


def lay_out(space: Workspace, sweep: Sweep) -> Planned:
    """Return what is to be done, when no run of it would be refused and the budget suffices for all of them together. Nothing is read or written.

    Raises: UnknownName, WrongStage, PolicyRefused, PrivacyError, CanariesOverCap, ModelUnknown, ModelBroken, LayersUnfit; Busy, NotResumable where a run of the
    sweep is going on or was cut off.
    """
    bases = {(one.recipe.model, one.recipe.privacy is None): one.recipe for one in sweep.variants}
    checked = {recipe.model: model_of(recipe) for recipe in bases.values()}
    for one in sweep.variants:
        predict(checked[one.recipe.model].open(), one.recipe.order.train)
    trials = tuple(_trial(space, one) for one in sweep.variants)
    new = [one.reserve for one in trials if one.reserve and not one.run]
    held = [one.reserve for one in trials if one.reserve and one.run and not one.is_done]
    charged = [account for one in trials if one.reserve for account in one.reserve.accounts]
    if not charged:
        return Planned(sweep, trials, ())
    from ringfence.flows.budget import overviews_with, refuse_unaffordable_together  # noqa: PLC0415  heavy: ordinary runs need no accountant

    refuse_unaffordable_together(space, new, held, name=trials[0].name)
    return Planned(sweep, trials, tuple(overviews_with(space, new, accounts=charged)))


def prices(space: Workspace, planned: Planned, *, bar: Bar) -> list[Price | None]:
    """Return what each run would cost, timed in the sandbox; None for those that are finished or go on. Writes nothing, spends nothing.

    Raises: as `train.price`.
    """
    found: list[Price | None] = []
    for trial in planned.trials:
        if trial.run:
            found.append(None)
            continue
        with bar(f"{planned.sweep.key}={trial.variant.told}") as show:
            found.append(price(space, trial.variant.recipe, show=show))
    return found


def carry_out(
    space: Workspace,
    planned: Planned,
    *,
    auditor: Secret | None = None,
    bar: Bar,
    started: Callable[[str], None] = lambda _: None,
) -> list[Tried]:
    """Make the runs that are missing, one after another, and return what all of them showed. Sealed figures are opened on record.

    auditor: opens the register of canaries; then every run is audited that was not. started: called with the id of each run that begins.

    Raises: Interrupted, after which the same call goes on where it stopped; WrongPassphrase; whatever training and auditing raise.
    """
    if auditor is not None:
        auditor_keyset(space.path / "keys", auditor)  # a wrong passphrase shall not be found out after hours of training
    runs = []
    for number, trial in enumerate(planned.trials, 1):
        title = f"{planned.sweep.key}={trial.variant.told} ({number}/{len(planned.trials)})"
        runs.append(_run(space, trial, title, bar=bar, started=started))
        if auditor is not None and _needs_audit(space, runs[-1]):
            with bar(t("audit {title}", "审计 {title}", title=title)) as show:
                audit(space, runs[-1], auditor, show=show)
    return [_tried(space, trial, run) for trial, run in zip(planned.trials, runs, strict=True)]


def write_page(planned: Planned, tried: Sequence[Tried], path: Path) -> Path:
    """Write the page of a sweep in the chosen language and return its path.

    Raises: StorageFull.
    """
    facts = SweepFacts(
        key=planned.sweep.key,
        is_of_privacy=planned.sweep.is_of_privacy,
        data_set=planned.set,
        base=", ".join(dict.fromkeys(one.variant.recipe.model for one in planned.trials)),
        version=__version__,
        together="; ".join(together(one) for one in planned.budgets),
    )
    write_atomic(path, frontier_page(tried, facts).encode())
    return path


def together(budget: dict[str, Any]) -> str:
    """Return what all private runs on the units of an account spend when the sweep is done, as a phrase."""
    epsilon = budget["with_sweep"]
    return t(
        "epsilon {total} of {limit} at delta {delta:g}, for all private runs on these units so far and the sweep",
        "这些单位上迄今所有隐私运行连同本次扫描共 epsilon {total}（上限 {limit}，delta {delta:g}）",
        total=epsilon_told(epsilon),
        limit="-" if budget["epsilon"] is None else f"{budget['epsilon']:g}",
        delta=budget["delta"],
    )


def _trial(space: Workspace, variant: Variant) -> Trial:
    run, saved = _made_before(space, variant.recipe) or (None, None)
    asked = None if run and run.state == "done" else ask(space, variant.recipe)  # of a run that goes on, too: the policy may have changed
    if run and saved:
        return Trial(variant, saved.order.plan, run.reserve, run)
    assert asked is not None  # noqa: S101  there is no run
    return Trial(variant, asked.order.plan, asked.reserve, None)


def _made_before(space: Workspace, recipe: Recipe) -> tuple[Run, Saved] | None:
    """Return the newest finished run of this very recipe on the sets that it names now, or else the newest that can be resumed; with its settings.

    Raises: Busy, NotResumable.
    """
    found: dict[str, Thing] = {}
    for role, things in sources_of(space, recipe).items():
        made = joined(space, things, cut_of(recipe, role))
        if not made:
            return None
        found |= by_role(role, made)
    source, held_out = found["set"], found["evaluation"]
    evaluation = held_out.made.digest
    readable = _planted_from(space, source, recipe) if recipe.audit else {source.made.digest}
    model = models.find(recipe.model, kind="decoder").digest
    unfinished: tuple[Run, Saved] | None = None
    for run in reversed(list(space.state.runs.values())):
        read = run.intent.inputs
        if run.intent.arrow != "train" or run.state == "failed" or read.get("set") not in readable or read.get("evaluation") != evaluation:
            continue
        saved = _saved(space, run)
        if saved is None or not is_of(recipe, saved, model=model):
            continue
        if run.state != "done":
            unfinished = unfinished or (run, saved)
        elif _has_figures(space, run):
            return run, saved
    if unfinished and unfinished[0].state == "open":
        run = unfinished[0]
        if (state := state_of(space, run)) == "running":
            raise Busy(what_held=t("run {run}", "运行 {run}", run=run.id))
        raise NotResumable(run=run.id, state=state)
    return unfinished


def is_of(recipe: Recipe, saved: Saved, *, model: str) -> bool:
    """Return whether a run had the very settings that the recipe has on as many units. model: digest of the recipe's.

    A plan is computed only where it can be the same: that takes about a second.
    """
    plan, asked = saved.order.plan, recipe.privacy
    if (saved.model, saved.release, saved.order.model_copy(update={"plan": None})) != (model, recipe.release, recipe.order):
        return False
    if plan is None or asked is None:
        return plan is None and asked is None
    promised = (plan.epsilon, plan.noise_multiplier, plan.delta, plan.unit, plan.clip_norm)
    wanted = (asked.epsilon or plan.epsilon, asked.noise_multiplier or plan.noise_multiplier, asked.delta, asked.unit, asked.clip_norm)
    return promised == wanted and order_for(recipe, units=plan.units).plan == plan


def _planted_from(space: Workspace, source: Thing, recipe: Recipe) -> set[str]:
    """Return the digests of the sets that were made of `source` with such canaries as the recipe asks for."""
    settings = settings_digest(settings_for(space, recipe, source))
    runs = [run for run in space.state.runs.values() if run.intent.arrow == "plant" and run.intent.settings == settings]
    return {made.digest for run in runs if run.intent.inputs["set"] == source.made.digest for made in run.made if made.kind == "set"}


def _saved(space: Workspace, run: Run) -> Saved | None:
    """Return the settings of a run; None of one that began a moment ago, or was cut off then."""
    if run.statement:
        return Saved.model_validate(space.statement(run.statement).predicate.settings)
    with contextlib.suppress(NotResumable):  # another version's
        return saved_of(space, run) if (space.path / "runs" / run.id / "order.json").exists() else None
    return None


def _has_figures(space: Workspace, run: Run) -> bool:
    """Return whether the sealed figures of a run are there."""
    live = space.state.live()
    return any(made.digest in live for made in run.made if made.kind == "figures")


def _run(space: Workspace, trial: Trial, title: str, *, bar: Bar, started: Callable[[str], None]) -> str:
    """Return the id of the trial's run, made or resumed where it is not finished."""
    if trial.is_done and trial.run:
        return trial.run.id
    with bar(title) as show:
        if trial.run:
            return resume(space, trial.run, show=show, started=started).committed.run
        return train(space, trial.variant.recipe, show=show, started=started).committed.run


def _adapter(space: Workspace, run: str) -> Thing | None:
    made = next(one for one in space.state.runs[run].made if one.kind == "adapter")
    return space.state.live().get(made.digest)


def _needs_audit(space: Workspace, run: str) -> bool:
    adapter = _adapter(space, run)
    return adapter is not None and not audits_of(space, adapter)


def _tried(space: Workspace, trial: Trial, run: str) -> Tried:
    figures = details(space, run)["figures"]
    shown = TrainShown.of(figures)
    plan = DPPlan.model_validate(figures["plan"]) if "plan" in figures else None
    adapter = _adapter(space, run)
    audits = audits_of(space, adapter) if adapter else []
    audited = MemoryShown.of(space.statement(audits[-1].statement or "").predicate.figures) if audits else None
    bounds = None
    if shown.eval_after is not None and shown.eval_error is not None:
        bounds = interval(shown.eval_after, shown.eval_error, units=shown.eval_units)
    return Tried(
        told=trial.variant.told,
        at=trial.variant.at,
        run=run,
        steps=shown.steps,
        planned=plan.steps if plan else None,
        epsilon=plan.epsilon if plan else None,
        delta=plan.delta if plan else None,
        learning_rate=shown.learning_rate,
        loss=shown.eval_after,
        lower=bounds and round(bounds[0], 6),
        upper=bounds and round(bounds[1], 6),
        before=shown.eval_before,
        rows=shown.eval_rows,
        units=shown.eval_units,
        audit=audited,
    )
