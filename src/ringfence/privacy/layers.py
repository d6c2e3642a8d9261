"""Layers whose backward hands over the gradient of every row instead of the ordinary one of the weight: one kind of layer, one function.

Each function replaces a layer's forward by one of the same value. A collector is told, after the backward of a use, either the gradient of
every row, or the two factors that it is a product of.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from ringfence.privacy.factors import Factors

Forward = Callable[[Tensor], Tensor]


class Collector(Protocol):
    """Who is told."""

    def take(self, name: str, use: Factors) -> None:
        """Note one use of a matrix by all rows of a pass."""
        ...

    def take_rows(self, name: str, rows: Tensor) -> None:
        """Note the gradient of every row [batch, ...] that one use of a weight makes."""
        ...


class _Linear(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """x · wᵀ + b, whose backward hands what each row adds to the collector and no gradient to weight and bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, collector: Collector, names: Mapping[str, str]) -> Tensor:  # noqa: ANN401, PLR0917
        """Return x · wᵀ + b in the type of x. x: [batch, ..., in].  weight: [out, in].  bias: [out]."""
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        ctx.collector, ctx.names = collector, names
        return functional.linear(x, weight, None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None, None, None]:  # noqa: ANN401
        """Return the gradient of x. slope: [batch, ..., out]."""
        x, weight = ctx.saved_tensors
        slopes = slope.reshape(len(x), -1, slope.shape[-1])
        if "weight" in ctx.names:
            ctx.collector.take(ctx.names["weight"], Factors(slopes, x.reshape(len(x), -1, x.shape[-1])))
        if "bias" in ctx.names:
            ctx.collector.take_rows(ctx.names["bias"], slopes.sum(1))
        return slope @ weight if ctx.needs_input_grad[0] else None, None, None, None, None


class _Embedding(torch.autograd.Function):  # type: ignore[misc]
    """Rows of a weight by their numbers."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor, padding: int | None, collector: Collector, name: str) -> Tensor:  # noqa: ANN401, PLR0917
        """Return the rows [batch, ..., in]. ids: [batch, ...] int64.  padding: the row of the weight that is not learned."""
        ctx.save_for_backward(ids)
        ctx.padding, ctx.collector, ctx.name = padding, collector, name
        return functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, None, None, None, None]:  # noqa: ANN401
        """Return nothing: ids have no gradient. slope: [batch, ..., in]."""
        (ids,) = ctx.saved_tensors
        if ctx.padding is not None:
            slope = slope.masked_fill((ids == ctx.padding)[..., None], 0.0)
        ctx.collector.take(ctx.name, Factors(ids.reshape(len(ids), -1), slope.reshape(len(ids), -1, slope.shape[-1])))
        return None, None, None, None, None


class _EachRow(torch.autograd.Function):  # type: ignore[misc]
    """One and the same weight for every row, so that its gradient comes back row by row."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, like: Tensor, collector: Collector, name: str) -> Tensor:  # noqa: ANN401
        """Return the weight as [batch, 1, ..., *weight.shape], to be added to `like` [batch, ..., *weight.shape] or multiplied with it."""
        ctx.shape, ctx.collector, ctx.name = weight.shape, collector, name
        between = [1] * (like.dim() - 1 - weight.dim())
        return weight.expand(len(like), *between, *weight.shape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, None, None, None]:  # noqa: ANN401
        """Return nothing. slope: [batch, 1, ..., *weight.shape]."""
        rows = slope.reshape(len(slope), *ctx.shape)
        ctx.collector.take_rows(ctx.name, rows.clone())  # what autograd hands over may be another layer's slope, too
        return None, None, None, None


class Told(NamedTuple):
    """Which weights of a layer are covered, by the names that the collector knows them under."""

    layer: Any
    names: Mapping[str, str]
    collector: Collector

    def each_row(self, weight: str, like: Tensor) -> Tensor:
        """Return a weight of the layer for the rows of `like`."""
        whole: Tensor = getattr(self.layer, weight)
        return cast("Tensor", _EachRow.apply(whole, like, self.collector, self.names[weight])) if weight in self.names else whole


def _linear(one: Told) -> Forward:
    def forward(x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):  # it casts what it knows, and knows no function of ours
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return cast("Tensor", _Linear.apply(x, one.layer.weight, one.layer.bias, one.collector, one.names))

    return forward


def _embedding(one: Told) -> Forward:
    def forward(ids: Tensor) -> Tensor:
        return cast("Tensor", _Embedding.apply(ids, one.layer.weight, one.layer.padding_idx, one.collector, one.names["weight"]))

    return forward


def _layer_norm(one: Told) -> Forward:
    def forward(x: Tensor) -> Tensor:
        y = functional.layer_norm(x, one.layer.normalized_shape, eps=one.layer.eps)
        if one.layer.weight is not None:
            y = y * one.each_row("weight", y)
        return y if one.layer.bias is None else y + one.each_row("bias", y)

    return forward


def _rms_norm(one: Told) -> Forward:
    def forward(x: Tensor) -> Tensor:
        y = functional.rms_norm(x, one.layer.normalized_shape, eps=one.layer.eps)
        return y * one.each_row("weight", y)

    return forward


def _scaled(one: Told) -> Forward:
    """Of a layer whose only weight scales the features one by one: it computes the same from a weight of each row."""
    plain = copy.deepcopy(one.layer)

    def forward(x: Tensor) -> Tensor:
        return cast("Tensor", functional_call(plain, {"weight": one.each_row("weight", x)}, (x,)))

    return forward


_KINDS: Mapping[type[nn.Module], Callable[[Told], Forward]] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
}


def _how(layer: Any) -> Callable[[Told], Forward] | None:  # noqa: ANN401  torch is untyped
    if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.scale_grad_by_freq):
        return None  # the first changes the weight as it reads it, the second divides by what other rows hold
    if type(layer).__name__.endswith("RMSNorm") and type(layer) not in _KINDS:  # the families of transformers each have one of their own
        return _scaled if [name for name, _ in layer.named_parameters()] == ["weight"] and layer.weight.dim() == 1 else None
    return _KINDS.get(type(layer))


def cover(layer: Any, names: Mapping[str, str], collector: Collector) -> bool:  # noqa: ANN401
    """Return whether what each row adds to these weights of a layer, {attribute: name}, is now told to the collector in training."""
    how = _how(layer)
    if how is None:
        return False
    one = Told(layer, names, collector)
    plain, private = layer.forward, how(one)  # before the layer knows the collector: what copies the layer must not copy that
    layer.told = one

    def forward(x: Tensor) -> Tensor:
        return private(x) if torch.is_grad_enabled() else cast("Tensor", plain(x))

    layer.forward = forward
    return True


def told(layer: Any) -> Told | None:  # noqa: ANN401
    """Return who is told what each row adds to a layer's weights; None where it is not covered. Who computes a layer in another way than its forward asks."""
    return getattr(layer, "told", None)


def mixes_rows(layer: nn.Module) -> bool:
    """Return whether a layer's output for one row depends on the others, trainable or not."""
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001  what all batch norms are


def kind_of(layer: nn.Module) -> int:
    """Return what a layer that is not covered is, as a place in LAYER_KINDS."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention, nn.Embedding)  # noqa: SLF001
    return next((place for place, kind in enumerate(kinds) if isinstance(layer, kind)), len(kinds))
