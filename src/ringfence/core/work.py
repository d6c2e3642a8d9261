"""What the workspace hands to `jobs` and what it gets back: the host's view of one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from ringfence.core.order import Figures, Keys, Limits, Slot, Tier
from ringfence.core.settings import Settings
from ringfence.core.statement import SandboxReport

S = TypeVar("S", bound=Settings)
F_co = TypeVar("F_co", bound=Figures, covariant=True)


@dataclass(frozen=True)
class Input:
    """A stored object that a child may read: its slot and where it lies on the host."""

    slot: Slot
    folder: Path


@dataclass(frozen=True)
class Work(Generic[S]):
    """What a flow wants done. `jobs.start` turns it into an order once the sandbox says which paths the child sees."""

    job: str
    run: str
    tenant: str
    settings: S
    tier: Tier = "T1"
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: Mapping[str, Slot] = field(default_factory=dict)
    incoming: Path | None = None  # host folder with one sub-folder per output slot; the only place that the child may write
    files: Mapping[str, Path] = field(default_factory=dict)  # plain files and folders, read-only
    digests: Mapping[str, str] = field(
        default_factory=dict
    )  # SHA-256 of files in those folders that the child compares first, by file name
    vocabulary: tuple[str, ...] = ()
    keys: Keys = field(default_factory=Keys)
    limits: Limits | None = None  # None = those of the job table


@dataclass(frozen=True)
class Done(Generic[F_co]):
    """An accepted result."""

    figures: F_co
    sandbox: SandboxReport
    seconds: Mapping[str, float]  # wall seconds: "sandbox" (start and self-test), "job"
    cpu_seconds: Mapping[str, float]
