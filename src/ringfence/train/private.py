"""The private step: per-unit clipping, one draw of secure noise, division by a public constant.

Source: Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, with units instead of examples and the expected instead of the drawn batch size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from ringfence.core.errors import LossNotFinite, NotPerExample
from ringfence.privacy.clip import UnitSums
from ringfence.privacy.noise import SecureNoise
from ringfence.privacy.plan import DPPlan
from ringfence.train.data import Example, Pass, pack, split
from ringfence.train.joined import is_worth
from ringfence.train.schedule import noise_gain
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.team import Team
from ringfence.train.trainer import Trainer

_NOISE_MOVES = 60.0  # measured: docs/privacy.md, section 7
_TOKENS = 512  # of a pass: 1,024 took 0 to 3 % less time on a processor, 256 some 2 % more, 128 an eighth more (SmolLM2, rank 64)
_LARGER = 2.3  # times what is kept: gradients of a pass of 1,024 tokens that cost less than 5 % of memory; two passes cost 9 % of time
_FASTEST = 4.0  # rate · clip norm / (1 − momentum): what one clipped gradient moves the weights, at the most, whatever the noise is


class PrivateTrainer(Trainer):
    """A trainer whose every step is one use of the Gaussian mechanism."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401  transformers is untyped
        settings: TrainSettings,
        *,
        plan: DPPlan,
        hints: RuntimeHints,
        padding: int,
        device: str,
        team: Team | None = None,
    ) -> None:
        super().__init__(model, settings, hints=hints, padding=padding, device=device, team=team)
        if not self.objective.per_example:
            raise NotPerExample
        self._plan = plan
        self._sums = UnitSums(self.model, self.method.parameters(), clip_norm=plan.clip_norm, clipping=plan.clipping)
        self._noise = SecureNoise() if self.team.leads else None

    @property
    def joins(self) -> bool:
        """Return whether two answers may share their question: a head that is trained is met by each answer, and could not tell which row it belongs to."""
        return not (self.settings.is_whole or self.settings.is_reward)

    @cached_property
    def rate(self) -> float:
        """Return the highest learning rate; where the recipe leaves it open, one at which all noise of the run moves the weights by `_NOISE_MOVES` in L2."""
        if self.settings.learning_rate is not None:
            return self.settings.learning_rate
        clip = self._plan.clip_norm
        noise = self._plan.noise_multiplier * clip * math.sqrt(self.trainable) / self._plan.expected_units
        moves = noise * noise_gain(self.settings, self._plan.steps)
        fastest = _FASTEST * (1 - self.settings.momentum) / clip
        return float(f"{min(fastest, _NOISE_MOVES / moves) if moves else fastest:.3g}")  # a single step may be all warm-up

    def most_rows(self, examples: Sequence[Example]) -> int:
        """Return the most rows of a micro batch: the fewest whose gradients are at least as large as what an ordinary pass keeps to compute activations again.

        Never so few that a pass has less than 512 tokens, which would take more time; 1,024 where their gradients are not much larger than what is
        kept. How rows are grouped changes no sum.
        """
        most = super().most_rows(examples)
        layers = sum(isinstance(one, GradientCheckpointingLayer) and one.gradient_checkpointing for one in self.model.modules())
        if not layers or not examples:
            return most
        longest, sequences = max(one.tokens for one in examples), max(len(one.sequences) for one in examples)
        kept = int(layers * longest * self.model.config.hidden_size * self.model.dtype.itemsize)  # bytes, of a row
        of_one = sum(weight.numel() * weight.element_size() for weight in self.method.parameters().values())
        made = sequences * of_one  # of a row's gradient
        fitting: int = -(-most * kept // made)  # rounded up: what a pass of fewer rows needs at work is smaller, too
        many = min(most, -(-2 * _TOKENS // longest))
        fewest = many if many * made <= _LARGER * most * kept else -(-_TOKENS // longest)
        return min(most, max(1, fewest, fitting))

    def passes(self, examples: Sequence[Example]) -> list[Pass]:
        """Return the micro batches of these rows, unit by unit; units whose pairs are read joined share none with others."""
        most, apart = self.most_rows(examples), {row.unit for row in examples if self._joins and not is_worth([row])}
        kinds = [[row for row in examples if (row.unit in apart) is is_apart] for is_apart in (False, True)]
        return [one for rows in kinds for one in passes(rows, most)]

    def _is_joined(self, one: Pass) -> bool:
        """Return whether a pass reads its pairs joined: all of its units would by themselves, as the two ways round a row's gradient differently."""
        return self._joins and all(is_worth([row]) for row in one.rows)

    def step(self, examples: Sequence[Example], *, step: int, steps: int) -> float | None:
        """Learn from the units of one step and return the mean loss of their rows before the update; None when nobody was drawn.

        The gradient is that of Σ over rows of their mean loss per predicted token, summed per unit, clipped, summed, noised, and divided by the
        expected number of units: nothing about a row is divided by anything that depends on another unit.

        Raises: LossNotFinite when the update itself overflows; a row whose gradient is not finite adds nothing instead.
        """
        found = self.each("clip", [(share,) for share in self.shares(examples)])
        losses = [loss for of_rank in found for loss in of_rank]
        self.each("add_up")
        if not math.isfinite(self.optimiser.step(self._learning_rate(step, steps))):
            raise LossNotFinite(step=step + 1)
        self.each("take_over")
        return sum(losses) / len(losses) if losses else None

    def clip(self, share: Sequence[Pass]) -> list[float]:
        """Go through this rank's share of a step, keep the sum of its units' clipped gradients and return the finite losses of its rows."""
        self._keep_still()
        losses: list[float] = []
        for one in share:
            summed, weights = self.objective.losses(self.model, self._collate(one))
            if not one.counts:
                self.keep_pace(summed)
                self._sums.forget()
                continue
            each = summed / weights.clamp(min=1.0)
            each.sum().backward()
            losses += [value for value in each.detach().tolist() if math.isfinite(value)]
            began = time.perf_counter()
            of_row = self.shape(one)[0] // len(one.rows)  # sequences that the model has read
            places = torch.tensor(one.places * of_row, device=self._device)
            self._sums.gather(places, units=one.units, closes=one.closes)
            self.seconds_clip += time.perf_counter() - began
        return losses

    def _keep_still(self) -> None:
        """Let no module draw anything, whatever dropout the model was made with.

        Masks follow from a public seed and a row's place in its pass: leaving one unit out would move what everybody else adds. Layers that are
        computed again must think that they train.
        """
        self.model.eval()
        for module in self.model.modules():
            if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
                module.training = True

    def add_up(self) -> None:
        """Add the clipped sums of all ranks up; rank 0 draws the step's noise, once, on the total."""
        totals = self.team.add_up(self._sums.result())
        if self.team.leads:
            began = time.perf_counter()
            self.optimiser.assign({name: self._noised(total) for name, total in totals.items()})
            self.seconds_noise += time.perf_counter() - began

    def _noised(self, total: Tensor) -> Tensor:
        """Return (total + noise) / expected units, float32."""
        assert self._noise is not None  # noqa: S101  asked for by rank 0 alone
        scale = self._plan.noise_multiplier * self._plan.clip_norm
        noise = torch.from_numpy(scale * self._noise.normal(total.numel())).to(torch.float32).view(total.shape).to(total.device)
        return total.add_(noise).div_(self._plan.expected_units)


def passes(examples: Sequence[Example], size: int) -> list[Pass]:
    """Return rows as passes of at most `size` rows, unit by unit."""
    of_unit: dict[int, list[Example]] = {}
    for example in examples:
        of_unit.setdefault(example.unit, []).append(example)
    small = [tuple(rows) for rows in of_unit.values() if len(rows) <= size]
    large = [rows for rows in of_unit.values() if len(rows) > size]
    found = [
        Pass([row for unit in group for row in unit], [place for place, unit in enumerate(group) for _ in unit], len(group), closes=True)
        for group in pack(small, size)
    ]
    for rows in large:
        parts = split(rows, size)
        found += [Pass(part, [0] * len(part), 1, closes=number == len(parts)) for number, part in enumerate(parts, 1)]
    return found
