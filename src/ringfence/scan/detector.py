"""What a detector is, and where all of them are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ringfence.core.records import Record
from ringfence.core.registry import Registry

Scores = NDArray[np.float64]


class Records(Protocol):
    """Records that can be read in order as often as needed; a stored set is one, so is a list."""

    def __iter__(self) -> Iterator[Record]: ...

    def __len__(self) -> int: ...


class Detector(Protocol):
    """Finds rows that look planted. Deterministic; holds at most some bytes a row, never the texts."""

    threshold: float
    alone: bool  # each record is judged by itself: the others change nothing of its score

    def score(self, records: Records) -> Scores:
        """Return how suspicious each record is, [n]; at or above `threshold` it is flagged. Makes few passes over `records`."""
        ...

    def example(self, record: Record) -> Record:
        """Return `record` poisoned in the way that this detector finds; the contract test plants it among clean records."""
        ...


DETECTORS: Registry[Detector] = Registry("detector", "ringfence.scan.detectors")
