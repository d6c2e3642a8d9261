"""Eval: what a run or a bundle says of the rows of a set, beside what its base model says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ringfence.core.digest import sha256
from ringfence.core.environment import cores
from ringfence.core.errors import BadArgument, NothingToEvaluate, WrongStage
from ringfence.core.order import Progress
from ringfence.core.public_keys import PublicKeys
from ringfence.core.statement import LABELS, Label, Predicate, Statement
from ringfence.core.text import t
from ringfence.evaluate.settings import LEAST_UNITS, EvalFigures, EvalOrder, EvalSettings
from ringfence.flows.extras import require_low_memory
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.plant import layouts
from ringfence.flows.runs import adapter_of
from ringfence.flows.train import Saved
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models import store as models
from ringfence.models.store import ModelEntry
from ringfence.release.chain import parts
from ringfence.release.verify import verify_bundle
from ringfence.train import adapter as fit
from ringfence.train.settings import RuntimeHints
from ringfence.vault.files import read_file
from ringfence.vault.index import among, read_index
from ringfence.workspace.accounts import charges
from ringfence.workspace.arrow import Arrow, Committed, Facts
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

Inside = Literal["private run", "private rows", "few people"]  # why figures may not leave


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation."""

    committed: Committed
    run: str  # the training run
    figures: EvalFigures
    inside: Inside | None  # None: the figures may stand in a model card
    is_seen: bool | None  # whether the run was trained on some of the rows; None: its training set is not here

    @property
    def marks(self) -> dict[str, Any]:
        """What its statement says of where the figures may go, and of what the run knew."""
        return _marks(self.inside, is_seen=self.is_seen)


@dataclass(frozen=True)
class Tuned:
    """A base model and an adapter: exactly one of a sealed one and a bundle's folder."""

    run: str
    trained: Predicate  # what was signed of the training
    model: ModelEntry
    adapter: Thing | None = None
    bundle: tuple[Path, str] | None = None  # and the digest of its manifest

    @property
    def saved(self) -> Saved:
        """The settings of the training."""
        return Saved.model_validate(self.trained.settings)


def evaluate(
    space: Workspace,
    target: str,
    data: str,
    *,
    asked: EvalSettings | None = None,
    hints: RuntimeHints | None = None,
    public: PublicKeys | None = None,
    show: Callable[[Progress], None] = lambda _: None,
) -> Evaluated:
    """Evaluate a training run, or a released bundle by its name or folder, on a set of the workspace, and return what it showed.

    public: the keys of a bundle from elsewhere. hints: of speed alone.

    No epsilon is charged for it: what is computed from rows of a private run, or of people on whom one was ever made, is marked as staying inside, and
    so is what is computed from a few people's rows.

    Raises: UnknownRun, NotReleasable, UnknownName, WrongStage, BadArgument, ModelUnknown, ModelBroken, NothingToEvaluate, AdapterUnexpected, LowMemoryMissing,
    SandboxError, and, of a bundle, what `verify_bundle` raises.
    """
    asked, rows, tuned = asked or EvalSettings(), _rows(space, data), tuned_of(space, target, public)
    require_low_memory(tuned.saved.order.train.quantised)
    if tuned.saved.order.train.is_reward:
        _refuse_uncompared(space, rows)
    else:
        _refuse_without_room(tuned.model, asked)
    slot = space.input(rows).slot
    if not len(read_index(slot, space.keys.data_key(slot.slot))):
        raise NothingToEvaluate(rows=0, most=asked.max_new_tokens)
    settings = EvalOrder(asked=asked, train=tuned.saved.order.train, hints=hints or RuntimeHints())
    label = _label(rows, tuned)
    inputs, files = {"rows": rows}, {"model": tuned.model.path}
    outside = {"model": tuned.model.digest}
    if tuned.adapter:
        inputs["adapter"] = tuned.adapter
    if tuned.bundle:
        files["bundle"], outside["bundle"] = tuned.bundle
    with Arrow(space, "eval", name=rows.made.name, label=label, settings=settings, inputs=inputs) as arrow:
        limits = JOBS["eval.v1"].limits.model_copy(update={"threads": cores()})
        work = arrow.work("eval.v1", files=files, tier=tier_for(space.policy(), label), limits=limits)
        done = start(replace(work, incoming=None), EvalFigures, handlers=Handlers(progress=show))  # figures are all that comes back
        space.refresh()  # a private run on the same people may have begun meanwhile
        seen = _seen(space, rows, tuned, asked)
        if seen:
            done = replace(done, figures=done.figures.model_copy(update=dict(zip(("rows_seen", "rows_of_seen_units"), seen, strict=True))))
        is_seen = seen[0] > 0 if seen else None
        inside = _inside(space, rows, tuned, done.figures)
        facts = Facts(software=software(), figures=_marks(inside, is_seen=is_seen), inputs=outside, seals_times=inside is not None)
        return Evaluated(arrow.commit(done, facts), tuned.run, done.figures, inside, is_seen)


def tuned_of(space: Workspace, target: str, public: PublicKeys | None = None) -> Tuned:
    """Return a released bundle by its name or folder, verified, or a finished training run whose adapter has the shape that its settings say.

    public: the keys of a bundle from elsewhere.

    Raises: UnknownRun, NotReleasable, BadArgument, ModelUnknown, ModelBroken, AdapterUnexpected, and what `verify_bundle` raises.
    """
    if target in space.state.releases and public is None:
        return _bundle(space.path / "releases" / target, space.public)
    if public is not None or Path(target).is_dir():
        return _bundle(Path(target), public or space.public)
    run, adapter = adapter_of(space, target)
    trained = space.statement(run.statement or "").predicate
    tuned = Tuned(run.id, trained, models.verify(Saved.model_validate(trained.settings).model), adapter=adapter)
    weights = space.input(adapter).slot
    found = read_file(weights, space.keys.data_key(weights.slot), fit.WEIGHTS)
    fit.check(found, fit.predict(tuned.model.open(), tuned.saved.order.train))
    return tuned


def _bundle(folder: Path, public: PublicKeys) -> Tuned:
    report = verify_bundle(folder, public)
    manifest, trained = report.manifest, parts(report.chain).train.predicate
    try:
        Saved.model_validate(trained.settings)
    except ValidationError:
        problem = t(
            "another version of ringfence trained it, with settings that this one does not know",
            "它由另一版本的 ringfence 训练，其设置在此版本中未知",
        )
        raise BadArgument(option=folder.name, problem=problem, verb="eval") from None
    return Tuned(manifest.run, trained, models.verify(manifest.base.digest), bundle=(folder.resolve(), sha256(manifest.to_bytes())))


def _marks(inside: Inside | None, *, is_seen: bool | None) -> dict[str, Any]:
    return {"stays_inside": inside is not None, "stays_inside_because": inside, "seen_in_training": is_seen}


def _rows(space: Workspace, name: str) -> Thing:
    thing = space.state.resolve(name)
    if thing.made.stage in ("planted", "quarantine"):
        why = (
            t("it holds canaries", "它含有金丝雀")
            if thing.made.stage == "planted"
            else t("it holds what a scan set aside", "它是扫描隔离的数据")
        )
        raise WrongStage(set=thing.made.name, stage=thing.made.stage, why=why)
    return thing


def _refuse_without_room(model: ModelEntry, asked: EvalSettings) -> None:
    """Return when the model could say an answer of that length to a question of one token.

    Raises: BadArgument.
    """
    window = int(model.open().config.get("max_position_embeddings", 0))
    if asked.generates and window and asked.max_new_tokens >= window:
        problem = t(
            "{model} reads and says {n} tokens together at the most", "{model} 的输入与输出合计至多 {n} 个词元", model=model.name, n=window
        )
        raise BadArgument(option="--max-new-tokens", problem=problem, verb="eval")


def _refuse_uncompared(space: Workspace, rows: Thing) -> None:
    """Return when a reward model can judge the rows of a set: two compared answers each.

    Raises: BadArgument.
    """
    if other := {one for one in layouts(space, rows) if not one.startswith("preference")}:
        problem = t(
            "a reward model judges pairs of compared answers, and {set} holds rows of layout {found}",
            "奖励模型评判成对的回答，而 {set} 的行格式为 {found}",
            set=rows.made.name,
            found=", ".join(sorted(other)),
        )
        raise BadArgument(option="--data", problem=problem, verb="eval")


def _label(rows: Thing, tuned: Tuned) -> Label:
    labels: list[Label] = [rows.made.label, *([tuned.trained.label] if tuned.trained.label else [])]
    return max(labels, key=LABELS.index)


def _seen(space: Workspace, rows: Thing, tuned: Tuned, asked: EvalSettings) -> tuple[int, int] | None:
    """Return how many of the rows the run was trained on, and how many are of people whose rows it was trained on; None where nobody can tell.

    A row is the same by its id from the import on, and by its text where it was imported twice.
    """
    learned = space.state.live().get(tuned.trained.inputs.get("set", ""))
    if learned is None:
        return None
    slots = [space.input(thing).slot for thing in (rows, learned)]
    here, there = (read_index(slot, space.keys.data_key(slot.slot)) for slot in slots)
    is_seen = among(here.record_ids, there.record_ids)
    if here.content_hmacs is not None and there.content_hmacs is not None:
        is_seen |= among(here.content_hmacs, there.content_hmacs)
    is_known = among(here.unit_ids, there.unit_ids)
    return int(is_seen[: asked.max_samples].sum()), int(is_known[: asked.max_samples].sum())


def _inside(space: Workspace, rows: Thing, tuned: Tuned, figures: EvalFigures) -> Inside | None:
    if "plan" in tuned.trained.figures:
        return "private run"
    if is_charged(space, rows):
        return "private rows"
    return "few people" if is_of_few(figures) else None


def is_charged(space: Workspace, thing: Thing) -> bool:
    """Return whether a private run ever spent, or may still spend, of the budget of a set's people."""
    accounts, runs = space.state.accounts, space.state.runs.values()
    return any(any(charges(runs, accounts.group(one))) for one in accounts.roots(accounts.of(thing.origin)))


def may_be_told(space: Workspace, evaluation: Statement, rows: Thing) -> bool:
    """Return whether the figures of an evaluation may leave, as things are now. rows: the set that it read."""
    accounts = space.state.accounts
    is_frozen = any(accounts.frozen_since(accounts.group(one)) for one in accounts.of(rows.origin))
    return evaluation.predicate.figures["stays_inside"] is False and not is_frozen and not is_charged(space, rows)


def is_of_few(figures: EvalFigures) -> bool:
    """Return whether a figure is about so few people that it says something of one of them."""
    return figures.units_scored < LEAST_UNITS or (figures.bleu is not None and figures.units_answered < LEAST_UNITS)
