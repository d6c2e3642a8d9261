"""Audit: what a finished run did with the canaries of its training set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ringfence.audit.settings import AuditFigures, AuditOrder
from ringfence.core.errors import NotAudited
from ringfence.core.order import Keys, Progress
from ringfence.core.statement import Statement
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.runs import adapter_of
from ringfence.flows.train import Saved, cores
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models import store as models
from ringfence.vault.keys import auditor_keyset
from ringfence.workspace.arrow import Arrow, Committed, Facts
from ringfence.workspace.space import Secret, Workspace
from ringfence.workspace.state import Thing

_DELTA = 1e-5  # of the claim that an ordinary run is put to: it makes none


@dataclass(frozen=True)
class Audited:
    """A finished audit."""

    committed: Committed
    run: str  # the training run
    figures: AuditFigures


def audit(space: Workspace, name: str, auditor: Secret, *, show: Callable[[Progress], None] = lambda _: None) -> Audited:
    """Score the canaries of a run's training set and return what they show.

    auditor: the secret of the auditor's private key, which alone opens the register.

    Raises: UnknownRun, NotReleasable, NotAudited, WrongPassphrase, RegisterBroken, SandboxError.
    """
    run, adapter = adapter_of(space, name)
    chain = space.chain(adapter)
    register = _register(space, chain, run.id)
    saved = Saved.model_validate(chain[-1].predicate.settings)
    keyset = auditor_keyset(space.path / "keys", auditor)
    model = models.verify(saved.model)
    plan = saved.order.plan
    settings = AuditOrder(train=saved.order.train, delta=plan.delta if plan else _DELTA, hints=saved.order.hints)
    made = adapter.made
    inputs = {"adapter": adapter, "register": register}
    with Arrow(space, "audit", name=made.name, label=made.label, settings=settings, inputs=inputs) as arrow:
        work = arrow.work("audit.v1", files={"model": model.path}, tier=tier_for(space.policy(), made.label))
        limits = JOBS["audit.v1"].limits.model_copy(update={"threads": cores()})
        work = replace(work, keys=Keys(data=work.keys.data, purpose={"auditor": keyset}), limits=limits, incoming=None)
        done = start(work, AuditFigures, handlers=Handlers(progress=show))
        committed = arrow.commit(done, Facts(software=software(), inputs={"model": model.digest}))
        return Audited(committed, run.id, done.figures)


def _register(space: Workspace, chain: list[Statement], run: str) -> Thing:
    """Return the register that was made together with the very set that the run read.

    Raises: NotAudited.
    """
    read = chain[-1].predicate.inputs.get("set")
    for statement in chain:
        made = {subject.name: subject.sha256 for subject in statement.subjects}
        if statement.step == "plant" and made["set"] == read and (thing := space.state.live().get(made["register"])):
            return thing
    raise NotAudited(run=run)
