"""Supervised fine-tuning: cross-entropy of the answer's tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ringfence.train.data import Batch
from ringfence.train.head import cross_entropy, row_losses
from ringfence.train.objective import OBJECTIVES


@OBJECTIVES.add("sft.v1")
class SupervisedFineTuning:
    """Loss and number of predicted tokens of each row. Row i depends on example i alone."""

    per_example = True

    def __init__(self, *, head_chunk: int = 128) -> None:
        self._chunk = head_chunk

    def losses(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401  transformers is untyped
        """Return (summed loss [batch], predicted tokens [batch]), both float32.

        The backbone runs without its head; only positions that predict an answer's token meet the head.
        """
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        hidden = getattr(base, base.base_model_prefix)(input_ids=batch.ids, use_cache=False).last_hidden_state  # [batch, seq, d]
        predicts = batch.learn[:, 1:]  # position t predicts the token at t + 1
        head = base.get_output_embeddings()
        if any(weight.requires_grad for weight in head.parameters()):
            losses = row_losses(head, hidden[:, :-1], batch.ids[:, 1:], predicts, chunk=self._chunk)
            return losses.float(), predicts.sum(dim=1).float()
        rows = predicts.nonzero()[:, 0]  # [n], the row of each predicted token
        each = cross_entropy(hidden[:, :-1][predicts], head.weight, batch.ids[:, 1:][predicts], chunk=self._chunk)  # [n]
        losses = torch.zeros(len(batch.ids), dtype=torch.float32, device=each.device).index_add(0, rows, each)
        return losses, predicts.sum(dim=1).float()
