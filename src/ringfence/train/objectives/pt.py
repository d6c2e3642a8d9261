"""Pre-training goes on: cross-entropy of every token of a text."""

from __future__ import annotations

from typing import Any

import numpy as np

from ringfence.core.records import Record
from ringfence.train.data import Example
from ringfence.train.objective import OBJECTIVES
from ringfence.train.objectives.sft import SupervisedFineTuning


@OBJECTIVES.add("pt.v1")
class PreTraining(SupervisedFineTuning):
    """Loss and number of predicted tokens of each row, all but its first one. A conversation is read as its chat template writes it."""

    def read(self, record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401  transformers is untyped
        """Return a record of any kind, but for an answer that people disliked."""
        example = super().read(record, tokenizer)
        return example and example._replace(learn=np.arange(len(example.ids)) > 0)
