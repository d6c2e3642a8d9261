"""What a model makes of the predicted tokens of a batch: the sum of their cross-entropies in each sequence, which every objective starts from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ringfence.train.data import Batch
from ringfence.train.head import cross_entropy, row_losses


def losses_of(model: Any, batch: Batch, *, chunk: int) -> tuple[Tensor, Tensor]:  # noqa: ANN401  transformers is untyped
    """Return (summed cross-entropy, predicted tokens) of each sequence, both float32 [sequences]. chunk: positions whose logits exist at one time.

    The backbone runs without its head; only positions that predict a learned token meet the head.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = _read(getattr(base, base.base_model_prefix), batch)  # [sequences, seq, d]
    predicts = batch.learn[:, 1:]  # position t predicts the token at t + 1
    head = base.get_output_embeddings()
    if any(weight.requires_grad for weight in head.parameters()):
        losses = row_losses(head, hidden[:, :-1], batch.ids[:, 1:], predicts, chunk=chunk)
        return losses.float(), predicts.sum(dim=1).float()
    rows = predicts.nonzero()[:, 0]  # [n], the sequence of each predicted token
    each = cross_entropy(hidden[:, :-1][predicts], head.weight, batch.ids[:, 1:][predicts], chunk=chunk)  # [n]
    losses = torch.zeros(len(batch.ids), dtype=torch.float32, device=each.device).index_add(0, rows, each)
    return losses, predicts.sum(dim=1).float()


def _read(backbone: Any, batch: Batch) -> Tensor:  # noqa: ANN401
    """Return the last hidden states of the padded sequences [sequences, seq, d]; those of padding are anything."""
    if batch.packed is None:
        hidden: Tensor = backbone(input_ids=batch.ids, use_cache=False).last_hidden_state
        return hidden
    # Where positions begin anew and no mask is given, transformers lets a token see its own sequence alone (masking_utils, find_packed_sequence_indices).
    packed = batch.packed
    states = backbone(input_ids=packed.ids, position_ids=packed.positions, use_cache=False).last_hidden_state  # [shared, tokens, d]
    return states.flatten(0, 1).index_select(0, packed.places.flatten()).view(*packed.places.shape, -1)
