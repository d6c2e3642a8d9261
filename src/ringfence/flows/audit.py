"""Audit: what a finished run did with the canaries of its training set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ringfence.audit.forecast import Reach, reach
from ringfence.audit.settings import DELTA, AuditFigures, AuditOrder, PlantSettings
from ringfence.core.environment import cores
from ringfence.core.errors import NotAudited
from ringfence.core.gates import originals
from ringfence.core.lineage import last, ways
from ringfence.core.order import Keys, Progress
from ringfence.core.rules import tightened
from ringfence.core.statement import Statement
from ringfence.flows.extras import require_low_memory
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.guard import guard_of
from ringfence.flows.runs import adapter_of
from ringfence.flows.train import Saved
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models import store as models
from ringfence.train import adapter as fit
from ringfence.vault.files import read_file
from ringfence.vault.keys import auditor_keyset
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.space import Secret, Workspace
from ringfence.workspace.state import Thing


@dataclass(frozen=True)
class Sample:
    """How much beside the canaries an audit looks at; all there is where that is less."""

    rows: int = 500
    spans: int = 300


@dataclass(frozen=True)
class Audited:
    """A finished audit."""

    committed: Committed
    run: str  # the training run
    figures: AuditFigures


def audit(
    space: Workspace,
    name: str,
    auditor: Secret,
    *,
    sample: Sample | None = None,
    with_guard: bool = False,
    show: Callable[[Progress], None] = lambda _: None,
) -> Audited:
    """Score the canaries of a run's training set, try its rows and the identifiers that were replaced in them, and return what they show.

    auditor: the secret of the auditor's private key, which alone opens the register. sample: how many rows and identifiers are tried.
    with_guard: say also how many rows are replayed under a replay guard.

    Raises: UnknownRun, NotReleasable, NotAudited, WrongPassphrase, RegisterBroken, AdapterUnexpected, LowMemoryMissing,
    SandboxError.
    """
    run, adapter = adapter_of(space, name)
    chain = space.chain(adapter)
    made = _planted(space, chain, run.id)
    sample = sample or Sample()
    saved = Saved.model_validate(chain[-1].predicate.settings)
    require_low_memory(saved.order.train.quantised)
    keyset = auditor_keyset(space.path / "keys", auditor)
    model = models.verify(saved.model)
    weights = space.input(adapter).slot
    fit.check(read_file(weights, space.keys.data_key(weights.slot), fit.WEIGHTS), fit.predict(model.open(), saved.order.train))
    plan = saved.order.plan
    settings = AuditOrder(
        train=saved.order.train,
        delta=plan.delta if plan else DELTA,
        rows=sample.rows,
        spans=sample.spans,
        looks_for_spans=_are_masked(chain),
        hints=saved.order.hints,
    )
    inputs = {"adapter": adapter, **made, **_originals(space, chain)}
    if with_guard and (guard := guard_of(space, adapter, show=show)):
        inputs["guard"] = guard
    label, outputs = adapter.made.label, {"filter": Plan("filter", "filter")}
    with Arrow(space, "audit", name=adapter.made.name, label=label, settings=settings, inputs=inputs, outputs=outputs) as arrow:
        work = arrow.work("audit.v1", files={"model": model.path}, tier=tier_for(space.policy(), label))
        limits = JOBS["audit.v1"].limits.model_copy(update={"threads": cores()})
        work = replace(work, keys=Keys(data=work.keys.data, purpose={"auditor": keyset}), limits=limits)
        done = start(work, AuditFigures, handlers=Handlers(progress=show))
        facts = Facts(software=software(), inputs={"model": model.digest}, seals_times=plan is not None)
        committed = arrow.commit(done, facts)
        return Audited(committed, run.id, done.figures)


def foretell(space: Workspace, name: str, *, sample: Sample | None = None) -> tuple[str, Reach, list[str]]:
    """Return the run's id, what its audit can show at best, and which rules of the policy in force it could not pass even so.

    Raises: UnknownRun, NotReleasable, NotAudited.
    """
    run, adapter = adapter_of(space, name)
    chain = space.chain(adapter)
    plant = last(chain, "plant")
    if plant is None:
        raise NotAudited(run=run.id)
    settings = PlantSettings.model_validate(plant.predicate.settings)
    saved = Saved.model_validate(chain[-1].predicate.settings)
    plan, sample = saved.order.plan, sample or Sample()
    ranks, delta = saved.order.train.is_reward, plan.delta if plan else DELTA
    found = reach(settings.audit, control=settings.control, delta=delta, rows=sample.rows, spans=sample.spans, ranks=ranks)
    return run.id, found, found.missing(tightened(space.policy().release, saved.release))


def _planted(space: Workspace, chain: list[Statement], run: str) -> dict[str, Thing]:
    """Return the register and the very set that the run read, which were made together.

    Raises: NotAudited.
    """
    read, live = chain[-1].predicate.inputs.get("set"), space.state.live()
    for statement in chain:
        made = _subjects(statement)
        if statement.step == "plant" and made["set"] == read and {made["set"], made["register"]} <= live.keys():
            return {"rows": live[made["set"]], "register": live[made["register"]]}
    raise NotAudited(run=run)


def _are_masked(chain: list[Statement]) -> bool:
    """Return whether the set was de-identified; of joined sets, whether every one was."""
    return all(last(way, "deid") for way in ways(chain))


def _originals(space: Workspace, chain: list[Statement]) -> dict[str, Thing]:
    """Return the set as it was before de-identification and the table of what was replaced, of joined sets those of each; nothing where one of them is gone."""
    live = space.state.live()
    digests = originals(chain) if _are_masked(chain) else {}
    return {role: live[digest] for role, digest in digests.items()} if set(digests.values()) <= live.keys() else {}


def _subjects(statement: Statement) -> dict[str, str]:
    return {subject.name: subject.sha256 for subject in statement.subjects}
