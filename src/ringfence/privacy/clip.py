"""Per-example gradients of thin linear layers, clipped per unit and summed, in one backward pass.

Each covered layer's backward computes, instead of the ordinary weight gradient, that of every row: one batched product with exactly its
operations. After the pass the rows of each unit are added up, scaled to the clip norm at most, and summed.

Source: Goodfellow 2015 (arXiv:1510.01799) for rows of a batch; Abadi et al. 2016 (arXiv:1607.00133) for clipping; instantiating is the cheaper
way wherever a layer is thinner than a row is long (Bu et al. 2022, arXiv:2210.00038), as LoRA factors are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ringfence.core.errors import NotCovered


class _Linear(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """x · wᵀ, whose backward hands the gradient of every row to the collector and none to the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, collector: UnitSums, name: str) -> Tensor:  # noqa: ANN401
        """Return x · wᵀ. x: [batch, ..., in].  weight: [out, in]."""
        ctx.save_for_backward(x, weight)
        ctx.collector, ctx.name = collector, name
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None, None]:  # noqa: ANN401
        """Return the gradient of x. slope: [batch, ..., out]."""
        x, weight = ctx.saved_tensors
        ctx.collector.take(ctx.name, x, slope)
        return slope @ weight if ctx.needs_input_grad[0] else None, None, None, None


class UnitSums:
    """The sum over units of clipped gradients. Zeroing out one unit moves it by `clip_norm` at most, in L2 over all weights.

    Needs: the first axis of every covered layer's input is the row, and the loss is a sum over rows each of which depends on its own row alone.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, nn.Parameter], *, clip_norm: float) -> None:
        """Cover `weights`, which must be all that is trainable in `model`.

        Raises: NotCovered for a trainable weight that is not the plain weight of one linear layer: its gradient could not be bounded.
        """
        self._clip_norm = clip_norm
        self._weights = dict(weights)
        self._rows: dict[str, Tensor] = {}  # [batch, out, in], of the pass that has just gone back
        self._units: dict[str, Tensor] = {}  # [units, out, in], of units that are not complete yet
        self._sums: dict[str, Tensor] = {}  # [out, in], float32 or wider
        self._cover(model)

    def _cover(self, model: nn.Module) -> None:
        names = {id(weight): name for name, weight in self._weights.items()}
        left = {id(weight) for weight in model.parameters() if weight.requires_grad} | names.keys()
        for layer in model.modules():
            name = names.get(id(layer.weight)) if type(layer) is nn.Linear else None
            if name is not None and layer.bias is None:
                if id(layer.weight) not in left:
                    raise NotCovered(weights=1)  # two layers share the weight
                left.remove(id(layer.weight))
                self._patch(layer, name)
        if left:
            raise NotCovered(weights=len(left))

    def _patch(self, layer: nn.Linear, name: str) -> None:
        plain = layer.forward

        def forward(x: Tensor) -> Tensor:
            if layer.training and torch.is_grad_enabled():
                return cast("Tensor", _Linear.apply(x, layer.weight, self, name))
            return cast("Tensor", plain(x))

        layer.forward = forward

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is untyped here
    def take(self, name: str, x: Tensor, slope: Tensor) -> None:
        """Keep the gradient of every row of one layer. x: [batch, ..., in].  slope: [batch, ..., out]."""
        x, slope = x.reshape(len(x), -1, x.shape[-1]), slope.reshape(len(slope), -1, slope.shape[-1])
        rows = torch.bmm(slope.transpose(1, 2), x)  # [batch, out, in]
        before = self._rows.get(name)  # a layer that is met twice: what a row adds is the sum
        self._rows[name] = rows if before is None else before.add_(rows)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def gather(self, unit_of_row: Tensor, *, units: int, closes: bool = True) -> None:
        """Add the rows of the pass that has just gone back to their units; when it closes, clip these and add them to the sums.

        unit_of_row: [batch] int64, each below `units`, which stays the same until a pass closes. closes: no more rows of these units follow.

        Raises: RuntimeError when the pass did not go through every covered layer row by row.
        """
        if self._rows.keys() != self._weights.keys() or any(len(rows) != len(unit_of_row) for rows in self._rows.values()):
            raise RuntimeError("a covered layer did not see the rows of this pass")
        one_each = closes and not self._units and units == len(unit_of_row) and unit_of_row.tolist() == list(range(units))
        for name, rows in self._rows.items():
            if one_each:  # no copy: these are the units already
                self._units[name] = rows
                continue
            if name not in self._units:
                self._units[name] = torch.zeros((units, *rows.shape[1:]), dtype=_wide(rows), device=rows.device)
            self._units[name].index_add_(0, unit_of_row, rows.to(_wide(rows)))
        self._rows = {}
        if closes:
            self._close()

    def _close(self) -> None:
        """Clip the open units and add them to the sums.

        A unit whose gradient is not finite adds nothing. Norms are taken of the very numbers that are added, so the bound holds in bfloat16, too.
        """
        squares = sum(torch.linalg.vector_norm(rows.flatten(1), dim=1, dtype=_wide(rows)).square_() for rows in self._units.values())
        norms = cast("Tensor", squares).sqrt()
        scale = (self._clip_norm / norms.clamp(min=self._clip_norm)).nan_to_num(0.0)  # [units], in [0, 1]; an infinite norm gives 0
        is_finite = bool(torch.isfinite(norms).all())
        for name, rows in self._units.items():
            flat = rows.flatten(1).to(_wide(rows))
            total = (scale @ (flat if is_finite else flat.nan_to_num(0.0, 0.0, 0.0))).view(rows.shape[1:])
            self._sums[name] = self._sums[name].add_(total) if name in self._sums else total
        self._units = {}

    def result(self) -> dict[str, Tensor]:
        """Return the sums since the last call, [out, in] by name, and begin anew; zero for a step that read nobody."""
        sums, self._sums = self._sums, {}
        return sums or {name: torch.zeros(weight.shape, device=weight.device) for name, weight in self._weights.items()}


def _wide(rows: Tensor) -> torch.dtype:
    """Return the type that sums are held in: never narrower than float32."""
    return torch.promote_types(rows.dtype, torch.float32)
