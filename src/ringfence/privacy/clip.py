"""Gradients of every row, clipped per unit and summed, in one backward pass.

Each covered layer's backward computes, instead of the ordinary weight gradient, what every row adds. Where that is small, as of LoRA factors, it is
held: one batched product with exactly the operations of the ordinary gradient. Where it is larger than the two factors that it is a product of,
these are held, lengths follow from them, and one ordinary product makes the clipped sum. After the pass the rows of each unit are added up,
scaled to the clip norm at most, and summed.

Source: Goodfellow 2015 (arXiv:1510.01799) for rows of a batch; Abadi et al. 2016 (arXiv:1607.00133) for clipping, Bu et al. 2022 (arXiv:2206.07136,
AUTO-S) for automatic, He et al. 2022 (arXiv:2212.01539) for clipping by layer; Bu et al. 2022 (arXiv:2210.00038) for the choice by layer and row length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ringfence.core.errors import LAYER_KINDS, NotCovered
from ringfence.privacy.factors import Factors, add_products, squared_length, wide
from ringfence.privacy.layers import cover, kind_of, mixes_rows
from ringfence.privacy.plan import Clipping

_STABLE = 0.01  # γ of automatic clipping: keeps what a vanishing gradient adds small
_THIN = 64  # positions: a matrix is thin where two factors of so many are at least as large as its gradient, as LoRA's are up to this rank
_UNLISTED = len(LAYER_KINDS) - 1


class UnitSums:
    """The sum over units of clipped gradients. Zeroing out one unit moves it by `clip_norm` at most, in L2 over all weights.

    Needs: the first axis of every covered layer's input is the row, and the loss is a sum over rows each of which depends on its own row alone.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, nn.Parameter], *, clip_norm: float, clipping: Clipping = "flat") -> None:
        """Cover `weights`, which must be all that is trainable in `model`.

        clipping: "flat" scales down what is longer than the clip norm. "automatic" scales everything to almost the clip norm. "per-layer" gives each
        weight the same share of the clip norm, and clips it by itself.

        Raises: NotCovered for a trainable weight whose gradient could not be bounded, and for layers that mix rows.
        """
        self._clip_norm, self._clipping = clip_norm, clipping
        self._weights = dict(weights)
        self._rows: dict[str, Tensor] = {}  # [batch, *shape], of the pass that has just gone back
        self._uses: dict[str, list[Factors]] = {}  # of the same pass, instead of rows where these would be larger
        self._units: dict[str, Tensor] = {}  # [units, *shape], of units that are not complete yet
        self._sums: dict[str, Tensor] = {}  # [*shape], float32 or wider
        self._cover(model)

    def _cover(self, model: nn.Module) -> None:
        names = {id(weight): name for name, weight in self._weights.items()}
        left = {id(weight) for weight in model.parameters() if weight.requires_grad} | names.keys()
        seen, kinds = set[int](), set[int]()
        for layer in list(model.modules()):
            listed = {attribute: names[id(weight)] for attribute, weight in layer.named_parameters(recurse=False) if id(weight) in names}
            if mixes_rows(layer) or (listed and not cover(layer, listed, self)):
                kinds.add(kind_of(layer))
            else:
                seen |= {id(self._weights[name]) for name in listed.values()}
        if kinds or left - seen:
            raise NotCovered(weights=len(left - seen), kinds=tuple(sorted(kinds or {_UNLISTED})))

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is untyped here
    def take(self, name: str, use: Factors) -> None:
        """Keep one use of a matrix, or what it adds to each row where this is no larger, or needed as a whole anyway: of a single row.

        Which of the two depends on the other rows of the pass, so neither is rounded to the type of the model: what a row adds would depend on them, too.
        What is added to a thin matrix is rounded, as ordinary gradients are; of it nothing else is ever kept.
        """
        weight = self._weights[name]
        if weight.numel() <= _THIN * sum(weight.shape):
            self.take_rows(name, use.product(len(weight)))
            return
        uses, batch = [*self._uses.pop(name, []), use], len(use.right)
        rows = batch * weight.numel() * wide(weight).itemsize  # bytes
        if batch == 1 or name in self._rows or sum(one.nbytes for one in uses) >= rows:
            for one in uses:
                self.take_rows(name, one.widened().product(len(weight)))
        else:
            self._uses[name] = uses

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def take_rows(self, name: str, rows: Tensor) -> None:
        """Keep the gradient of every row [batch, *shape] that one use of a weight makes; of a layer that is met twice it is the sum."""
        before = self._rows.get(name)
        self._rows[name] = rows if before is None else before.to(wide(before)).add_(rows)

    def forget(self) -> None:
        """Forget the rows of the pass that has just gone back: it counted for nothing."""
        self._rows, self._uses = {}, {}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def gather(self, unit_of_row: Tensor, *, units: int, closes: bool = True) -> None:
        """Add the rows of the pass that has just gone back to their units; when it closes, clip these and add them to the sums.

        unit_of_row: [batch] int64, each below `units`, which stays the same until a pass closes. closes: no more rows of these units follow.

        Raises: RuntimeError when the pass did not go through every covered layer row by row.
        """
        self._check(len(unit_of_row))
        is_whole = closes and not self._units
        one_each = is_whole and unit_of_row.tolist() == list(range(units))
        for name, rows in self._rows.items():
            if one_each:  # no copy: these are the units already
                self._units[name] = rows
            else:
                self._unit(name, units, rows).index_add_(0, unit_of_row, rows.to(wide(rows)))
        self._rows = {}
        if not is_whole or units == 1:  # factors of several passes would pile up; and the gradient of a single unit is as large as its sum
            for name, uses in self._uses.items():
                for unit, whole in enumerate(self._unit(name, units, uses[0].right)):
                    rows_of_unit = (unit_of_row == unit).nonzero()[:, 0]
                    add_products(whole, [use.of(rows_of_unit) for use in uses], torch.ones_like(rows_of_unit))
            self._uses = {}
        if closes:
            self._close(unit_of_row, units)

    def _check(self, batch: int) -> None:
        rows = [*self._rows.values(), *(use.right for uses in self._uses.values() for use in uses)]
        if self._rows.keys() | self._uses.keys() != self._weights.keys() or any(len(one) != batch for one in rows):
            raise RuntimeError("a covered layer did not see the rows of this pass")
        if any(weight.grad is not None for weight in self._weights.values()):
            raise RuntimeError("a covered weight was used outside of its layer")

    def _unit(self, name: str, units: int, like: Tensor) -> Tensor:
        """Return where the gradients of open units are added up, [units, *shape]."""
        if name not in self._units:
            self._units[name] = torch.zeros((units, *self._weights[name].shape), dtype=wide(like), device=like.device)
        return self._units[name]

    def _close(self, unit_of_row: Tensor, units: int) -> None:
        """Clip the open units and add them to the sums. unit_of_row: of the pass that closed, for what is kept as factors.

        A unit whose gradient is not finite adds nothing. Norms of what is held are taken of the very numbers that are added, so the bound holds in
        bfloat16, too; those of factors are computed in float64.
        """
        lengths = {
            name: torch.linalg.vector_norm(whole.flatten(1), dim=1, dtype=wide(whole)).double() for name, whole in self._units.items()
        }
        for name, uses in self._uses.items():
            squares = [squared_length([use.of(unit_of_row == unit) for use in uses]) for unit in range(units)]
            lengths[name] = torch.stack(squares).sqrt()
        norms = torch.linalg.vector_norm(torch.stack(list(lengths.values())), dim=0)  # [units]
        is_finite = torch.isfinite(norms)
        all_finite = bool(is_finite.all())
        for name, length in lengths.items():
            scale = self._scale(length if self._clipping == "per-layer" else norms).where(is_finite, 0.0)
            total = self._sum(name)
            if name in self._units:
                flat = self._units[name].flatten(1).to(total.dtype)
                total.view(-1).addmv_((flat if all_finite else flat.nan_to_num(0.0, 0.0, 0.0)).T, scale.to(total.dtype))
            else:
                uses, of_row = self._uses[name], scale[unit_of_row]
                if not all_finite:
                    fits = is_finite[unit_of_row]
                    uses, of_row = [use.of(fits) for use in uses], of_row[fits]
                add_products(total, uses, of_row)
        self._units, self._uses = {}, {}

    def _sum(self, name: str) -> Tensor:
        """Return where the clipped gradients of a weight are added up, [*shape], float32 or wider."""
        if name not in self._sums:
            weight = self._weights[name]
            self._sums[name] = torch.zeros(weight.shape, dtype=wide(weight), device=weight.device)
        return self._sums[name]

    def _scale(self, norms: Tensor) -> Tensor:
        """Return by what gradients of these lengths are multiplied, [units]."""
        if self._clipping == "automatic":
            return self._clip_norm / (norms + _STABLE)
        most = self._clip_norm if self._clipping == "flat" else self._clip_norm / math.sqrt(len(self._weights))
        return most / norms.clamp(min=most)

    def result(self) -> dict[str, Tensor]:
        """Return the sums since the last call, [*shape] by name, and begin anew; zero for a step that read nobody."""
        sums, self._sums = self._sums, {}
        return sums or {name: torch.zeros(weight.shape, device=weight.device) for name, weight in self._weights.items()}
