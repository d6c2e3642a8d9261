"""The entries of the ledger, as types. Never record text, never a row's HMAC."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ringfence.core.order import ObjectKind
from ringfence.core.settings import Digest, Name, RunId, Settings, SlotId
from ringfence.core.statement import Label, Stage, Step

Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def actor() -> str:
    """Return who runs this process, as the system knows them."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name  # not the environment: anyone can set LOGNAME
    except KeyError:
        user = f"uid-{os.getuid()}"
    return re.sub(r"[^A-Za-z0-9._-]", "_", user)[:32] or "unknown"


class Entry(Settings):
    """What every entry says of itself."""

    v: Literal[1] = 1
    time: Time = Field(default_factory=now)
    actor: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = Field(default_factory=actor)


class Made(Settings):
    """One object that an outcome brought into being."""

    role: str
    digest: Digest  # of the object
    manifest: Digest
    slot: SlotId
    kind: ObjectKind
    stage: Stage
    name: Name
    label: Label
    origin: Digest | None = None  # the sealed or joined set at the beginning of its chain; None = itself
    profile: str | None = None  # de-identification profile of a masked set


class Genesis(Entry):
    """The workspace was made."""

    type: Literal["genesis"] = "genesis"
    format: Literal["ringfence.workspace/1"] = "ringfence.workspace/1"
    tenant: SlotId
    keys: Digest  # fingerprint of the public keys
    solo: bool


class Reserve(Settings):
    """What a private run may spend at most, of the budget that belongs to the units of a set, or of several that were joined."""

    account: Digest  # the account object of the set's import
    also: tuple[Digest, ...] = ()  # those of the other sets that were joined
    noise_multiplier: Annotated[float, Field(gt=0)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    steps: Annotated[int, Field(gt=0)]
    units: Annotated[int, Field(gt=0)] | None = None  # that are sampled from
    max_batch: Annotated[int, Field(gt=0)] | None = None  # units that a step reads at most; None: all that are drawn

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account that the run is charged to."""
        return (self.account, *self.also)


class Intent(Entry):
    """An arrow is about to run."""

    type: Literal["intent"] = "intent"
    run: RunId
    arrow: Step
    name: Name
    inputs: Mapping[str, Digest] = {}
    settings: Digest
    slots: tuple[SlotId, ...] = ()
    policy: Digest | None = None
    reserve: Reserve | None = None  # of a private run


class Leased(Entry):
    """Steps of a private run's reserve were granted: from here on they are spent, whether they are made or not."""

    type: Literal["lease"] = "lease"
    run: RunId
    steps: Annotated[int, Field(gt=0)]


class BudgetSet(Entry):
    """A limit on one account, below that of the policy."""

    type: Literal["budget"] = "budget"
    account: Digest
    epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]


class BudgetFrozen(Entry):
    """Nothing more is spent on the units of one account, for good."""

    type: Literal["freeze"] = "freeze"
    account: Digest


class Outcome(Entry):
    """The arrow succeeded: from here on its objects exist."""

    type: Literal["outcome"] = "outcome"
    run: RunId
    arrow: Step
    made: tuple[Made, ...]
    statement: Digest  # of the signed envelope
    joins: tuple[Digest, ...] = ()  # of an import: accounts that hold some of its units; they are one account from here on


class Failed(Entry):
    """The arrow ended for good without an object."""

    type: Literal["failure"] = "failure"
    run: RunId
    arrow: Step
    code: Annotated[str, Field(pattern=r"^RF-[A-Z]+-\d{3}$")]
    exit_code: int


class Interrupted(Entry):
    """A training run stopped and can be resumed from its last checkpoint."""

    type: Literal["interrupted"] = "interrupted"
    run: RunId
    code: Annotated[str, Field(pattern=r"^RF-[A-Z]+-\d{3}$")]


class Resumed(Entry):
    """An interrupted run goes on."""

    type: Literal["resume"] = "resume"
    run: RunId
    checkpoint: Digest
    slots: tuple[SlotId, ...] = ()


class Checkpointed(Entry):
    """A running training made a checkpoint; the one before it is gone."""

    type: Literal["checkpoint"] = "checkpoint"
    run: RunId
    step: Annotated[int, Field(ge=0)]
    made: Made
    replaces: Digest | None = None


class PolicySet(Entry):
    """The policy that holds from here on."""

    type: Literal["policy"] = "policy"
    digest: Digest
    policy: Mapping[str, Any]


class Delete(Entry):
    """Objects are about to lose their keys; from here on nobody may open them."""

    type: Literal["delete"] = "delete"
    objects: tuple[Digest, ...]


class Deleted(Entry):
    """The keys are gone: `generation` is the tenant-key version of the new ring."""

    type: Literal["deleted"] = "deleted"
    objects: tuple[Digest, ...]
    generation: int


Purpose = Literal["card", "chat", "export", "figures", "gate", "originals", "page", "review", "serve", "terms"]


class Opened(Entry):
    """Somebody looked inside: chat with an unreleased run, a review of masked rows, their originals, an export, a quarantine."""

    type: Literal["open"] = "open"
    object: Digest
    purpose: Purpose


class Revealed(Entry):
    """Somebody was answered about the original behind a stand-in of a masked set. Whoever holds the set's keys can tell which one it was."""

    type: Literal["reveal"] = "reveal"
    object: Digest  # the span table
    ticket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,39}$")]
    stand_in: Digest  # HMAC
    shown: Annotated[int, Field(ge=0)] | None = (
        None  # spellings of the original; 0: none, or several originals share it; None: not counted yet
    )


class Exported(Entry):
    """Record text of a set left the vault as a file in the clear."""

    type: Literal["export"] = "export"
    object: Digest  # the set
    file: Digest  # SHA-256 of what was written
    size: Annotated[int, Field(ge=0)]  # bytes
    rows: Annotated[int, Field(ge=0)]
    format: Literal["jsonl", "parquet"]


class Alarm(Entry):
    """A served bundle was about to tell canaries that were planted in its training; the answer was cut before."""

    type: Literal["alarm"] = "alarm"
    run: RunId  # that trained the adapter
    name: Name  # of the bundle
    count: Annotated[int, Field(gt=0)]  # of canaries


class Filtered(Entry):
    """A service ended that masked identifiers in the answers of a bundle."""

    type: Literal["filter"] = "filter"
    run: RunId  # that trained the adapter
    name: Name  # of the bundle
    profile: Annotated[str, Field(min_length=1, max_length=64)]
    masked: Annotated[
        Mapping[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")], Annotated[int, Field(gt=0)]], Field(max_length=1_000)
    ]


class Guarded(Entry):
    """A service ended whose replay guard refused tokens that would have repeated the training set of a bundle word for word."""

    type: Literal["guard"] = "guard"
    run: RunId  # that trained the adapter
    name: Name  # of the bundle
    answers: Annotated[int, Field(gt=0)]  # with a refused token
    blocked: Annotated[int, Field(gt=0)]  # tokens


class Released(Entry):
    """A bundle may leave."""

    type: Literal["release"] = "release"
    run: RunId
    adapter: Digest
    name: Name
    manifest: Digest  # SHA-256 of manifest.json inside the bundle
    statement: Digest
    evaluated: Digest | None = None  # the set of whose rows its card tells figures


AnyEntry = Annotated[
    Genesis
    | Intent
    | Leased
    | Outcome
    | Failed
    | Interrupted
    | Resumed
    | Checkpointed
    | PolicySet
    | BudgetSet
    | BudgetFrozen
    | Delete
    | Deleted
    | Opened
    | Revealed
    | Exported
    | Alarm
    | Filtered
    | Guarded
    | Released,
    Field(discriminator="type"),
]
PARSE: TypeAdapter[AnyEntry] = TypeAdapter(AnyEntry)
