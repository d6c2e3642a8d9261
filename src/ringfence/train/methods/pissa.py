"""PiSSA: LoRA that begins with the largest singular values of each weight, and leaves the rest to the frozen base.

Source: Meng et al. 2024 (arXiv:2404.02948); the factors are those of peft. What is saved is plain LoRA of twice the rank on the base as it was: what was
learned less what it began with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ringfence.train.method import METHODS
from ringfence.train.methods.lora import Lora
from ringfence.train.settings import TrainSettings


@METHODS.add("pissa.v1")
class Pissa(Lora):
    """Factors from the singular values of W, by `pissa_iter` subspace iterations, or exactly with -1. The frozen weight is W less their product."""

    def __init__(self, *, settings: TrainSettings) -> None:
        super().__init__(settings=settings)
        self._began: dict[str, Tensor] = {}

    def attach(self, model: Any) -> Any:  # noqa: ANN401
        """Return the model with its factors, whose product is taken out of the weights: the answers are the base's, up to rounding."""
        attached = super().attach(model)
        with torch.no_grad():
            for layer in attached.modules():
                if hasattr(layer, "lora_A") and hasattr(layer, "base_layer"):
                    self._divide(layer)
        self._began = super().export()
        return attached

    def _divide(self, layer: Any) -> None:  # noqa: ANN401
        """Move the largest singular values of a layer's weight [out, in] to its factors A [rank, in] and B [out, rank]."""
        weight, (a, b) = layer.base_layer.weight, (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
        scale, rank = layer.scaling["default"], len(a)
        u, s, v = _largest(weight.float(), rank, iterations=self._settings.pissa_iter)  # [out, rank], [rank], [in, rank]
        root = (s / scale).sqrt()
        a.copy_((v * root).T)
        b.copy_(u * root)
        weight.sub_((scale * b.float() @ a.float()).to(weight.dtype))  # of the factors as they were rounded

    def export(self) -> dict[str, Tensor]:
        """Return float32 factors of twice the rank on the CPU: B·A − B₀·A₀ = [B, −B₀]·[A; A₀]; what is trained beside them as it is."""
        found = super().export()
        for name, began in self._began.items():
            if ".lora_A." in name:
                found[name] = torch.cat([found[name], began])
            elif ".lora_B." in name:
                found[name] = torch.cat([found[name], -began], dim=1)
        return found


def _largest(weight: Tensor, rank: int, *, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, S, V of the largest singular values; a weight with fewer has zeros after them."""
    found = min(rank, *weight.shape)
    u, s, v = torch.linalg.svd(weight, full_matrices=False) if iterations == -1 else torch.svd_lowrank(weight, q=found, niter=iterations)
    if iterations == -1:
        u, s, v = u[:, :found], s[:found], v[:found].T
    missing = rank - found
    pad = torch.nn.functional.pad
    return pad(u, (0, missing)), pad(s, (0, missing)), pad(v, (0, missing))
