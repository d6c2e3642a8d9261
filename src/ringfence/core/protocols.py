"""What a lower layer may ask of a higher one; handed in, never imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Recorder(Protocol):
    """Writes what is about to happen or has happened where it cannot be changed unnoticed."""

    def record(self, entry: dict[str, Any]) -> int:
        """Append one entry durably and return its index; raise LedgerUnavailable if that is impossible."""
        ...


class Scorer(Protocol):
    """A language model as scan and audit see it."""

    def log_likelihoods(self, prompts: Sequence[str], answers: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return per-token natural-log probabilities of each answer given its prompt: [n][tokens of the answer]."""
        ...
