"""The language-model head and its cross-entropy on chosen positions only, without ever storing the logits of a batch.

A frozen head is one matrix, met by all chosen positions of all rows at once. A head that is trained is met as the layer that it is, row by row, so that
what each row adds to it can be told apart; its logits are computed again on the way back, some positions at a time.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy as cross_entropy_of_logits
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

_ROUND = 16  # positions. On a CPU, bfloat16 kernels are generated for each shape, and answers have every length


class _ChunkedCrossEntropy(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """Cross-entropy of each position; the gradient of the hidden state is computed in the forward, while its logits exist."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, chunk: int) -> Tensor:  # noqa: ANN401
        """Return the loss of each position [n].

        hidden: [n, d].  head: [vocabulary, d], frozen.  targets: [n].  At most [chunk, vocabulary] logits exist at a time.
        d loss / d hidden = (softmax(logits) - one_hot(target)) @ head, per position.
        """
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        needs = ctx.needs_input_grad[0]
        slope = torch.empty_like(hidden) if needs else None
        for at in range(0, len(hidden), chunk):
            part, wanted = hidden[at : at + chunk], targets[at : at + chunk, None]
            logits = (part @ head.T).float()  # [chunk, vocabulary]
            normaliser = torch.logsumexp(logits, dim=1, keepdim=True)
            losses[at : at + chunk] = (normaliser - logits.gather(1, wanted)).squeeze(1)
            if slope is not None:
                logits.sub_(normaliser).exp_()
                logits.scatter_add_(1, wanted, logits.new_full(wanted.shape, -1.0))
                torch.mm(logits.to(head.dtype), head, out=slope[at : at + chunk])
        if slope is not None:
            ctx.save_for_backward(slope)
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        """Return the gradient of `hidden`, scaled position by position."""
        (slope,) = ctx.saved_tensors
        return slope * grad[:, None].to(slope.dtype), None, None, None


def cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor, *, chunk: int) -> Tensor:
    """Return the cross-entropy of each position [n] in float32; differentiable in `hidden` only.

    hidden: [n, d].  head: [vocabulary, d].  targets: [n] int64.
    """
    if head.requires_grad:
        raise ValueError("the head is trained: its gradient is not computed here")
    count = len(hidden)
    if hidden.dtype == torch.bfloat16 and (missing := -count % _ROUND):
        hidden, targets = pad(hidden, (0, 0, 0, missing)), pad(targets, (0, missing))
    return cast("Tensor", _ChunkedCrossEntropy.apply(hidden, head, targets, chunk))[:count]


def row_losses(head: Any, hidden: Tensor, targets: Tensor, predicts: Tensor, *, chunk: int) -> Tensor:  # noqa: ANN401  torch is untyped
    """Return the summed cross-entropy of each row's chosen positions [batch], float32 or wider; differentiable in the head, too.

    hidden: [batch, seq, d].  targets: [batch, seq] int64.  predicts: [batch, seq] bool, the chosen.  chunk: positions whose logits exist at a time.
    """
    size = max(1, chunk // len(hidden))  # positions of a row
    most = min(-(-int(predicts.sum(dim=1).max()) // size) * size, predicts.shape[1])  # every chunk but the last of one shape
    first = predicts.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]  # [batch, most], the chosen before others
    hidden, targets, predicts = hidden.take_along_dim(first[..., None], dim=1), targets.gather(1, first), predicts.gather(1, first)
    losses = torch.zeros(len(hidden), dtype=torch.float32, device=hidden.device)
    for at in range(0, most, size):
        part = slice(at, at + size)
        some = (hidden[:, part], targets[:, part], predicts[:, part])
        losses = losses + checkpoint(_summed, head, *some, use_reentrant=False, preserve_rng_state=False)
    return losses


def _summed(head: Any, hidden: Tensor, targets: Tensor, predicts: Tensor) -> Tensor:  # noqa: ANN401
    """Return the summed cross-entropy of each row [batch]."""
    logits = head(hidden)  # [batch, some, vocabulary]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    each = cross_entropy_of_logits(logits.transpose(1, 2), targets, reduction="none")
    return each.where(predicts, 0.0).sum(dim=1)
