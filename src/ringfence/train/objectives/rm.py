"""Reward modelling: the preferred answer shall be worth more than the other one.

Source: Bradley and Terry 1952; Ouyang et al. 2022 (arXiv:2203.02155), equation 1, of a pair.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ringfence.core.records import Record
from ringfence.train.data import Batch, Example, encode_whole_pair
from ringfence.train.judge import rewards_of
from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Each


@OBJECTIVES.add("rm.v1")
class RewardModel(Each):
    """−log σ(reward of the preferred − reward of the other). Row i depends on example i alone."""

    needs_reference = False

    def read(self, record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401  transformers is untyped
        """Return a record with two compared answers, each as a whole conversation."""
        return encode_whole_pair(record, tokenizer)

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return (loss [pairs], ones [pairs]), both float32."""
        chosen, rejected = rewards_of(model, batch).chunk(2)
        return -logsigmoid(chosen - rejected), torch.ones_like(chosen)
