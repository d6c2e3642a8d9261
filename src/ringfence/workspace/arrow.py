"""One arrow: intent before, outcome after, and nothing half-made in between."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ringfence.core.digest import canonical, settings_digest, sha256
from ringfence.core.durable import write_atomic
from ringfence.core.errors import Interrupted as Stopped
from ringfence.core.errors import LedgerUnavailable, NoSuchObject, NotResumable, RingfenceError
from ringfence.core.interrupts import stop_if_late, uninterrupted
from ringfence.core.order import CheckpointGrant, CheckpointReady, Figures, Keys, ObjectKind, Slot
from ringfence.core.policy import Policy
from ringfence.core.settings import Settings
from ringfence.core.statement import PAYLOAD_TYPE, Label, Output, Predicate, Stage, Statement, Step, Subject
from ringfence.core.text import t
from ringfence.core.work import Done, Work
from ringfence.ledger.dsse import sign
from ringfence.vault.files import write_files
from ringfence.workspace.entries import AnyEntry, Checkpointed, Failed, Intent, Interrupted, Leased, Made, Outcome, Reserve, Resumed, now
from ringfence.workspace.locks import held
from ringfence.workspace.manifest import Manifest
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, State, Thing

_GLANCE = 0.5  # s; a look at whether a run lives holds its lock for a moment


@dataclass(frozen=True)
class Plan:
    """One output that an arrow will make."""

    kind: ObjectKind
    stage: Stage
    profile: str | None = None


@dataclass(frozen=True)
class Facts:
    """What the flow knows about the step besides the child's figures."""

    parts: tuple[str, ...] = ()
    software: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)  # public ones that the host itself computed
    seconds: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)  # digests of inputs that lie outside the vault: the base model
    seals_times: bool = False  # of a private run: how long it worked depends on its rows


@dataclass(frozen=True)
class Committed:
    """What a committed arrow left."""

    run: str
    statement: Statement
    envelope: str  # digest
    things: Mapping[str, Thing]  # by role


class Arrow:
    """`with Arrow(...) as arrow: arrow.commit(start(arrow.work(...)))`. Leaving the block by an error writes the failure."""

    def __init__(
        self,
        space: Workspace,
        step: Step,
        *,
        name: str,
        label: Label,
        settings: Settings,
        inputs: Mapping[str, Thing] | None = None,
        outputs: Mapping[str, Plan] | None = None,
        check: Callable[[Policy], None] | None = None,
        reserve: Reserve | None = None,
        resume: Run | None = None,
    ) -> None:
        self.space, self.step, self.name, self.label, self.settings = space, step, name, label, settings
        self.inputs = dict(inputs or {})
        self.plans = dict(outputs or {})
        self.run = resume.id if resume else f"{step}-{secrets.token_hex(6)}"
        self._check, self._reserve, self._resume = check, reserve, resume
        self._started = now()
        self._policy: str | None = None
        self._slots = {role: self._new_slot(plan.kind) for role, plan in self.plans.items()}
        self._keys = {slot.slot: space.keys.new_data_key() for slot in self._slots.values()}
        self._stack = contextlib.ExitStack()
        self._holds_run = self._has_begun = self._is_over = False

    # ── before ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        """Take the run's lock, check the policy under the workspace lock, and write the intent.

        Raises: Busy, NoSuchObject, NotResumable, LedgerUnavailable, StorageFull, and what the check raises.
        """
        stop_if_late()
        try:
            with self.space.locked() as state:
                # Made and locked under the workspace lock, so that fsck never sees a run's folder without its lock.
                self.folder.mkdir(mode=0o700, exist_ok=True)
                self._stack.enter_context(held(self.folder / "lock", what=t("run {run}", "运行 {run}", run=self.run), seconds=_GLANCE))
                self._holds_run = True
                self._begin(state)
            for slot in self._slots.values():
                self.space.store.incoming(self.run, slot.slot)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _begin(self, state: State) -> None:
        self.refuse_deleted()
        policy = self.space.policy()
        self._policy = state.policy.digest if state.policy else None
        if self._check:
            self._check(policy)
        slots = tuple(self._keys)
        entry: AnyEntry
        if self._resume:
            self._refuse_resumed(state.runs[self.run].state)
            checkpoint = self._resume.checkpoint
            entry = Resumed(run=self.run, checkpoint=checkpoint.digest if checkpoint else "0" * 64, slots=slots)
        else:
            entry = Intent(
                run=self.run,
                arrow=self.step,
                name=self.name,
                inputs={role: thing.made.digest for role, thing in self.inputs.items()},
                settings=settings_digest(self.settings),
                slots=slots,
                policy=self._policy,
                reserve=self._reserve,
            )
        self._has_begun = True  # before the append: it may be durable although it fails
        self.space.record(entry)

    @property
    def folder(self) -> Path:
        """The run's own folder: its lock, control socket and settings."""
        return self.space.path / "runs" / self.run

    def work(
        self,
        job: str,
        *,
        purpose: tuple[str, ...] = (),
        settings: Settings | None = None,
        files: Mapping[str, Path] | None = None,
        **more: Any,  # noqa: ANN401  fields of Work
    ) -> Work[Any]:
        """Return the work for `jobs.start`: inputs, output slots, and exactly the keys that they need."""
        inputs = {role: self.space.input(thing) for role, thing in self.inputs.items()}
        data = {source.slot.slot: self.space.keys.data_key(source.slot.slot) for source in inputs.values()}
        return Work(
            job=job,
            run=self.run,
            tenant=self.space.settings.tenant,
            settings=settings or self.settings,
            inputs=inputs,
            outputs=self._slots,
            incoming=self.incoming,
            files=files or {},
            keys=Keys(data=data | self._keys, purpose={name: self.space.keys.purpose(name) for name in purpose}),
            **more,
        )

    @property
    def incoming(self) -> Path:
        """The folder that the child may write: one sub-folder per slot."""
        return self.space.path / "vault" / "incoming" / self.run

    def output(self, role: str) -> tuple[Slot, bytes]:
        """Return an output slot as the host sees it, and its data key."""
        slot = self._slots[role]
        return slot.model_copy(update={"path": str(self.incoming / slot.slot)}), self._keys[slot.slot]

    def add(self, role: str, plan: Plan, files: Mapping[str, bytes]) -> None:
        """Write one more output on the host's side: sealed figures, the units of an account."""
        self.plans[role] = plan
        slot = self._slots[role] = self._new_slot(plan.kind)
        self._keys[slot.slot] = self.space.keys.new_data_key()
        self.space.store.incoming(self.run, slot.slot)
        write_files(*self.output(role), files)

    # ── while ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def commit_checkpoint(self, ready: CheckpointReady, *, role: str = "checkpoint") -> tuple[CheckpointGrant, bytes]:
        """Commit the checkpoint in the slot of `role`, drop the one before, and return where the next one goes.

        The child lives on and may still hold its files open, so the host commits a copy on fresh inodes.
        """
        slot, key = self.output(role)
        files = self.space.store.adopt(self.run, slot.slot)  # copies and hashes: not under the lock that everybody waits for
        # From here on the slot belongs to the ledger, or to nobody: whatever fails below, the end of the run looks there before it shreds.
        fresh = self._slots[role] = self._new_slot("checkpoint")
        self._keys[fresh.slot] = self.space.keys.new_data_key()
        with self.space.locked(seconds=None) as state, uninterrupted():
            before = state.runs[self.run].checkpoint
            self.space.keys.store({slot.slot: key}, mark=self.space.ledger.size)
            manifest, made = self._manifest(role, slot, files)
            write_atomic(self._manifest_path(made), manifest.to_bytes())
            self.space.record(Checkpointed(run=self.run, step=ready.step, made=made, replaces=before.digest if before else None))
            if before:
                forget(self.space, [before])
        self.space.store.incoming(self.run, fresh.slot)
        return CheckpointGrant(next=fresh), self._keys[fresh.slot]

    def lease(self, steps: int, *, check: Callable[[], None] = lambda: None) -> int:
        """Put steps of the run's reserve on record as spent, `steps` at most, and return how many; 0 when the reserve is used up.

        check: asked under the lock before a grant.

        Raises: AccountFrozen, LedgerUnavailable; what the check raises.
        """
        with self.space.locked(seconds=None) as state, uninterrupted():
            run = state.runs[self.run]
            if run.reserve is None:
                return 0
            state.accounts.refuse_frozen(*run.reserve.accounts, name=self.name)
            check()
            granted = min(steps, run.reserve.steps - run.granted)
            if granted:
                self.space.record(Leased(run=self.run, steps=granted))
        return granted

    # ── after ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(
        self,
        done: Done[Figures],
        facts: Facts | None = None,
        *,
        drop: tuple[str, ...] = (),
        joins: Callable[[State], tuple[str, ...]] = lambda _: (),
    ) -> Committed:
        """Bring the outputs into being: bytes, keys, manifests, signed statement, then the outcome.

        drop: roles whose slots are thrown away (an unused checkpoint slot). joins: of an import, asked under the workspace lock: the accounts that
        hold some of its units.

        Raises: StorageFull, LedgerUnavailable, JobMisbehaved.
        """
        facts = facts or Facts()
        for role in drop:
            self._slots.pop(role)
            self.plans.pop(role)
        began = time.monotonic()
        figures = done.figures.model_dump(mode="json")
        public = {key: value for key, value in figures.items() if key in done.figures.public()} | dict(facts.figures)
        seconds = {**done.seconds, **facts.seconds}
        times = {"seconds_of_controls": seconds | {f"cpu {key}": value for key, value in done.cpu_seconds.items()}}
        sealed = self._seal_figures(
            {key: value for key, value in figures.items() if key not in public} | (times if facts.seals_times else {})
        )
        made, manifests, outputs = [], [], {}
        for role, slot in self._slots.items():
            files = self.space.store.collect(self.incoming / slot.slot)
            manifest, one = self._manifest(role, slot, files)
            manifests.append(manifest)
            made.append(one)
            outputs[role] = Output(slot=slot.slot, kind=one.kind, stage=one.stage)
        seconds["collect"] = round(time.monotonic() - began, 4)
        statement = Statement(
            step=self.step,
            subjects=tuple(Subject(name=one.role, sha256=one.digest) for one in made),
            predicate=Predicate(
                run=self.run,
                tenant=self.space.settings.tenant,
                label=self.label,
                inputs={role: thing.made.digest for role, thing in self.inputs.items()} | dict(facts.inputs),
                outputs=outputs,
                settings=self.settings.model_dump(mode="json"),
                settings_digest=settings_digest(self.settings),
                parts=facts.parts,
                software=facts.software,
                sandbox=done.sandbox,
                figures=public,
                sealed_figures=sealed,
                policy=self._policy,
                seconds={} if facts.seals_times else seconds,
                cpu_seconds={} if facts.seals_times else done.cpu_seconds,
                started=self._started,
                ended=now(),
            ),
        )
        envelope = sign(statement.payload(), PAYLOAD_TYPE, self.space.keys.evidence_key())
        return self._publish(statement, envelope, made, manifests, joins=joins)

    def _publish(
        self,
        statement: Statement,
        envelope: bytes,
        made: list[Made],
        manifests: list[Manifest],
        *,
        joins: Callable[[State], tuple[str, ...]],
    ) -> Committed:
        with self.space.locked(seconds=None) as state, uninterrupted(final=True):
            self.refuse_deleted()
            joined = joins(state)
            checkpoint = state.runs[self.run].checkpoint
            for one in made:
                self.space.store.commit(self.run, one.slot)
            self.space.keys.store({one.slot: self._keys[one.slot] for one in made}, mark=self.space.ledger.size)
            for manifest, one in zip(manifests, made, strict=True):
                write_atomic(self._manifest_path(one), manifest.to_bytes())
            digest = sha256(envelope)
            write_atomic(self.space.path / "evidence" / f"{digest}.json", envelope)
            self._record_outcome(Outcome(run=self.run, arrow=self.step, made=tuple(made), statement=digest, joins=joined))
            self._is_over = True
            if checkpoint:
                forget(self.space, [checkpoint])
            things = {one.role: self.space.state.things[one.digest] for one in made}
        return Committed(self.run, statement, digest, things)

    def conclude(self, entry: AnyEntry) -> None:
        """Record the entry that ends this arrow instead of an outcome: a release leaves no object in the vault. The caller holds the lock."""
        self.space.record(entry)
        self._is_over = True

    def _record_outcome(self, outcome: Outcome) -> None:
        try:
            self.space.record(outcome)
        except LedgerUnavailable:
            # The append may have become durable before the error: only a fresh look decides, never a roll-back on a guess.
            self.space.refresh()
            if self.space.state.runs[self.run].state != "done":
                raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write the failure if the arrow did not commit, and remove what it had begun. The error that ended the block is never replaced."""
        if not self._holds_run:
            return
        try:
            try:
                if self._has_begun and not self._is_over:
                    self._record_end(error)
            finally:
                with uninterrupted(final=True):
                    self._close()
        except (RingfenceError, OSError):  # fsck does it later: the disk may be full now
            if error is None:
                raise

    def _record_end(self, error: BaseException | None) -> None:
        code, exit_code = (error.code, error.exit_code) if isinstance(error, RingfenceError) else ("RF-CORE-000", 1)
        if isinstance(error, KeyboardInterrupt):
            code, exit_code = Stopped.code, Stopped.exit_code
        with self.space.locked(seconds=None) as state, uninterrupted(final=True):
            run = state.runs.get(self.run)
            if run is None or run.state != "open":
                return
            if run.checkpoint:
                self.space.record(Interrupted(run=self.run, code=code))
            else:
                self.space.record(Failed(run=self.run, arrow=self.step, code=code, exit_code=exit_code))
            leftovers = set(self._keys) - {thing.made.slot for thing in self.space.state.things.values()}
            for slot in leftovers:
                self.space.store.remove(slot)
            if stored := leftovers & set(self.space.keys.slots()):
                self.space.keys.destroy(stored)

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # left for fsck
            self.space.store.clear_incoming(self.run)
        run = self.space.state.runs.get(self.run)
        if run is None or run.state in ("done", "failed"):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._stack.close()

    # ── small things ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _new_slot(self, kind: ObjectKind) -> Slot:
        return Slot(slot=secrets.token_hex(16), tenant=self.space.settings.tenant, kind=kind, path="")

    def _refuse_resumed(self, state: str) -> None:
        if state != "interrupted":  # another process resumed it first
            raise NotResumable(run=self.run, state=state)

    def refuse_deleted(self) -> None:
        """Raise NoSuchObject when an input was deleted; the caller holds the lock."""
        live = self.space.state.live()
        for thing in self.inputs.values():
            if thing.made.kind == "checkpoint" and self._resume:
                continue  # a resumed run replaces the checkpoint that it came from
            if thing.made.digest not in live:
                raise NoSuchObject(object=thing.made.digest[:12])

    def _manifest(self, role: str, slot: Slot, files: tuple[Any, ...]) -> tuple[Manifest, Made]:
        plan = self.plans[role]
        source = self.inputs.get("set") if self.step != "join" else None  # what is joined begins a chain of its own
        manifest = Manifest(
            tenant=slot.tenant,
            slot=slot.slot,
            version=slot.version,
            kind=plan.kind,
            stage=plan.stage,
            name=self.name,
            label=self.label,
            files=files,
            parents=tuple(thing.made.digest for thing in self.inputs.values()),
            run=self.run,
        )
        made = Made(
            role=role,
            digest=manifest.digest,
            manifest=manifest.own_digest(),
            slot=slot.slot,
            kind=plan.kind,
            stage=plan.stage,
            name=self.name,
            label=self.label,
            origin=source.origin if source else None,
            profile=plan.profile,
        )
        return manifest, made

    def _manifest_path(self, made: Made) -> Path:
        return self.space.path / "vault" / "manifests" / f"{made.manifest}.json"

    def _seal_figures(self, figures: Mapping[str, Any]) -> str | None:
        """Seal figures of real rows with a salt, and return the digest that the statement names them by."""
        if not figures:
            return None
        plaintext = canonical({"salt": secrets.token_hex(16), "figures": figures})
        self.add("figures", Plan("figures", "figures"), {"figures.json": plaintext})
        return sha256(plaintext)


def forget(space: Workspace, made: list[Made]) -> None:
    """Shred objects that a later entry replaced; the caller holds the lock."""
    space.keys.destroy({one.slot for one in made})
    for one in made:
        space.store.remove(one.slot)
        (space.path / "vault" / "manifests" / f"{one.manifest}.json").unlink(missing_ok=True)
