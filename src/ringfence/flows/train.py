"""Train: a masked set and a base model become an adapter. Resume and price are the same order, begun elsewhere or only timed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from ringfence.audit.forecast import Reach, reach
from ringfence.audit.settings import DELTA
from ringfence.core.digest import canonical, parse_canonical, settings_digest, sha256
from ringfence.core.durable import write_atomic
from ringfence.core.environment import cores
from ringfence.core.errors import (
    BadArgument,
    BadValue,
    BudgetMissing,
    NotResumable,
    PlanImpossible,
    RecipeLoosens,
    RingfenceError,
    RowsMeet,
    WorkspaceBroken,
)
from ringfence.core.interrupts import answered
from ringfence.core.lineage import numbered
from ringfence.core.order import Limits, Progress, Tier
from ringfence.core.policy import Policy
from ringfence.core.rules import ReleaseRules, loosened, tightened
from ringfence.core.settings import Settings
from ringfence.core.text import Text, t
from ringfence.flows.extras import require_engine, require_low_memory
from ringfence.flows.facts import software
from ringfence.flows.gate import gate, tier_for
from ringfence.flows.join import Sources, by_role, cut_of, join, label_of, names_of, refuse_cut, refuse_cut_again, refuse_empty, sources_of
from ringfence.flows.memory import Expected, foretell_memory
from ringfence.flows.plant import layouts, plant, refuse_too_many, settings_for
from ringfence.flows.runs import state_of
from ringfence.flows.scope import refuse_prepared
from ringfence.flows.units import refuse_other_units
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models import store as models
from ringfence.models.store import ModelEntry
from ringfence.privacy.plan import DPPlan
from ringfence.privacy.router import rotary_key, router_key
from ringfence.recipe.read import Recipe
from ringfence.recipe.templates import refuse_other
from ringfence.release.chain import MOST_STEPS
from ringfence.sandbox.devices import gpus
from ringfence.train import adapter
from ringfence.train.device import processes
from ringfence.train.settings import PriceFigures, PriceOrder, TrainFigures, TrainOrder
from ringfence.vault.files import read_file
from ringfence.vault.index import RowIndex, read_index, units_together
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.control import Control
from ringfence.workspace.entries import Reserve
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, Thing

if TYPE_CHECKING:
    from ringfence.flows.budget import Account

_LATER = 5  # statements that a run may add to those of its sets: of join, plant, train, audit and release


class Saved(Settings):
    """`runs/<id>/order.json`: what a resume needs; its digest stands in the intent, so it cannot be changed."""

    model: str  # digest
    order: TrainOrder
    release: ReleaseRules | None = None  # the recipe's own limits, as strict as the policy's or stricter


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    committed: Committed
    figures: TrainFigures
    plan: DPPlan | None = None
    granted: int = 0  # steps of the plan that are spent


@dataclass(frozen=True)
class Asked:
    """A run that nothing refuses, as far as can be known before it begins; only its budget was not asked for."""

    sources: Sources  # several sets not joined yet, canaries not planted
    order: TrainOrder  # with a plan for the units of the set, and for as many canaries as are planted on average
    reserve: Reserve | None  # of a private run

    @property
    def name(self) -> str:
        """The sets that are learned from, for people."""
        return names_of(self.sources["set"])


@dataclass(frozen=True)
class Price:
    """What a run would cost, and what it would promise."""

    figures: PriceFigures
    plan: DPPlan | None = None
    accounts: tuple[Account, ...] = ()  # that a private run is charged to
    reach: Reach | None = None  # of an audit of its canaries
    missing: list[str] = field(default_factory=list)  # what keeps that audit from passing the policy
    memory: Expected | None = None  # what the run will remember


Show = Callable[[Progress], None]


def train(space: Workspace, recipe: Recipe, *, show: Show = lambda _: None, started: Callable[[str], None] = lambda _: None) -> Trained:
    """Train an adapter on the sets of a recipe, which the policy admits, and return what was made. Several sets are joined first.

    started: called with the run's id as soon as its intent is in the ledger.

    Raises: UnknownName, WrongStage, BadValue, PolicyRefused, PrivacyError, ModelUnknown, ModelBroken, Interrupted (resumable), TrainError, SandboxError.
    """
    model, asked = model_of(recipe), ask(space, recipe)
    check = _gate(space, asked.sources, asked.order.plan, asked.reserve)
    check(space.policy())  # before anything is written, a joined set or canaries
    inputs: dict[str, Thing] = {}
    for role, things in asked.sources.items():
        inputs |= by_role(role, join(space, things, cut=cut_of(recipe, role), check=check, show=show))
    order = asked.order
    if recipe.audit:
        inputs["set"] = plant(space, inputs["set"], settings_for(space, recipe, inputs["set"]), check=check, show=show)
        order = _planned(space, recipe, [inputs["set"]])
    saved = Saved(model=model.digest, order=order, release=recipe.release)
    return _run(space, saved, inputs, model, name=inputs["set"].made.name, show=show, started=started)


def resume(space: Workspace, run: Run, *, show: Show = lambda _: None, started: Callable[[str], None] = lambda _: None) -> Trained:
    """Continue an interrupted run from its last checkpoint, and return what was made.

    Raises: NotResumable, PolicyRefused, PrivacyError, TrainError (LowMemoryMissing before anything), SandboxError.
    """
    if run.intent.arrow != "train" or run.state != "interrupted" or run.checkpoint is None:
        raise NotResumable(run=run.id, state=state_of(space, run))
    saved = saved_of(space, run)
    require_low_memory(saved.order.train.quantised, galore=saved.order.train.use_galore)
    inputs = {role: _thing(space, run, digest) for role, digest in run.intent.inputs.items()}
    inputs["checkpoint"] = _thing(space, run, run.checkpoint.digest)
    return _run(space, saved, inputs, models.verify(saved.model), name=run.intent.name, show=show, started=started, again=run)


def price(space: Workspace, recipe: Recipe, *, show: Show = lambda _: None, started: Callable[[], None] = lambda: None) -> Price:
    """Return what a run would cost, from real row lengths and a few timed steps in the sandbox. Writes nothing, spends nothing.

    started: called when the host has refused nothing, before the sandbox begins.

    Raises: UnknownName, WrongStage, BadValue, PolicyRefused, PrivacyError, CanariesOverCap, ModelUnknown, SandboxError.
    """
    asked = ask(space, recipe)
    things, order = asked.sources["set"], asked.order
    if asked.reserve:
        from ringfence.flows.budget import refuse_unaffordable  # noqa: PLC0415  heavy: an ordinary run needs no accountant

        refuse_unaffordable(space, asked.reserve, name=asked.name)
    model = model_of(recipe)
    saved = Saved(model=model.digest, order=order)
    inputs = {numbered(role, number): thing for role, found in asked.sources.items() for number, thing in enumerate(found)}
    arrow = Arrow(space, "train", name=things[0].made.name, label=label_of(things), settings=saved, inputs=inputs)
    work = arrow.work(
        "price.v1",
        settings=PriceOrder(**dict(order), to_plant=_to_plant(recipe), cut=recipe.cut),
        files={"model": model.path},
        limits=_limits("price.v1", order),
        tier=_tier(space, asked.sources),
    )
    started()
    figures = start(replace(work, incoming=None), PriceFigures, handlers=Handlers(progress=show)).figures
    found = None
    if recipe.audit:
        delta = order.plan.delta if order.plan else DELTA
        found = reach(recipe.audit, control=order.plan is None, delta=delta, ranks=order.train.is_reward)
    missing = found.missing(tightened(space.policy().release, recipe.release)) if found else []
    memory = None  # of what a model says itself no audit is on record, or few
    if order.train.drawn is None:
        memory = foretell_memory(space, things, order, rows=figures.rows, steps=figures.steps, rate=figures.learning_rate)
    common = {"reach": found, "missing": missing, "memory": memory}
    if asked.reserve is None:
        return Price(figures, **common)  # type: ignore[arg-type]  # fields of Price
    from ringfence.flows.budget import account_at  # noqa: PLC0415  heavy: an ordinary run needs no accountant

    charged = tuple(account_at(space, account) for account in space.state.accounts.roots(asked.reserve.accounts))
    return Price(figures, order.plan, charged, **common)  # type: ignore[arg-type]


def model_of(recipe: Recipe) -> ModelEntry:
    """Return the recipe's base model, after refusing one that lacks the layers that are to be trained, or of another chat template, and, for a private run, one whose rows meet.

    Raises: ModelUnknown, ModelBroken, LayersUnfit, BadValue, RowsMeet.
    """
    model = models.verify(recipe.model, kind="decoder")
    if recipe.template:
        refuse_other(recipe.template, model.open().chat_template(), thinks=recipe.order.train.enable_thinking)
    if recipe.privacy:
        config = model.open().config
        if key := router_key(config) or rotary_key(config):
            raise RowsMeet(key=key)
    adapter.predict(model.open(), recipe.order.train)
    return model


def ask(space: Workspace, recipe: Recipe) -> Asked:
    """Return what a run would begin with, when nothing but its budget can refuse it. Reads no rows and writes nothing.

    Raises: RecipeLoosens, EngineMissing, LowMemoryMissing, UnknownName, WrongStage, BadValue, BadArgument, PolicyRefused, BudgetMissing, UnitMismatch,
    PlanImpossible, CanariesOverCap.
    """
    _refuse_looser(space, recipe)
    _refuse_engine(recipe)
    _refuse_shard_of_one(recipe)
    require_low_memory(recipe.order.train.quantised, galore=recipe.order.train.use_galore)
    sources = sources_of(space, recipe)
    things = sources["set"]
    for role, found in sources.items():
        refuse_cut_again(found, cut_of(recipe, role))
    for found in sources.values():
        _refuse_other_rows(space, found, recipe.order)
    order = _planned(space, recipe, things, more=_to_plant(recipe))
    refuse_empty(space, things, recipe.cut)
    _refuse_too_long(space, things)
    _gate(space, sources, order.plan)(space.policy())
    if recipe.audit:
        refuse_too_many(space, things, recipe.audit, control=recipe.privacy is None, cut=recipe.cut)
    return Asked(sources, order, _reserve(space, things, order.plan))


def _refuse_engine(recipe: Recipe) -> None:
    """Return when what steps the run is installed, and is not asked for what it cannot do: to share a run among processes.

    Raises: EngineMissing, BadValue.
    """
    if recipe.order.train.drawn is None:
        return
    stage = recipe.order.train.objective.partition(".")[0]
    require_engine(stage)
    if (recipe.order.hints.processes or 1) > 1:
        raise BadValue(
            key="stage", problem=t("{stage} runs in one process, on one GPU", "{stage} 只在单个进程、单块 GPU 上运行", stage=stage)
        )


def _refuse_shard_of_one(recipe: Recipe) -> None:
    """Return when a run whose base is shared out has several processes.

    Raises: BadArgument.
    """
    hints = recipe.order.hints
    if hints.shard and processes(hints, len(gpus())) == 1:
        problem = t(
            "one process holds the whole base: write --processes 2 or more, or leave --shard out",
            "单个进程持有完整的基础模型：请写 --processes 2 或更多，或去掉 --shard",
        )
        raise BadArgument(option="--shard", problem=problem, verb="train")


_WANTED = {
    "preference": Text(
        "it learns from two answers that people compared, and {set} holds rows of layout {found}; import a file with the columns prompt, chosen "
        "and rejected, or write stage: sft",
        "它从两个经人比较的回答中学习，而 {set} 的行格式为 {found}；请导入含 prompt、chosen 与 rejected 列的文件，或写 stage: sft",
    ),
    "feedback": Text(
        "it learns from answers that people liked or did not, and {set} holds rows of layout {found}; import a file with the columns prompt, "
        "completion and kto_tag, or write stage: sft",
        "它从受人好评或差评的回答中学习，而 {set} 的行格式为 {found}；请导入含 prompt、completion 与 kto_tag 列的文件，或写 stage: sft",
    ),
}


def _refuse_other_rows(space: Workspace, things: Sequence[Thing], order: TrainOrder) -> None:
    """Return when the sets hold what the objective learns from.

    Raises: BadValue.
    """
    wanted = order.train.reads
    for thing in things if wanted != "any" else ():
        if other := {one for one in layouts(space, thing) if not one.startswith(wanted)}:
            told = {"set": thing.made.name, "found": ", ".join(sorted(other))}
            raise BadValue(key="stage", problem=_WANTED[wanted].show(None, **told))


def _refuse_too_long(space: Workspace, things: Sequence[Thing]) -> None:
    """Return when a bundle could hold the statements of everything that led to the sets, and of what follows.

    Raises: BadValue.
    """
    steps = sum(len(space.lineage(thing)) for thing in things)
    if steps > MOST_STEPS - _LATER:
        problem = t(
            "{n} steps led to its sets; a bundle has room for {most}",
            "其数据集共经过 {n} 个步骤；发布包至多容纳 {most} 个",
            n=steps,
            most=MOST_STEPS - _LATER,
        )
        raise BadValue(key="dataset", problem=problem)


def _to_plant(recipe: Recipe) -> int:
    """Return how many canaries will be planted, on average."""
    return recipe.audit.planted(control=recipe.privacy is None) if recipe.audit else 0


def _planned(space: Workspace, recipe: Recipe, things: Sequence[Thing], *, more: int = 0) -> TrainOrder:
    """Return the order of the run; with a privacy block, under a plan for the units of all its sets together, and `more` that will be planted.

    Raises: AccountFrozen, BudgetMissing, UnitMismatch, PlanImpossible.
    """
    if recipe.privacy is None:
        return recipe.order
    refuse_cut(space, things)
    for thing in things:
        space.state.accounts.refuse_frozen(*space.state.accounts.of(thing.origin), name=thing.made.name)
    budget = space.policy().budget
    if budget is None:
        raise BudgetMissing(set=names_of(things))
    if recipe.privacy.delta > budget.delta:  # an epsilon says nothing without its delta: max_epsilon and the budget are meant at this one
        raise PlanImpossible(
            problem=t(
                "delta {d:g} is above that of the policy's budget, {most:g}",
                "delta {d:g} 高于策略预算的 {most:g}",
                d=recipe.privacy.delta,
                most=budget.delta,
            )
        )
    refuse_other_units(space, things, wanted=recipe.privacy.unit)
    if recipe.privacy.scope == "record":
        for thing in things:
            refuse_prepared(space, thing)
    slots = [space.input(thing).slot for thing in things]
    indexes = [read_index(slot, space.keys.data_key(slot.slot)) for slot in slots]
    units, most_rows = units_together(*indexes)
    if recipe.privacy.scope == "record":
        units = _units_of_record(space, things, indexes)
    from ringfence.flows.budget import refuse_large_delta  # noqa: PLC0415  heavy: an ordinary run needs no accountant

    for thing in things:
        refuse_large_delta(space, space.state.accounts.of(thing.origin), units=units, name=thing.made.name)
    return order_for(recipe, units=units + more, most_rows=most_rows)


def _units_of_record(space: Workspace, things: Sequence[Thing], here: Sequence[RowIndex]) -> int:
    """Return how many units were imported or planted, those of whom preparation left no row included: whether it did is theirs to keep.

    Raises: PlanImpossible where an imported set is gone, so that nobody can count.
    """
    origins = [space.state.things[one] for thing in things for one in space.state.accounts.sealed(thing.origin)]
    for origin in origins:
        if origin.made.digest not in space.state.live():
            problem = t(
                "privacy.scope: record counts the units of {set} as it was imported, and that was deleted; leave scope out",
                "privacy.scope: record 需按导入时的 {set} 计数单位，而该数据集已删除；请不写 scope",
                set=origin.made.name,
            )
            raise PlanImpossible(problem=problem)
    slots = [space.input(origin).slot for origin in origins]
    return units_together(*here, *(read_index(slot, space.keys.data_key(slot.slot)) for slot in slots))[0]


def order_for(recipe: Recipe, *, units: int, most_rows: int = 1) -> TrainOrder:
    """Return the order of a run on so many units; most_rows: of one of them.

    Raises: PlanImpossible.
    """
    if recipe.privacy is None:
        return recipe.order
    from ringfence.privacy.accountant import calibrate  # noqa: PLC0415  heavy: an ordinary run needs no accountant

    settings = recipe.order.train
    planned = calibrate(
        recipe.privacy, units=units, batch=settings.batch, steps=settings.max_steps, epochs=settings.num_train_epochs, most_rows=most_rows
    )
    return recipe.order.model_copy(update={"plan": planned})


def _refuse_looser(space: Workspace, recipe: Recipe) -> None:
    """Return when the recipe's own release limits are nowhere weaker than the policy's.

    Raises: RecipeLoosens.
    """
    if weaker := loosened(space.policy().release, recipe.release):
        raise RecipeLoosens(keys=", ".join(f"release.{key}" for key in weaker))


def _alone(inputs: Mapping[str, Thing]) -> Sources:
    """Return the sets among the inputs of a run."""
    return {role: (inputs[role],) for role in ("set", "evaluation") if role in inputs}


def _gate(
    space: Workspace, sources: Sources, plan: DPPlan | None, reserve: Reserve | None = None, *, is_held: bool = False
) -> Callable[[Policy], None]:
    """Return a check of every set that the run reads (what is only evaluated is read, too), and of the budgets that it reserves or holds."""
    epsilon = plan.epsilon if plan else None
    things = [thing for found in sources.values() for thing in found]
    checks = [gate(space.chain(thing), moment="train", name=thing.made.name, epsilon=epsilon) for thing in things]

    def check(policy: Policy) -> None:
        for one in checks:
            one(policy)
        if reserve:
            from ringfence.flows.budget import refuse_unaffordable  # noqa: PLC0415  heavy: an ordinary run needs no accountant

            refuse_unaffordable(space, reserve, name=names_of(sources["set"]), is_held=is_held)

    return check


def _reserve(space: Workspace, things: Sequence[Thing], plan: DPPlan | None) -> Reserve | None:
    """Return what a private run reserves: of the account of every set whose rows it reads."""
    if plan is None:
        return None
    account, *also = dict.fromkeys(one for thing in things for one in space.state.accounts.of(thing.origin))
    return Reserve(account=account, also=tuple(also), **plan.event().model_dump())


def _tier(space: Workspace, sources: Sources) -> Tier:
    """Return where the run works: as its strictest set asks."""
    return tier_for(space.policy(), label_of([thing for found in sources.values() for thing in found]))


def _run(
    space: Workspace,
    saved: Saved,
    inputs: dict[str, Thing],
    model: ModelEntry,
    *,
    name: str,
    show: Show,
    started: Callable[[str], None],
    again: Run | None = None,
) -> Trained:
    predicted = adapter.predict(model.open(), saved.order.train)
    outputs = {"adapter": Plan("adapter", "adapter"), "checkpoint": Plan("checkpoint", "checkpoint")}

    plan = saved.order.plan
    sources = _alone(inputs)
    label = label_of([one for role, found in sources.items() if role == "set" or saved.order.train.is_chosen for one in found])
    reserve = _reserve(space, sources["set"], plan)
    watching = _watch(space, reserve, name=names_of(sources["set"]))  # before the check, so that nothing falls between
    check = _gate(space, sources, plan, reserve, is_held=again is not None)
    check(space.policy())  # the accountant's arithmetic is done here; under the lock below it is only looked up
    with Arrow(
        space,
        "train",
        name=name,
        label=label,
        settings=saved,
        inputs=inputs,
        outputs=outputs,
        check=check,
        reserve=reserve,
        resume=again,
    ) as arrow:
        if again is None:  # a resumed run has it; written again, a kill in between would leave a temporary file that nobody looks for
            write_atomic(arrow.folder / "order.json", _bytes(saved))
        started(arrow.run)
        work = arrow.work(
            "train.v1",
            settings=saved.order,
            files={"model": model.path},
            limits=_limits("train.v1", saved.order),
            tier=_tier(space, sources),
        )
        with Control(arrow.folder) as control, _ctrl_c(control):
            control.update(run=arrow.run, done=0, total=0, keeps=saved.order.train.drawn is None)

            def follow(progress: Progress) -> None:
                told = {"loss": None} if plan else {}  # whoever may ask how far a run is need not be told of its rows
                control.update(**progress.model_dump(mode="json") | told)
                show(progress)

            handlers = Handlers(
                progress=follow,
                checkpoint=arrow.commit_checkpoint,
                lease=_lease(space, arrow, watching),
                stop=lambda: control.stop_requested,
            )
            done = start(work, TrainFigures, handlers=handlers)
        slot, key = arrow.output("adapter")
        adapter.check(read_file(slot, key, adapter.WEIGHTS), predicted)
        facts = Facts(
            parts=(saved.order.train.method, saved.order.train.objective, *(drawn.reward if (drawn := saved.order.train.drawn) else ())),
            software=software(),
            figures=_promise(space, arrow.run, plan),
            inputs={"model": model.digest},
            seals_times=plan is not None,
        )
        committed = arrow.commit(done, facts, drop=("checkpoint",))
        return Trained(committed, done.figures, plan, space.state.runs[arrow.run].granted)


def _watch(space: Workspace, reserve: Reserve | None, *, name: str) -> Callable[[], None] | None:
    """Return what a private run asks before each grant."""
    if reserve is None:
        return None
    from ringfence.flows.budget import watch  # noqa: PLC0415  heavy: an ordinary run needs no accountant

    return watch(space, reserve, name=name)


def _lease(space: Workspace, arrow: Arrow, check: Callable[[], None] | None) -> Callable[[int], int] | None:
    """Return what grants steps of a private run."""
    if check is None:
        return None

    def lease(steps: int) -> int:
        space.refresh()
        check()  # the accountant's arithmetic, before the lock that everybody waits for; under it there is hardly ever anything new
        return arrow.lease(steps, check=check)

    return lease


def _promise(space: Workspace, run: str, plan: DPPlan | None) -> dict[str, Any]:
    """Return what the statement of a private run says of its guarantee: the plan, the steps that were spent, and what all private runs cost its people."""
    if plan is None:
        return {}
    from ringfence.flows.budget import lifetime  # noqa: PLC0415  heavy: an ordinary run needs no accountant

    reserve = space.state.runs[run].reserve
    assert reserve is not None  # noqa: S101  a private run has one
    return {
        "plan": plan.model_dump(mode="json"),
        "granted": space.state.runs[run].granted,
        "lifetime": lifetime(space, *reserve.accounts),
    }


@contextlib.contextmanager
def _ctrl_c(control: Control) -> Iterator[None]:
    """The first Ctrl-C asks for a checkpoint and an end; the second one ends at once."""

    def answer(_number: int, _frame: FrameType | None) -> None:
        if control.stop_requested:
            raise KeyboardInterrupt
        control.request_stop()

    with answered(answer):
        yield


def _limits(job: str, order: TrainOrder) -> Limits:
    limits = JOBS[job].limits
    return limits.model_copy(update={"threads": order.hints.threads or cores()})


def _bytes(saved: Saved) -> bytes:
    return canonical(saved.model_dump(mode="json"))


def saved_of(space: Workspace, run: Run) -> Saved:
    """Return the settings of a run that may go on.

    Raises: NotResumable where another version began it, WorkspaceBroken.
    """
    path = space.path / "runs" / run.id / "order.json"
    try:
        saved = Saved.model_validate(parse_canonical(path.read_bytes()))
    except (OSError, ValueError, RingfenceError) as cause:
        raise WorkspaceBroken(file=f"runs/{run.id}/order.json") from cause
    if settings_digest(saved) != run.intent.settings == sha256(path.read_bytes()):
        raise NotResumable(run=run.id, state=t("of a version with other settings", "由设置不同的版本启动"))
    if settings_digest(saved) != run.intent.settings:
        raise WorkspaceBroken(file=f"runs/{run.id}/order.json")
    return saved


def _thing(space: Workspace, run: Run, digest: str) -> Thing:
    live = space.state.live()
    if digest not in live:
        raise NotResumable(run=run.id, state=t("without one of its inputs, which was deleted", "缺少一个已被删除的输入"))
    return live[digest]
