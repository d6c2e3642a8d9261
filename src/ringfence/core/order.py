"""What the two halves of an arrow say to each other: order, keys, figures, failure. Shared by both, imported by every job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, Field, ValidationInfo

from ringfence.core.errors import ROWS_NAMED
from ringfence.core.settings import Digest, RunId, Settings, SlotId

S = TypeVar("S", bound=Settings)
S_co = TypeVar("S_co", bound=Settings, covariant=True)
_Value = TypeVar("_Value")

ObjectKind = Literal[
    "set",
    "quarantine",
    "spans",
    "register",
    "adapter",
    "checkpoint",
    "filter",
    "guard",
    "tagger",
    "figures",
    "account",
    "review",
    "candidates",
    "dictionary",
]
Tier = Literal["T0", "T1"]


class StoredFile(Settings):
    """One ciphertext file of an object."""

    name: Annotated[str, Field(pattern=r"^[0-9a-z][0-9a-z._-]{0,63}$")]
    size: Annotated[int, Field(ge=0)]
    sha256: Digest


class Slot(Settings):
    """Where an object is read or written: `path` is a folder as the child sees it, never a host path under T1."""

    slot: SlotId
    tenant: SlotId
    version: Annotated[int, Field(ge=1)] = 1
    kind: ObjectKind
    path: str
    files: tuple[StoredFile, ...] = ()  # of an input, in order; empty for an output


class Limits(Settings):
    """Hard limits of one job."""

    seconds: Annotated[float, Field(gt=0)] = 3600.0
    memory: Annotated[int, Field(gt=0)] = 8 << 30  # bytes
    threads: Annotated[int, Field(gt=0)] = 1
    workers: Annotated[int, Field(gt=0)] = (
        1  # processes that share the work, in jobs that can be shared; the result is the same for any number
    )


class Order(Settings, Generic[S]):
    """Everything a child is told. It names no code, no host path and holds no key."""

    job: str
    run: RunId
    tenant: SlotId
    settings: S
    inputs: Mapping[str, Slot] = {}  # by role, for example "set"
    outputs: Mapping[str, Slot] = {}
    files: Mapping[str, str] = {}  # plain files and folders bound read-only, by role: "source", "model"
    digests: Mapping[str, Digest] = {}  # of plain files that a child must not read unless they are these, by file name: SHA-256
    vocabulary: tuple[str, ...] = ()  # the only words that counts in the figures may use as keys
    limits: Limits = Limits()


@dataclass(frozen=True)
class Keys:
    """The keys of one job. Never printed."""

    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # slot id -> Tink keyset
    purpose: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # name -> 32 bytes


# ── figures: the only thing a child may say about what it saw ─────────────────────────────────────────────────────────


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


LARGEST = 1e15  # no figure of ours is larger; a double could hide 1,000 bits in its range


def _in_vocabulary(counts: dict[str, _Value], info: ValidationInfo) -> dict[str, _Value]:
    allowed = (info.context or {}).get("vocabulary")
    if allowed is not None and not counts.keys() <= set(allowed):
        raise ValueError("a key is not in the order's vocabulary")
    return counts


Count = Annotated[int, Field(ge=0, le=1 << 53)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST), AfterValidator(_six_digits)]
Series = Annotated[tuple[Number, ...], Field(max_length=10_000)]
Counts = Annotated[dict[str, Count], Field(max_length=1_000), AfterValidator(_in_vocabulary)]
Few = Annotated[tuple[Count, ...], Field(max_length=ROWS_NAMED)]
FewOfEach = Annotated[dict[str, Few], Field(max_length=1_000), AfterValidator(_in_vocabulary)]


class Figures(Settings):
    """Base of every job's result. Fields are numbers, enumerations, bounded series or counts; a `str` is a TypeError.

    `public` names the fields that may stand in a signed statement; the others go into a sealed object that the statement names.
    """

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the names of the fields that are not computed from the content of real rows."""
        return frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401  pydantic's own signature
        super().__pydantic_init_subclass__(**kwargs)
        for name, info in cls.model_fields.items():
            if not _is_closed(info.annotation, bounded=_is_bounded(info.metadata)):
                raise TypeError(f"{cls.__name__}.{name} could carry text: {info.annotation}")


def _is_bounded(metadata: Iterable[Any]) -> bool:
    return any(getattr(m, "max_length", None) is not None for m in metadata)


def _is_closed(kind: Any, *, bounded: bool = False) -> bool:  # noqa: ANN401  an annotation is any object
    if kind in (int, float, bool, NoneType):
        return True
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _is_closed(args[0], bounded=_is_bounded(m for extra in args[1:] for m in (getattr(extra, "metadata", None) or [extra])))
    if origin in (Union, UnionType):
        return all(_is_closed(arg, bounded=bounded) for arg in args)
    if origin is tuple:
        return bounded and all(arg is Ellipsis or _is_closed(arg) for arg in args)
    if origin is dict:  # only Counts: its keys are checked against the order's vocabulary
        return bounded and args[0] is str and _is_closed(args[1])
    return origin is Literal or (isinstance(kind, type) and issubclass(kind, (Enum, Figures)))


class Failure(Settings):
    """Why a child stopped. `error` is a class of the closed error tree, or a built-in exception's name."""

    error: Annotated[str, Field(pattern=r"^[A-Za-z]{1,64}$")]
    at: Annotated[str, Field(pattern=r"^(ringfence(\.[a-z0-9_]{1,32}){1,3}|unknown):[0-9]{1,6}$")]  # module:line, printed only if it exists
    facts: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")], Count | Number | Few], Field(max_length=32)] = Field(
        default_factory=dict
    )


class Progress(Settings):
    """How far a child has come. `loss` is for the eyes of the operator and stays inside the workspace."""

    done: Count
    total: Count
    loss: Number | None = None
    reward: Number | None = None  # of the answers of a step, where a model learns from its own; as the loss
    phase: Literal["load", "read", "work", "rows", "spans", "reference", "evaluate", "answer", "write"] = "work"


class CheckpointReady(Settings):
    """A child finished a checkpoint in the slot it was given."""

    step: Count
    loss: Number | None = None


class CheckpointGrant(Settings):
    """The host committed the checkpoint; the next one goes here. `stop` asks the child to end after it."""

    next: Slot
    stop: bool = False


class Lease(Settings):
    """Steps of a private run: how many a child asks for, and how many the host has put on record and grants. 0: the plan is spent."""

    steps: Count


class Channel(Protocol):
    """The child's end of its conversation with the host."""

    def progress(self, progress: Progress) -> None:
        """Say how far the job has come."""
        ...

    def checkpoint(self, ready: CheckpointReady) -> tuple[CheckpointGrant, bytes]:
        """Announce a checkpoint; return the next slot and its data key once the host has committed it."""
        ...

    def lease(self, steps: int) -> int:
        """Ask for more steps of the run's plan; return how many may be made now, once the host has put them on record. 0: none is left."""
        ...

    def should_stop(self) -> bool:
        """Return True when the host asked the job to stop soon. Never blocks."""
        ...

    def say(self, text: str) -> None:
        """Send text to the person; refused by the host for every job that is not marked `text_channel`."""
        ...

    def hear(self) -> str | None:
        """Return the person's next text, or None at the end of the conversation."""
        ...


@dataclass(frozen=True)
class Child(Generic[S]):
    """All that a child half receives: `run(child: Child[XSettings]) -> XFigures` in `<concept>/job.py`."""

    order: Order[S]
    keys: Keys
    channel: Channel
