"""What is true now, read from the ledger's entries in order. Pure: entries in, state out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from ringfence.core.errors import AmbiguousName, UnknownName, UnknownRun, UnknownTagger
from ringfence.core.lineage import roles
from ringfence.core.statement import Stage
from ringfence.workspace.accounts import Accounts
from ringfence.workspace.entries import (
    Alarm,
    AnyEntry,
    BudgetFrozen,
    BudgetSet,
    Checkpointed,
    Delete,
    Deleted,
    Exported,
    Failed,
    Filtered,
    Genesis,
    Guarded,
    Intent,
    Interrupted,
    Leased,
    Made,
    Opened,
    Outcome,
    PolicySet,
    Released,
    Reserve,
    Resumed,
    Revealed,
)

RunState = Literal["open", "done", "failed", "interrupted"]
_PREFIX = re.compile(r"[0-9a-f]{8,64}")  # of a digest, as lists show it
_SETS = ("set", "quarantine")
_TAGGER = "@tagger"
_ARROW_STAGES: tuple[Stage, ...] = ("sealed", "cleared", "masked")


@dataclass(frozen=True)
class Thing:
    """One object: what the ledger says it is, and where in the ledger."""

    made: Made
    index: int
    run: str
    time: str
    statement: str | None  # digest of the signed envelope; None for a checkpoint
    deletion: Literal["none", "begun", "finished"] = "none"

    @property
    def origin(self) -> str:
        """Digest of the set at the beginning of its chain: the sealed one, or the one that was made by joining others."""
        return self.made.origin or self.made.digest


@dataclass(frozen=True)
class Run:
    """One run of one arrow."""

    id: str
    intent: Intent
    index: int
    state: RunState = "open"
    ended: str | None = None
    code: str | None = None
    statement: str | None = None
    outcome_index: int | None = None
    slots: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()
    checkpoint: Made | None = None
    step: int = 0
    granted: int = 0  # steps of a private run that are spent

    @property
    def reserve(self) -> Reserve | None:
        """What a private run may spend at most."""
        return self.intent.reserve


@dataclass
class State:
    """Everything that the ledger says, folded."""

    genesis: Genesis | None = None
    things: dict[str, Thing] = field(default_factory=dict)  # by object digest
    runs: dict[str, Run] = field(default_factory=dict)
    policy: PolicySet | None = None
    releases: dict[str, tuple[int, Released]] = field(default_factory=dict)  # by name
    generation: int = 0  # least tenant-key version that the ring may have
    accounts: Accounts = field(default_factory=Accounts)

    def apply(self, index: int, entry: AnyEntry) -> None:  # noqa: C901, PLR0912  one branch per entry type, on purpose in one place
        """Take one more entry into account."""
        match entry:
            case Genesis():
                self.genesis = entry
            case Intent():
                self.runs[entry.run] = Run(entry.run, entry, index, slots=entry.slots)
            case Outcome():
                run = self.runs[entry.run]
                for made in entry.made:
                    self.things[made.digest] = Thing(made, index, entry.run, entry.time, entry.statement)
                self.accounts.opened(entry)
                if entry.arrow == "join":
                    origins = [self.things[run.intent.inputs[role]].origin for role in roles("set", run.intent.inputs)]
                    for one in entry.made:
                        self.accounts.joined(one.digest, origins)
                self._drop_checkpoint(run)
                self.runs[entry.run] = replace(
                    run,
                    state="done",
                    ended=entry.time,
                    statement=entry.statement,
                    outcome_index=index,
                    made=entry.made,
                    checkpoint=None,
                )
            case Failed():
                run = self.runs[entry.run]
                self._drop_checkpoint(run)
                self.runs[entry.run] = replace(run, state="failed", ended=entry.time, code=entry.code, checkpoint=None)
            case Interrupted():
                self.runs[entry.run] = replace(self.runs[entry.run], state="interrupted", ended=entry.time, code=entry.code)
            case Resumed():
                run = self.runs[entry.run]
                self.runs[entry.run] = replace(run, state="open", ended=None, code=None, slots=run.slots + entry.slots)
            case Checkpointed():
                run = self.runs[entry.run]
                self._drop_checkpoint(run)
                self.things[entry.made.digest] = Thing(entry.made, index, entry.run, entry.time, None)
                self.runs[entry.run] = replace(run, checkpoint=entry.made, step=entry.step)
            case Leased():
                run = self.runs[entry.run]
                self.runs[entry.run] = replace(run, granted=run.granted + entry.steps)
            case PolicySet():
                self.policy = entry
            case BudgetSet():
                self.accounts.limited(entry)
            case BudgetFrozen():
                self.accounts.froze(entry)
            case Delete():
                self._mark(entry.objects, "begun")
            case Deleted():
                self._mark(entry.objects, "finished")
                self.generation = max(self.generation, entry.generation)
            case Released():
                run = self.runs[entry.run]
                self.runs[entry.run] = replace(run, state="done", ended=entry.time, statement=entry.statement, outcome_index=index)
                self.releases[entry.name] = (index, entry)
            case Opened() | Revealed() | Exported() | Alarm() | Filtered() | Guarded():
                pass

    def live(self) -> dict[str, Thing]:
        """Return the objects that exist and may be opened, by digest."""
        return {digest: thing for digest, thing in self.things.items() if thing.deletion == "none"}

    def run(self, name: str) -> Run:
        """Return the run of that id, or of an unambiguous beginning of it.

        Raises: UnknownRun, AmbiguousName.
        """
        found = [run for key, run in self.runs.items() if key == name] or [run for key, run in self.runs.items() if key.startswith(name)]
        if not found or not name:
            raise UnknownRun(run=name)
        if len(found) > 1:
            raise AmbiguousName(name=name, candidates=", ".join(run.id for run in found[:5]))
        return found[0]

    def resolve(self, text: str) -> Thing:
        """Return the set that `name`, `name@stage`, `name@masked:PROFILE` or its digest means.

        A bare name is the last arrow's output on its newest import.

        Raises: UnknownName, AmbiguousName.
        """
        live = self.live()
        if text in live and live[text].made.kind in _SETS:
            return live[text]
        name, _, stage = text.partition("@")
        stage, _, profile = stage.partition(":")
        named = [t for t in live.values() if t.made.name == name and t.made.kind in _SETS]
        sealed = [t for t in named if t.made.stage == "sealed"]
        newest = max(sealed, key=lambda t: t.index).made.digest if sealed else None
        wanted = [
            t
            for t in named
            if (t.made.stage == stage if stage else t.made.stage in _ARROW_STAGES) and (not profile or t.made.profile == profile)
        ]
        current = [t for t in wanted if t.origin == newest] or wanted
        if not current:
            known = sorted({t.made.name for t in live.values() if t.made.kind == "set" and t.made.stage in _ARROW_STAGES})
            raise UnknownName(name=text, known=", ".join(known) or "-")
        profiles = {t.made.profile for t in current if t.made.stage == "masked"}
        if stage == "masked" and not profile and len(profiles) > 1:
            raise AmbiguousName(name=text, candidates=", ".join(sorted(f"{name}@masked:{p}" for p in profiles)))
        return max(current, key=lambda t: t.index)

    def find(self, text: str) -> Thing:
        """Return the set that `resolve` means, a tagger as `NAME@tagger`, or any object by its digest or the first 8 digits of it or more.

        Raises: UnknownName, UnknownTagger, AmbiguousName.
        """
        if text.endswith(_TAGGER):
            return self.tagger(text.removesuffix(_TAGGER))
        try:
            return self.resolve(text)
        except UnknownName:
            found = [thing for digest, thing in self.live().items() if digest.startswith(text)] if _PREFIX.fullmatch(text) else []
            if not found:
                raise
        if len(found) > 1:
            raise AmbiguousName(name=text, candidates=", ".join(sorted(thing.made.digest[:16] for thing in found)))
        return found[0]

    def tagger(self, name: str) -> Thing:
        """Return the newest tagger of that name.

        Raises: UnknownTagger.
        """
        taggers = [thing for thing in self.live().values() if thing.made.kind == "tagger"]
        found = [thing for thing in taggers if thing.made.name == name]
        if not found:
            raise UnknownTagger(name=name, known=", ".join(sorted({thing.made.name for thing in taggers})) or "-")
        return max(found, key=lambda thing: thing.index)

    def _mark(self, objects: tuple[str, ...], deletion: Literal["begun", "finished"]) -> None:
        for digest in objects:
            if digest in self.things:  # a checkpoint may have been replaced since
                self.things[digest] = replace(self.things[digest], deletion=deletion)

    def _drop_checkpoint(self, run: Run) -> None:
        if run.checkpoint:
            self.things.pop(run.checkpoint.digest, None)
