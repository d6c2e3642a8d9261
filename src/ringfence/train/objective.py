"""What every objective promises, and the registry of objectives."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from ringfence.core.registry import Registry
from ringfence.train.data import Batch


class Objective(Protocol):
    """What is minimised: Σ loss / Σ weight over all rows of a step."""

    @property
    def per_example(self) -> bool:
        """True when row i of the result depends on example i alone, which differential privacy needs."""
        ...

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401  transformers is untyped
        """Return (summed loss [batch] float32, weight [batch] float32) of each row."""
        ...


OBJECTIVES = Registry[Objective]("objective", package="ringfence.train.objectives")
