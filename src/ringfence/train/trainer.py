"""One step and one evaluation of any method under any objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ringfence.core.errors import LossNotFinite
from ringfence.train.data import Batch, Example, Pass, collate, deal, split
from ringfence.train.held_out import HeldOut, held_out
from ringfence.train.method import METHODS
from ringfence.train.objective import OBJECTIVES
from ringfence.train.optimiser import Optimiser
from ringfence.train.schedule import learning_rate
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.team import Team
from ringfence.train.usage import peak_memory

_STRIDE = 1_000_003  # keeps the random streams of neighbouring seeds apart
_RANK = 2_654_435_761  # and those of ranks: 2^32 over the golden ratio, as the CPU's generator reads 32 bits of a seed
_PAD = 16  # tokens. On a CPU, bfloat16 kernels are generated for each shape and kept; tensor cores like multiples of 8


class Trainer:
    """A model with its method attached, ready to step.

    On rank 0 of a team it makes every step and evaluation together with the trainers of the other ranks, whose methods it calls.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401  transformers is untyped
        settings: TrainSettings,
        *,
        hints: RuntimeHints,
        padding: int,
        device: str,
        team: Team | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.team = team or Team()
        self.method = METHODS.create(settings.method, settings=settings)
        self.objective = OBJECTIVES.create(settings.objective, head_chunk=hints.head_chunk)
        self.model = self.method.attach(model)
        if hints.checkpointing:
            self.model.enable_input_require_grads()  # or nothing before the first adapter would be differentiated again
            self.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        self.optimiser = Optimiser(self.method.parameters(), settings)
        self._micro_batch = hints.micro_batch or settings.per_device_train_batch_size
        self._multiple = hints.pad_multiple or (_PAD if model.dtype == torch.bfloat16 else 1)
        self._padding, self._device = padding, device
        self.seconds_clip = self.seconds_noise = 0.0  # of privacy, over all steps, on this rank

    @property
    def trainable(self) -> int:
        """Return the number of trained weights."""
        return sum(weight.numel() for weight in self.method.parameters().values())

    @property
    def rate(self) -> float:
        """Return the highest learning rate."""
        assert self.settings.learning_rate is not None  # noqa: S101  no recipe leaves it open but a private one
        return self.settings.learning_rate

    def most_rows(self, examples: Sequence[Example]) -> int:
        """Return the most rows of a micro batch: no more than what gives every rank one."""
        return max(1, min(self._micro_batch, -(-len(examples) // self.team.size)))

    def passes(self, examples: Sequence[Example]) -> list[Pass]:
        """Return the micro batches of these rows."""
        return [Pass(rows, list(range(len(rows))), len(rows)) for rows in split(examples, self.most_rows(examples))]

    def shares(self, examples: Sequence[Example]) -> list[list[Pass]]:
        """Return what each rank does of a step or an evaluation."""
        return deal(self.passes(examples), self.team.size)

    def groups(self, examples: Sequence[Example]) -> list[list[Example]]:
        """Return the rows of each micro batch."""
        return [one.rows for one in self.passes(examples)]

    def shape(self, group: Sequence[Example]) -> tuple[int, int]:
        """Return (rows, tokens a row with padding) of a micro batch."""
        longest = max(len(example.ids) for example in group)
        return len(group), max(longest, min(-(-longest // self._multiple) * self._multiple, self.settings.cutoff_len))

    # ── rank 0 ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def each(self, what: str, of_each: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """Call a method on every rank and return what they answer; see `Team.each`."""
        return self.team.each(self, what, of_each)

    def start(self) -> None:
        """Meet the other ranks, and give them the weights."""
        self.each("meet")
        self.each("take_over")

    def restore(self, state: Mapping[str, Tensor], *, step: int) -> None:
        """Continue from the optimiser's state after `step` steps."""
        self.optimiser.restore(state, step=step)
        self.each("take_over")

    def step(self, examples: Sequence[Example], *, step: int, steps: int) -> float | None:
        """Learn from the rows of one step (counted from 0) and return their mean loss per predicted token, before the update.

        The gradient is that of Σ loss / Σ weight over all rows, however they are grouped into micro batches and dealt to ranks.

        Raises: LossNotFinite, RankLost.
        """
        weight = sum(example.weight for example in examples)
        total: float = sum(self.each("learn", [(share, step, weight) for share in self.shares(examples)]))
        if not math.isfinite(total):
            raise LossNotFinite(step=step + 1)
        self.each("add_up")
        if not math.isfinite(self.optimiser.step(self._learning_rate(step, steps))):
            raise LossNotFinite(step=step + 1)
        self.each("take_over")
        return total

    def evaluate(self, examples: Sequence[Example]) -> HeldOut:
        """Return the mean loss per predicted token, with its standard error.

        Raises: RankLost.
        """
        shares = self.shares(examples)
        found = self.each("losses", [(share,) for share in shares])
        rows = [row for share in shares for one in share for row in one.rows]
        return held_out([loss for of_rank in found for loss in of_rank], [row.weight for row in rows], [row.unit for row in rows])

    # ── every rank ────────────────────────────────────────────────────────────────────────────────────────────────────

    def meet(self) -> None:
        """Return once all ranks are there."""
        self.team.meet(self._device)

    def learn(self, share: Sequence[Pass], step: int, weight: int) -> float:
        """Go through this rank's share of a step, keep the gradient of its losses and return their sum; both are divided by the step's weight."""
        seed = self.settings.seed * _STRIDE + step + self.team.rank * _RANK
        torch.manual_seed(seed)  # dropout, too, depends on the step alone: a resumed run repeats it
        self.model.train()
        total = 0.0
        for one in share:
            losses, _ = self.objective.losses(self.model, self._collate(one.rows))
            loss = losses.sum() / weight
            loss.backward()
            self.optimiser.collect()
            total += float(loss.detach())
        return total

    def add_up(self) -> None:
        """Hand this rank's gradient over; rank 0 goes on with the sum of all."""
        if self.team.size == 1:
            return
        totals = self.team.add_up(self.optimiser.take())
        if self.team.leads:
            self.optimiser.assign(totals)

    def take_over(self) -> None:
        """Go on with the weights of rank 0."""
        self.team.take_over(self.optimiser.masters)
        if not self.team.leads:
            self.optimiser.copy_down()

    def losses(self, share: Sequence[Pass]) -> list[float]:
        """Return the summed loss of each row, in order."""
        self.model.eval()
        found: list[float] = []
        with torch.no_grad():
            for one in share:
                found += self.objective.losses(self.model, self._collate(one.rows))[0].tolist()
        return found

    def memory(self) -> tuple[int, int]:
        """Return the largest memory that this rank held so far, of the machine and of its GPU, in bytes."""
        return peak_memory(), torch.cuda.max_memory_allocated() if self._device == "cuda" else 0

    def _learning_rate(self, step: int, steps: int) -> float:
        return learning_rate(self.settings, steps, step, highest=self.rate)

    def _collate(self, group: Sequence[Example]) -> Batch:
        return collate(group, padding=self._padding, device=self._device, length=self.shape(group)[1])
