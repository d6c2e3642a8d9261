"""Report: a run as a page for people, an audit or a de-identification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ringfence import __version__
from ringfence.audit.statistics import rate
from ringfence.core.durable import write_atomic
from ringfence.core.errors import AlreadyExists, BadArgument, ModelError, NotAudited
from ringfence.core.text import t
from ringfence.deid.settings import DeidSettings
from ringfence.flows.runs import details
from ringfence.flows.train import Saved
from ringfence.models import store as models
from ringfence.report.figures import AuditFacts, AuditShown, Bounds
from ringfence.report.masked import MaskedFacts, MaskedShown, masked_page
from ringfence.report.page import audit_page
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run


def write_audit_page(space: Workspace, name: str, path: Path) -> Path:
    """Write the page of an audit in the chosen language and return its path.

    name: the audit, or the training run, whose newest audit it then is. The single scores are opened for the pictures, on record.

    Raises: UnknownRun, AmbiguousName, AlreadyExists, NotAudited, BadArgument, StorageFull.
    """
    audit, trained = _audited(space, name)
    if path.exists():
        raise AlreadyExists(path=str(path))  # before anything is opened
    facts = _facts(space, audit, trained)
    shown = AuditShown.of(details(space, audit.id)["figures"])
    write_atomic(path, audit_page(shown, facts).encode())
    return path


def write_page(space: Workspace, name: str, path: Path) -> Path:
    """Write the page of a run in the chosen language and return its path: of a de-identification its own, of others the audit's.

    Raises: UnknownRun, AmbiguousName, AlreadyExists, NotAudited, BadArgument, StorageFull.
    """
    run = space.state.run(name)
    if run.intent.arrow != "deid" or not run.statement:
        return write_audit_page(space, name, path)
    if path.exists():
        raise AlreadyExists(path=str(path))
    shown = MaskedShown.of(details(space, run.id)["figures"])
    write_atomic(path, masked_page(shown, _masked_facts(space, run, shown)).encode())
    return path


def recall_bounds(planted: Mapping[str, int], found: Mapping[str, int]) -> dict[str, Bounds]:
    """Return, per kind, the share of planted identifiers that was found, with its exact one-sided bounds at 95 % each."""
    rates = {kind: rate(found.get(kind, 0), tried) for kind, tried in planted.items()}
    return {kind: Bounds(value=one.value, lower=one.lower, upper=one.upper) for kind, one in rates.items()}


def _masked_facts(space: Workspace, run: Run, shown: MaskedShown) -> MaskedFacts:
    assert run.statement  # noqa: S101  it is done
    predicate = space.statement(run.statement).predicate
    settings = DeidSettings.model_validate(predicate.settings)
    return MaskedFacts(
        run=run.id,
        data_set=run.intent.name,
        profile=settings.profile,
        parts=settings.taggers,
        source=predicate.inputs["set"],
        ended=run.ended or "",
        statement=run.statement,
        version=__version__,
        recall=recall_bounds(shown.hidden, shown.hidden_found),
    )


def _audited(space: Workspace, name: str) -> tuple[Run, Run]:
    """Return an audit that is done, and the training run that it looked at.

    Raises: UnknownRun, AmbiguousName, NotAudited, BadArgument.
    """
    run, runs = space.state.run(name), space.state.runs.values()
    made = {one.digest: each for each in runs if each.intent.arrow == "train" for one in each.made}
    done = [each for each in runs if each.intent.arrow == "audit" and each.statement and each.intent.inputs["adapter"] in made]
    found = [(each, made[each.intent.inputs["adapter"]]) for each in done]
    asked = next((pair for pair in reversed(found) if run.id in (pair[0].id, pair[1].id)), None)
    if asked:
        return asked
    planted = {one.digest for each in runs if each.intent.arrow == "plant" for one in each.made}
    if run.intent.arrow == "train" and run.intent.inputs.get("set") not in planted:
        raise NotAudited(run=run.id)
    problem = t(
        "no audit of {run} is finished; first: ringfence audit RUN", "{run} 没有已完成的审计；请先运行：ringfence audit RUN", run=run.id
    )
    raise BadArgument(option="--html", problem=problem, verb="run show")


def _facts(space: Workspace, audit: Run, trained: Run) -> AuditFacts:
    assert audit.statement and trained.statement  # noqa: S101, PT018  both are done
    saved = Saved.model_validate(space.statement(trained.statement).predicate.settings)
    plan = saved.order.plan
    return AuditFacts(
        audit=audit.id,
        run=trained.id,
        data_set=trained.intent.name,
        base=_base(saved.model),
        trained=trained.ended or "",
        audited=audit.ended or "",
        statement=audit.statement,
        version=__version__,
        claim=(plan.epsilon, plan.delta) if plan else None,
    )


def _base(digest: str) -> str:
    """Return the name of a base model, or the beginning of its digest where this account has no such model."""
    try:
        entry = next((one for one in models.listing() if one.digest == digest), None)
    except ModelError:
        entry = None
    return f"{entry.name} ({digest[:12]})" if entry else digest[:12]
