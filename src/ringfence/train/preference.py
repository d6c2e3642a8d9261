"""What all objectives over compared or judged answers share; each says in its own file what a row loses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ringfence.core.records import Record
from ringfence.train.answers import losses_of
from ringfence.train.data import Batch, Example, encode_judged, encode_pair
from ringfence.train.settings import TrainSettings


class Said(NamedTuple):
    """How the model says one answer of each row."""

    log_p: Tensor  # [pairs] float32, natural, of all its tokens
    tokens: Tensor  # [pairs] float32
    reference: Tensor  # [pairs] float32, log_p before training; zero where the objective does not ask for it

    @property
    def mean(self) -> Tensor:
        """Return the log probability of a token [pairs]."""
        return self.log_p / self.tokens.clamp(min=1.0)

    @property
    def gain(self) -> Tensor:
        """Return how much more likely the answer has become, as a logarithm [pairs]."""
        return self.log_p - self.reference


class Each:
    """One loss of each row, which weighs as much as any other, from what the row itself says and what the model was before training."""

    per_example = True
    needs_reference = True

    def __init__(self, *, settings: TrainSettings, head_chunk: int = 128) -> None:
        self.settings, self.chunk = settings, head_chunk

    def complete(self, examples: list[Example]) -> list[Example]:
        """Return the rows."""
        return examples

    def weight(self, example: Example) -> int:  # noqa: ARG002  rows are alike
        """Return one."""
        return 1


class Preference(Each, ABC):
    """One loss of each pair; `pref_ftx` adds the loss of a token of the preferred answer."""

    @abstractmethod
    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""

    def read(self, record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401  transformers is untyped
        """Return a record with two compared answers, of which the answers alone are predicted."""
        return encode_pair(record, tokenizer)

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return (loss [pairs], ones [pairs]), both float32."""
        summed, tokens = losses_of(model, batch, chunk=self.chunk)
        reference = torch.zeros_like(summed) if batch.reference is None else batch.reference
        pairs = len(summed) // 2
        chosen, rejected = (Said(*parts) for parts in zip(*(of_both.split(pairs) for of_both in (-summed, tokens, reference)), strict=True))
        found = self.loss(chosen, rejected)
        if self.settings.pref_ftx:
            found = found - self.settings.pref_ftx * chosen.mean
        return found, torch.ones_like(found)


class Feedback(Each):
    """One loss of each row with an answer that people liked or did not: 1 − σ(β · (gain − z)) or 1 − σ(β · (z − gain)), z being the gain of `zero`."""

    def zero(self, model: Any, batch: Batch, rows: int) -> Tensor | float:  # noqa: ANN401, ARG002  as a subclass needs them
        """Return the gain that a liked answer shall exceed and another stay below."""
        return 0.0

    def read(self, record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401
        """Return a record with a judged answer, which alone is predicted."""
        return encode_judged(record, tokenizer)

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return (loss [rows], ones [rows]), both float32."""
        assert batch.liked is not None  # noqa: S101  rows are collated with it
        rows = len(batch.liked)
        own = Batch(batch.ids[:rows], batch.learn[:rows])
        summed, _ = losses_of(model, own, chunk=self.chunk)
        reference = torch.zeros_like(summed) if batch.reference is None else batch.reference[:rows]
        above = self.settings.pref_beta * (-summed - reference - self.zero(model, batch, rows))
        weights = torch.where(batch.liked, self.settings.kto_chosen_weight, self.settings.kto_rejected_weight)
        return weights * torch.where(batch.liked, -above, above).sigmoid(), torch.ones_like(summed)
