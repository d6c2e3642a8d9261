"""A frozen linear layer and the two thin matrices beside it as one layer: peft's own value in fewer passes over memory.

peft adds scale · (x·Aᵀ)·Bᵀ to x·Wᵀ: it writes the product, writes it again scaled, and writes the sum, as large as the layer's output each, and so again on
the way back. Here the scale goes to the rank-sized part, and both products of a way are added up in place by the multiplication itself.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ringfence.privacy.factors import Factors
from ringfence.privacy.layers import Told, told


class _LowRank(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """x·Wᵀ + bias + scale · (x·Aᵀ)·Bᵀ."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        layer: nn.Linear,
        a: Tensor,
        b: Tensor,
        scale: float,
        tellers: tuple[Told | None, Told | None],
    ) -> Tensor:
        """Return [batch, ..., out]. x: [batch, ..., in].  a: [rank, in].  b: [out, rank].  tellers: who is told instead of a and b."""
        flat = x.reshape(-1, x.shape[-1])
        low = (flat @ a.T).mul_(scale)  # [n, rank]
        out = functional.linear(flat, layer.weight, layer.bias).addmm_(low, b.T)
        ctx.save_for_backward(x, low, layer.weight, a, b)
        ctx.scale, ctx.tellers = scale, tellers
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        """Return the gradients of x, a and b. slope: [batch, ..., out]."""
        x, low, weight, a, b = ctx.saved_tensors
        flat = slope.reshape(-1, slope.shape[-1])
        back = (flat @ b).mul_(ctx.scale)  # [n, rank]
        of_x = (flat @ weight).addmm_(back, a).view_as(x) if ctx.needs_input_grad[0] else None
        of_a = _gradient(back, x.reshape(-1, x.shape[-1]), len(x), ctx.tellers[0]) if ctx.needs_input_grad[2] else None
        of_b = _gradient(flat, low, len(x), ctx.tellers[1]) if ctx.needs_input_grad[3] else None
        return of_x, None, of_a, of_b, None, None


def _gradient(left: Tensor, right: Tensor, batch: int, teller: Told | None) -> Tensor | None:
    """Return leftᵀ · right, or tell what each row adds to it. left: [n, out].  right: [n, in]."""
    if teller is None:
        return left.T @ right
    teller.collector.take(teller.names["weight"], Factors(left.view(batch, -1, left.shape[-1]), right.view(batch, -1, right.shape[-1])))
    return None


def fuse(model: nn.Module) -> None:
    """Let every LoRA layer of a model be computed in one step, as long as it is what `_LowRank` says; peft's own forward stays for whatever else it is."""
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.forward = partial(_forward, layer)  # a copy of the model computes with layers of its own


def _forward(layer: Any, x: Tensor, *args: object, **kwargs: object) -> Tensor:  # noqa: ANN401  peft is untyped
    if args or kwargs or not _is_low_rank(layer, x):
        return cast("Tensor", type(layer).forward(layer, x, *args, **kwargs))
    (name,) = layer.active_adapters
    a, b = layer.lora_A[name], layer.lora_B[name]
    return cast("Tensor", _LowRank.apply(x, layer.base_layer, a.weight, b.weight, layer.scaling[name], (told(a), told(b))))


def _is_low_rank(layer: Any, x: Tensor) -> bool:  # noqa: ANN401
    """Return whether a layer adds one pair of matrices to a frozen one, of the type of x, and drops nothing."""
    base, active = layer.base_layer, layer.active_adapters
    is_plain = type(base) is nn.Linear and not base.weight.requires_grad and not layer.disable_adapters and not layer.merged
    if not is_plain or len(active) != 1 or active[0] not in layer.lora_A or active[0] in layer.lora_variant:
        return False
    drops = layer.training and not isinstance(layer.lora_dropout[active[0]], nn.Identity)
    return not drops and x.dtype == base.weight.dtype == layer.lora_A[active[0]].weight.dtype and not _casts(x)


def _casts(x: Tensor) -> bool:
    return bool(torch.is_autocast_enabled(x.device.type))
