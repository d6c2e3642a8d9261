"""One step and one evaluation of any method under any objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ringfence.core.errors import LossNotFinite
from ringfence.train.data import Batch, Example, collate, split
from ringfence.train.held_out import HeldOut, held_out
from ringfence.train.method import METHODS
from ringfence.train.objective import OBJECTIVES
from ringfence.train.optimiser import Optimiser
from ringfence.train.schedule import learning_rate
from ringfence.train.settings import RuntimeHints, TrainSettings

_STRIDE = 1_000_003  # keeps the random streams of neighbouring seeds apart
_PAD = 16  # tokens. On a CPU, bfloat16 kernels are generated for each shape and kept; tensor cores like multiples of 8


class Trainer:
    """A model with its method attached, ready to step."""

    def __init__(self, model: Any, settings: TrainSettings, *, hints: RuntimeHints, padding: int, device: str) -> None:  # noqa: ANN401
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.method = METHODS.create(settings.method, settings=settings)
        self.objective = OBJECTIVES.create(settings.objective, head_chunk=hints.head_chunk)
        self.model = self.method.attach(model)
        self.optimiser = Optimiser(self.method.parameters(), settings)
        self._micro_batch = hints.micro_batch or settings.per_device_train_batch_size
        self._multiple = hints.pad_multiple or (_PAD if model.dtype == torch.bfloat16 else 1)
        self._padding, self._device = padding, device
        self.seconds_clip = self.seconds_noise = 0.0  # of privacy, over all steps

    @property
    def trainable(self) -> int:
        """Return the number of trained weights."""
        return sum(weight.numel() for weight in self.method.parameters().values())

    def groups(self, examples: Sequence[Example]) -> list[list[Example]]:
        """Return the micro batches of these rows."""
        return split(examples, self._micro_batch)

    def shape(self, group: Sequence[Example]) -> tuple[int, int]:
        """Return (rows, tokens a row with padding) of a micro batch."""
        longest = max(len(example.ids) for example in group)
        return len(group), max(longest, min(-(-longest // self._multiple) * self._multiple, self.settings.cutoff_len))

    def step(self, examples: Sequence[Example], *, step: int, steps: int) -> float | None:
        """Learn from the rows of one step (counted from 0) and return their mean loss per predicted token, before the update.

        The gradient is that of Σ loss / Σ weight over all rows, however they are grouped into micro batches.

        Raises: LossNotFinite.
        """
        torch.manual_seed(self.settings.seed * _STRIDE + step)  # dropout, too, depends on the step alone: a resumed run repeats it
        self.model.train()
        weight = sum(example.weight for example in examples)
        total = 0.0
        for group in self.groups(examples):
            losses, _ = self.objective.losses(self.model, self._collate(group))
            loss = losses.sum() / weight
            loss.backward()
            self.optimiser.collect()
            total += float(loss.detach())
        if not math.isfinite(total):
            raise LossNotFinite(step=step + 1)
        if not math.isfinite(self.optimiser.step(self._learning_rate(step, steps))):
            raise LossNotFinite(step=step + 1)
        return total

    def evaluate(self, examples: Sequence[Example]) -> HeldOut:
        """Return the mean loss per predicted token, with its standard error."""
        self.model.eval()
        found: list[float] = []
        rows: list[Example] = []
        with torch.no_grad():
            for group in self.groups(examples):
                losses, _ = self.objective.losses(self.model, self._collate(group))
                found += losses.tolist()
                rows += group
        return held_out(found, [row.weight for row in rows], [row.unit for row in rows])

    def _learning_rate(self, step: int, steps: int) -> float:
        return learning_rate(self.settings, steps, step)

    def _collate(self, group: Sequence[Example]) -> Batch:
        return collate(group, padding=self._padding, device=self._device, length=self.shape(group)[1])
