"""Supervised fine-tuning: cross-entropy of the answer's tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ringfence.core.records import Record
from ringfence.train.answers import losses_of
from ringfence.train.data import Batch, Example, encode
from ringfence.train.objective import OBJECTIVES
from ringfence.train.settings import TrainSettings


@OBJECTIVES.add("sft.v1")
class SupervisedFineTuning:
    """Loss and number of predicted tokens of each row. Row i depends on example i alone."""

    per_example = True
    needs_reference = False

    def __init__(self, *, settings: TrainSettings, head_chunk: int = 128) -> None:
        self._settings, self._chunk = settings, head_chunk

    def read(self, record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401  transformers is untyped
        """Return a record of any kind, but for an answer that people disliked; of two that they compared, with the one that they preferred."""
        return None if "disliked" in record.roles else encode(record, tokenizer, self._settings)

    def complete(self, examples: list[Example]) -> list[Example]:
        """Return the rows."""
        return examples

    def weight(self, example: Example) -> int:
        """Return the number of predicted tokens."""
        return example.weight

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return (summed cross-entropy [batch], predicted tokens [batch]), both float32."""
        return losses_of(model, batch, chunk=self._chunk)
