"""Kahneman-Tversky optimisation: liked answers shall gain more than answers to other questions do, disliked ones less.

Source: Ethayarajh et al. 2024 (arXiv:2402.01306), equations 7 and 8; the reference point as TRL estimates it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ringfence.train.answers import losses_of
from ringfence.train.data import Batch, Example, Tokens
from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Feedback


@OBJECTIVES.add("kto.v1")
class KahnemanTversky(Feedback):
    """The reference point is a mean over `per_device_train_batch_size` rows, of answers that other rows gave: no row's loss is its own."""

    per_example = False

    def complete(self, examples: list[Example]) -> list[Example]:
        """Return the rows, each with its question before the answer of the row that stands before it."""
        most = self.settings.cutoff_len
        return [
            example._replace(other=_mismatched(example, before, most))
            for example, before in zip(examples, [*examples[-1:], *examples[:-1]], strict=True)
        ]

    def zero(self, model: Any, batch: Batch, rows: int) -> Tensor | float:  # noqa: ANN401
        """Return the mean gain of mismatched answers, or zero where it is negative."""
        with torch.no_grad():
            summed, _ = losses_of(model, Batch(batch.ids[rows:], batch.learn[rows:]), chunk=self.chunk)
        reference = torch.zeros_like(summed) if batch.reference is None else batch.reference[rows:]
        return (-summed - reference).mean().clamp(min=0.0)


def _mismatched(example: Example, before: Example, most: int) -> Tokens:
    question, answer = (ids[wanted] for ids, wanted in ((example.ids, ~example.learn), (before.ids, before.learn)))
    ids = np.concatenate([question, answer])[:most]
    return Tokens(ids, np.arange(len(ids)) >= len(question))
