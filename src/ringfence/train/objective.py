"""What every objective promises, and the registry of objectives."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from ringfence.core.records import Record
from ringfence.core.registry import Registry
from ringfence.train.data import Batch, Example


class Objective(Protocol):
    """What is minimised: Σ loss / Σ weight over all rows of a step. Made from the settings of the run and the size of a chunk of the head."""

    @property
    def per_example(self) -> bool:
        """True when row i of the result depends on example i alone, which differential privacy needs; else micro batches are those that the recipe writes."""
        ...

    @property
    def needs_reference(self) -> bool:
        """True when it compares the model with what it was before training."""
        ...

    def read(self, record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401  transformers is untyped
        """Return a record as token ids, before it is cut; None where it is of a kind that this objective cannot learn from."""
        ...

    def complete(self, examples: list[Example]) -> list[Example]:
        """Return the rows of a set with what they take from one another; an objective that is per example returns them as they are."""
        ...

    def weight(self, example: Example) -> int:
        """Return the weight of a row that `losses` will return: known before the model runs."""
        ...

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return (summed loss [batch] float32, weight [batch] float32) of each row."""
        ...


OBJECTIVES = Registry[Objective]("objective", package="ringfence.train.objectives")
