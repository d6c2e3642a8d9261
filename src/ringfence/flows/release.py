"""Release: today's policy judges a finished run; its adapter leaves as a signed bundle, or a rule is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ringfence.core.digest import canonical, settings_digest, sha256, sha256_of
from ringfence.core.durable import write_atomic
from ringfence.core.errors import AlreadyExists, BadArgument, ModelUnknown, PolicyChanged
from ringfence.core.gates import Audited
from ringfence.core.order import Progress
from ringfence.core.policy import Policy, evaluate
from ringfence.core.rules import tightened
from ringfence.core.settings import Name, Settings
from ringfence.core.statement import PAYLOAD_TYPE, Predicate, Statement, Subject
from ringfence.core.text import t
from ringfence.core.verdict import ON_ROWS, Verdict
from ringfence.flows.eval import may_be_told
from ringfence.flows.extras import require_low_memory
from ringfence.flows.facts import software
from ringfence.flows.formats import Formed, foretell_sizes, form
from ringfence.flows.gate import refuse
from ringfence.flows.runs import adapter_of, audits_of, evaluations_of, sealed_bytes
from ringfence.flows.train import Saved
from ringfence.flows.units import decisive
from ringfence.ledger.dsse import sign
from ringfence.models import store as models
from ringfence.models.store import ModelEntry
from ringfence.release.bundle import Signers, write_bundle
from ringfence.release.card import model_card
from ringfence.release.chain import Evidence
from ringfence.release.formats import REWARDS, Format, Parity, is_weights
from ringfence.release.manifest import ADAPTER, BaseRef
from ringfence.train import adapter
from ringfence.train.settings import TrainSettings
from ringfence.vault.files import read_file
from ringfence.workspace.accounts import charges
from ringfence.workspace.arrow import Arrow
from ringfence.workspace.entries import Released, now
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, Thing

_TRAVELS = ("LICENSE", "chat_template.jinja", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json")


class ReleaseSettings(Settings):
    """What the user asked for."""

    name: Name
    formats: tuple[Format, ...] = ()  # beside the adapter
    guard: bool = False  # its answers pass a replay guard where its owner serves it, also where the run is private


@dataclass(frozen=True)
class Release:
    """A bundle that may leave."""

    path: Path
    run: str
    manifest: str
    files: int
    verdicts: tuple[Verdict, ...]
    voids: bool  # the lifetime bound of the private runs on the same people holds no longer
    parity: tuple[Parity, ...]  # of every other format with the adapter
    told: Run | None  # the evaluation that its card tells


def release(
    space: Workspace,
    run_name: str,
    *,
    name: str,
    guard: bool = False,
    formats: Sequence[Format] = (),
    show: Callable[[Progress], None] = lambda _: None,
) -> Release:
    """Judge a finished training run by the policy in force and write its bundle to `releases/<name>`.

    guard: statement and model card say that its answers pass a replay guard where its owner serves it.
    formats: what the bundle holds beside the adapter; each is compared with it, and one that answers otherwise stops the release.
    Refusals are on record, too. A policy set while the bundle was being written stops it.

    Raises: UnknownRun, NotReleasable, BadArgument, AccountFrozen, PolicyRefused, AlreadyExists, AdapterUnexpected, ModelUnsupported, FormatUnexpected,
    FormatUnfaithful, LowMemoryMissing, PolicyChanged, SandboxError.
    """
    _, thing = adapter_of(space, run_name)
    folder = space.path / "releases" / name
    if folder.exists() or name in space.state.releases:
        raise AlreadyExists(path=str(folder))
    inputs = {"adapter": thing}
    saved = Saved.model_validate(space.statement(space.state.runs[thing.run].statement or "").predicate.settings)
    _refuse_texts(saved, formats, guard=guard)
    settings = ReleaseSettings(name=name, guard=guard, formats=_with_own(saved, formats))
    if settings.formats:
        require_low_memory(saved.order.train.quantised)
    with Arrow(space, "release", name=name, label=thing.made.label, settings=settings, inputs=inputs) as arrow:
        return _write(arrow, thing, settings, folder=folder, show=show)


def _with_own(saved: Saved, formats: Sequence[Format]) -> tuple[Format, ...]:
    """Return the formats of a bundle: where there is no adapter, the model itself leaves."""
    own: tuple[Format, ...] = ("merged",) if saved.order.train.is_whole else ()
    return tuple(dict.fromkeys((*own, *formats)))


def _refuse_texts(saved: Saved, formats: Sequence[Format], *, guard: bool) -> None:
    """Return unless a reward model, which writes no text, is asked for what only texts have.

    Raises: BadArgument.
    """
    asked = "--format" if formats else "--guard" if guard else None
    if asked and saved.order.train.is_reward:
        problem = t(
            "it is a reward model: it scores answers and writes none, and leaves as an adapter with its head, which transformers and peft load",
            "这是奖励模型：它为回答打分，不写回答；它以适配器连同打分头的形式交付，可由 transformers 与 peft 加载",
        )
        raise BadArgument(option=asked, problem=problem, verb="release")


def bundles(space: Workspace) -> list[dict[str, Any]]:
    """Return the released bundles as rows of a table."""
    return [
        {
            "name": name,
            "run": entry.run,
            "released": entry.time,
            "manifest": entry.manifest,
            "state": "there" if (space.path / "releases" / name).is_dir() else "gone",
        }
        for name, (_, entry) in space.state.releases.items()
    ]


@dataclass(frozen=True)
class Judged:
    """What the policy in force says of a run."""

    run: str
    name: str  # of its set
    policy: Policy
    chain: tuple[Statement, ...]
    audit: Audit | None
    verdicts: tuple[Verdict, ...]
    audits: tuple[str, ...]  # every one that was looked at
    voids: bool  # its release ends the lifetime bound of the private runs on the same people
    told: Run | None  # the evaluation that its card would tell
    sizes: Mapping[Format, int] = field(default_factory=dict)  # bytes that each format will take


@dataclass(frozen=True)
class Audit:
    """The audit by which an adapter is judged."""

    run: Run
    audited: Audited
    figures: bytes | None  # of real rows and single scores, opened


@dataclass(frozen=True)
class Evaluation:
    """The evaluation that a card tells."""

    run: Run
    statement: Statement
    rows: Thing
    sealed: bytes  # its figures

    @property
    def figures(self) -> dict[str, Any]:
        """The opened figures."""
        return dict(json.loads(self.sealed)["figures"])


def judge(space: Workspace, run_name: str, *, name: str = "", guard: bool = False, formats: Sequence[Format] = ()) -> Judged:
    """Return what the policy in force says of a finished run; nothing is written but that sealed figures were opened, where a rule reads them.

    name: of the bundle, where it has one already. guard: whether its answers are to pass a replay guard. formats: that are to be released, too.

    Raises: UnknownRun, NotReleasable, AccountFrozen, BadArgument; of formats ModelUnknown, and ModelUnsupported for one in which the model cannot be said.
    """
    run, thing = adapter_of(space, run_name)
    predicate = space.statement(run.statement or "").predicate
    saved = Saved.model_validate(predicate.settings)
    _refuse_texts(saved, formats, guard=guard)
    wanted = _with_own(saved, formats)
    closing, called = _closing(predicate), name or run.id
    try:
        sizes = foretell_sizes(models.find(saved.model), saved.order.train, wanted, name=called, closing=closing) if wanted else {}
    except ModelUnknown:
        if formats:
            raise
        sizes = {}  # what the policy says needs no base model
    return replace(_judged(space, thing, run.id, guard=guard), sizes=sizes)


def _is_bounded(space: Workspace, thing: Thing, *, guard: bool) -> bool:
    """Return whether a promise bounds what its release tells of its people: that of a private run, unless a replay guard tells who is among them."""
    return space.state.runs[thing.run].reserve is not None and not guard


def _refuse_frozen(space: Workspace, thing: Thing, *, guard: bool = False) -> None:
    """Return unless nothing would bound what this release tells, and it is of people on whom nothing more may be spent.

    Raises: AccountFrozen.
    """
    for one in () if _is_bounded(space, thing, guard=guard) else decisive(space, thing):
        space.state.accounts.refuse_frozen(*space.state.accounts.of(one.origin), name=one.made.name)


def _voids(space: Workspace, thing: Thing, *, guard: bool = False) -> bool:
    """Return True for a release that nothing bounds, of people whose lifetime bound still holds: private runs promised it, or the policy has one in force."""
    accounts, runs = space.state.accounts, space.state.runs
    if _is_bounded(space, thing, guard=guard):
        return False
    touched = [account for one in decisive(space, thing) for account in accounts.of(one.origin)]
    promised = [one for one in accounts.roots(touched) if space.policy().budget or charges(runs.values(), accounts.group(one))[0]]
    if not promised:
        return False
    from ringfence.flows.budget import account_at  # noqa: PLC0415  heavy: where nothing private was spent, no accountant is needed

    return not all(account_at(space, one).voided_by for one in promised)


def _judged(space: Workspace, thing: Thing, run: str, *, guard: bool) -> Judged:
    _refuse_frozen(space, thing, guard=guard)
    policy, chain = space.policy(), tuple(space.chain(thing))
    own = Saved.model_validate(chain[-1].predicate.settings).release
    reads_rows = tightened(policy.release, own).reads_rows
    runs = audits_of(space, thing)
    audits: list[Audit | None] = [_opened(space, one, reads_rows=reads_rows) for one in runs]
    ids = tuple(one.id for one in runs)
    voids, told = _voids(space, thing, guard=guard), _told(space, thing)

    def by(audit: Audit | None) -> Judged:
        verdicts = evaluate(policy, chain, moment="release", audit=audit.audited if audit else None)
        return Judged(run, thing.made.name, policy, chain, audit, tuple(verdicts), ids, voids, told)

    judged = [by(one) for one in audits or [None]]
    failing = [one for one in judged if any(v.rule in ON_ROWS and v.outcome == "fail" for v in one.verdicts)]
    return (failing or judged)[-1]  # rows are drawn anew by every audit: what one of them found, no later draw undoes


def _opened(space: Workspace, run: Run, *, reads_rows: bool) -> Audit:
    """Return an audit; its sealed figures are opened where a rule reads them."""
    statement = space.statement(run.statement or "")
    if not reads_rows:
        return Audit(run, Audited(statement), None)
    data = sealed_bytes(space, run, purpose="gate")
    rows = json.loads(data)["figures"] if data is not None else {}
    return Audit(run, Audited(statement, rows), data)


def _told(space: Workspace, thing: Thing) -> Run | None:
    """Return the newest evaluation of an adapter whose figures may leave and are there; none of a private run's may."""
    live = space.state.live()
    for run in reversed(evaluations_of(space, thing)):
        rows = space.state.things[run.intent.inputs["rows"]]
        statement = space.statement(run.statement or "")
        is_within = statement.predicate.label == thing.made.label  # not of rows whose label is stricter than the bundle's
        if is_within and any(one.digest in live for one in run.made) and may_be_told(space, statement, rows):
            return run
    return None


def _evaluated(space: Workspace, run: Run) -> Evaluation:
    """Return an evaluation, opened on record."""
    data = sealed_bytes(space, run, purpose="card")
    assert data is not None  # noqa: S101  they were there
    return Evaluation(run, space.statement(run.statement or ""), space.state.things[run.intent.inputs["rows"]], data)


def _write(arrow: Arrow, thing: Thing, settings: ReleaseSettings, *, folder: Path, show: Callable[[Progress], None]) -> Release:
    space, run = arrow.space, arrow.run
    started = now()
    found = _judged(space, thing, thing.run, guard=settings.guard)
    chain, policy, verdicts = found.chain, found.policy, found.verdicts
    refuse(verdicts, name=thing.made.name)
    predicate = chain[-1].predicate
    saved = Saved.model_validate(predicate.settings)
    model, closing = models.verify(saved.model), _closing(predicate)
    base = BaseRef(name=model.aliases[0] if model.aliases else model.name, digest=model.digest)
    source = space.input(thing)
    weights = read_file(source.slot, space.keys.data_key(source.slot.slot), adapter.WEIGHTS)
    predicted = adapter.predict(model.open(), saved.order.train)
    adapter.check(weights, predicted)
    formed = None
    if settings.formats:
        foretell_sizes(model, saved.order.train, settings.formats, name=settings.name, closing=closing)  # refused before hours of work
        formed = form(arrow, model, saved.order.train, settings.formats, name=settings.name, closing=closing, show=show)
    is_whole = saved.order.train.is_whole
    policy_bytes = canonical(policy.model_dump(mode="json"))
    life = _lifetime(space, thing, predicate, guard=settings.guard)
    told = _evaluated(space, found.told) if found.told else None
    statement = Statement(
        step="release",
        subjects=(*(() if is_whole else (Subject(name=ADAPTER, sha256=sha256(weights)),)), *_subjects(formed)),
        predicate=Predicate(
            run=run,
            tenant=space.settings.tenant,
            label=predicate.label,
            inputs={"adapter": thing.made.digest, "model": model.digest},
            settings=settings.model_dump(mode="json"),
            settings_digest=settings_digest(settings),
            software=software(),
            sandbox=formed.sandbox if formed else None,
            figures=({"lifetime": life} if life else {}) | _compared(formed),
            verdicts=tuple({"rule": v.rule, "outcome": v.outcome} for v in verdicts),
            policy=sha256(policy_bytes),
            started=started,
            ended=now(),
        ),
    )
    envelope = sign(statement.payload(), PAYLOAD_TYPE, space.keys.evidence_key())
    digest = sha256(envelope)

    def record(manifest: bytes) -> None:
        """Put the release on record just before the bundle appears; fsck renames it if a crash comes between. The lock is held."""
        arrow.refuse_deleted()
        _refuse_frozen(space, thing, guard=settings.guard)
        if arrow.name in space.state.releases or folder.exists():
            raise AlreadyExists(path=str(folder))
        audits = tuple(one.id for one in audits_of(space, thing))
        if space.policy() != policy or audits != found.audits:  # the bundle carries what judged it
            raise PolicyChanged
        if told and not may_be_told(space, told.statement, told.rows):  # a private run on the same people began meanwhile
            raise PolicyChanged
        write_atomic(space.path / "evidence" / f"{digest}.json", envelope)
        evaluated = told.rows.made.digest if told else None
        arrow.conclude(
            Released(run=run, adapter=thing.made.digest, name=arrow.name, manifest=sha256(manifest), statement=digest, evaluated=evaluated)
        )

    manifest = write_bundle(
        folder,
        Signers(evidence=space.keys.evidence_key(), release=space.keys.release_key(), public=space.public),
        base=base,
        adapter=None if is_whole else weights,
        adapter_config=adapter.peft_config(saved.order.train, base.name, predicted),
        card=model_card(
            arrow.name,
            base=base,
            licence=model.licence,
            chain=chain,
            audit=found.audit.audited.statement if found.audit else None,
            evaluation=(told.statement, told.figures) if told else None,
            verdicts=verdicts,
            lifetime=life,
            parity=formed.parity if formed else (),
            is_guarded=settings.guard,
        ),
        policy=policy_bytes,
        evidence=_evidence(space, thing, found.audit, told, is_private="plan" in predicate.figures),
        release=envelope,
        extra=_travels(model, saved.order.train, closing=closing),
        formats=formed.files if formed else None,
        lock=space.locked(seconds=None),
        record=record,
    )
    return Release(
        folder,
        run,
        sha256(manifest.to_bytes()),
        len(manifest.files) + 3,
        verdicts,
        found.voids,
        formed.parity if formed else (),
        found.told,
    )


def _subjects(formed: Formed | None) -> list[Subject]:
    """Return the weights of every other format by their digests."""
    files = formed.files if formed else {}
    return [Subject(name=path, sha256=sha256_of(source)) for path, source in sorted(files.items()) if is_weights(path)]


def _compared(formed: Formed | None) -> dict[str, Any]:
    return {"formats": [one.model_dump(mode="json") for one in formed.parity]} if formed else {}


def _lifetime(space: Workspace, thing: Thing, trained: Predicate, *, guard: bool) -> dict[str, Any]:
    """Return what the statement of a private run's release tells of its people's lifetime, as it is with this release; empty for an ordinary run."""
    if "plan" not in trained.figures:
        return {}
    from ringfence.flows.budget import lifetime  # noqa: PLC0415  heavy: an ordinary run needs no accountant

    found = lifetime(space, *space.state.accounts.of(thing.origin))
    return found | {"bound": "void", "limit": None, "guarded_releases": found["guarded_releases"] + 1} if guard else found


def _evidence(space: Workspace, thing: Thing, audit: Audit | None, told: Evaluation | None = None, *, is_private: bool) -> list[Evidence]:
    """Return the statements with their places in the ledger; the audit's figures of real rows only where no promise covers those rows."""
    runs = {run.statement: run for run in space.state.runs.values()}
    found = [_exhibit(space, runs[digest]) for digest in space.lineage(thing)]
    looks = [(audit.run, None if is_private else audit.figures)] if audit else []
    looks += [(told.run, told.sealed)] if told else []
    return [*found, *(_exhibit(space, run, figures) for run, figures in sorted(looks, key=lambda one: one[0].outcome_index or 0))]


def _exhibit(space: Workspace, run: Run, figures: bytes | None = None) -> Evidence:
    index = run.outcome_index or 0
    return Evidence(
        envelope=space.envelope(run.statement or ""), entry=space.ledger.raw(index), proof=space.ledger.prove(index), figures=figures
    )


def _closing(trained: Predicate) -> int | None:
    """Return the token by which a run closes answers, where it is another than its tokeniser's end token; a reward model writes none."""
    found = trained.figures.get("closing")
    return found if isinstance(found, int) and not REWARDS.intersection(trained.parts) else None


def _travels(model: ModelEntry, train: TrainSettings, *, closing: int | None) -> dict[str, bytes]:
    """Return what an adapter needs to be spoken to: the base model's tokeniser, the chat templates of the run, and what ends its answers."""
    folder = model.open()._replace(prelude=train.prelude, closing=closing)
    found = {file.name: (model.path / file.name).read_bytes() for file in model.files if file.name in _TRAVELS}
    return found | folder.written_files()
