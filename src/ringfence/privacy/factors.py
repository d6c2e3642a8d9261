"""A gradient that is too large to hold for each row: kept as the two factors that it is a product of.

Source: the Gram trick for lengths, Goodfellow 2015 (arXiv:1510.01799) and Li et al. 2022 (arXiv:2110.05679); keeping the factors until the lengths are
known, so that one backward pass suffices, Bu et al. 2022 (arXiv:2210.00038).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_COLUMNS = 8_192  # that are converted to float64 at a time


class Factors(NamedTuple):
    """One use of a weight [out, in] by a pass: it adds leftᵀ · right to the gradient of each row."""

    left: Tensor  # [batch, positions, out]; int64 [batch, positions] where each position chose one row of the weight, as an embedding does
    right: Tensor  # [batch, positions, in]

    @property
    def nbytes(self) -> int:
        """Return the bytes that are kept."""
        return int(self.left.nbytes + self.right.nbytes)

    @property
    def chooses(self) -> bool:
        """Return whether the left factor is of ones and zeros, and written as positions of the ones."""
        return not self.left.is_floating_point()

    def of(self, rows: Tensor) -> Factors:
        """Return those of some rows. rows: [n] int64, or [batch] bool."""
        return Factors(self.left[rows], self.right[rows])

    def widened(self) -> Factors:
        """Return the same in float32 or wider, so that their product is not rounded to the type of the model."""
        left, right = (one.to(wide(one)) if one.is_floating_point() else one for one in self)
        return Factors(left, right)

    def product(self, outputs: int) -> Tensor:
        """Return the gradient of every row [batch, outputs, in]; float32 or wider where many positions may choose one row of the weight."""
        if not self.chooses:
            return torch.bmm(self.left.transpose(1, 2), self.right)
        batch, _, inputs = self.right.shape
        found = torch.zeros(batch * outputs, inputs, dtype=wide(self.right), device=self.right.device)
        where = self.left + outputs * torch.arange(batch, device=self.left.device)[:, None]
        return found.index_add_(0, where.flatten(), self.right.flatten(0, 1).to(found.dtype)).view(batch, outputs, inputs)


def wide(tensor: Tensor) -> torch.dtype:
    """Return the type that sums of such numbers are held in: never narrower than float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def add_products(total: Tensor, uses: Sequence[Factors], scale: Tensor) -> None:
    """Add to `total` [out, in] the gradients of all uses of a weight, each row's multiplied by its scale [batch]."""
    chosen, dense = _joined([use._replace(right=use.right.to(total.dtype) * scale.to(total.dtype)[:, None, None]) for use in uses])
    if dense is not None:
        total.addmm_(dense.left.to(total.dtype).T, dense.right)
    if chosen is not None:
        total.index_add_(0, chosen.left, chosen.right)


def squared_length(uses: Sequence[Factors]) -> Tensor:
    """Return the squared L2 norm, float64, of the gradient that all uses of a weight by all of these rows add up to.

    In float64: terms of either sign cancel, and a square has lost twice the digits that its root has.
    """
    chosen, dense = _joined(uses)
    square = torch.zeros((), dtype=torch.float64, device=uses[0].right.device)
    if dense is not None:
        square += _dense_square(dense)
    if chosen is not None:
        distinct, which = chosen.left.unique(return_inverse=True)
        sums = torch.zeros(len(distinct), chosen.right.shape[1], dtype=torch.float64, device=square.device)
        sums.index_add_(0, which, chosen.right.double())
        square += sums.square().sum()
        if dense is not None:  # a head that is tied to the embedding: both add to these rows of the weight
            square += 2 * ((dense.left[:, distinct].double().T @ dense.right.double()) * sums).sum()
    return square.clamp(min=0)


def _dense_square(dense: Factors) -> Tensor:
    """Return |leftᵀ · right|², from two Gram matrices where there are few positions, from the product where these are many."""
    (positions, outputs), inputs = dense.left.shape, dense.right.shape[1]
    if positions * (outputs + inputs) < outputs * inputs:
        return (_gram(dense.left) * _gram(dense.right)).sum()
    product = dense.left.to(wide(dense.left)).T @ dense.right.to(wide(dense.right))
    return torch.linalg.vector_norm(product, dtype=torch.float64).square()


def _gram(x: Tensor) -> Tensor:
    """Return x · xᵀ in float64, some columns at a time: a vocabulary's would be many. x: [n, columns]."""
    found = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for some in x.split(_COLUMNS, dim=1):
        wider = some.double()
        found += wider @ wider.T
    return found


def _joined(uses: Sequence[Factors]) -> tuple[Factors | None, Factors | None]:
    """Return all positions of all rows as one, [n] or [n, out] and [n, in]: of those that choose, and of the others."""
    chosen, dense = (
        [Factors(use.left.flatten(0, 1), use.right.flatten(0, 1)) for use in uses if use.chooses is chooses] for chooses in (True, False)
    )
    return _one(chosen), _one(dense)


def _one(flat: Sequence[Factors]) -> Factors | None:
    if len(flat) <= 1:  # nothing is copied
        return flat[0] if flat else None
    return Factors(torch.cat([use.left for use in flat]), torch.cat([use.right for use in flat]))
