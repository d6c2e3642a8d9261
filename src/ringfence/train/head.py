"""The language-model head and its cross-entropy on chosen positions only, without ever storing the logits of a batch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

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
