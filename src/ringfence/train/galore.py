"""GaLore: AdamW whose moments are those of gradients projected onto few directions, as galore_torch has it. Child halves only: this module imports torch.

Source: Zhao et al. 2024 (arXiv:2403.03507), algorithm 2. The directions are the largest singular vectors of a gradient, found anew every so many steps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from galore_torch import GaLoreAdamW
from galore_torch.galore_projector import GaLoreProjector
from torch import Tensor

from ringfence.train.adapter import projected_names
from ringfence.train.optimiser import Optimiser
from ringfence.train.settings import TrainSettings

_DIRECTIONS = "directions"


class Galore(Optimiser):
    """Steps weights by the projected gradients of those that `galore_target` names; the others as AdamW does."""

    def __init__(self, weights: Mapping[str, Tensor], settings: TrainSettings) -> None:
        """Raises: ModelUnsupported where GaLore does not fit the weights."""
        self._projected = frozenset(projected_names({name: tuple(weight.shape) for name, weight in weights.items()}, settings))
        self._options = {
            "rank": settings.galore_rank,
            "update_proj_gap": settings.galore_update_interval,
            "scale": settings.galore_scale,
            "proj_type": settings.galore_proj_type,
        }
        super().__init__(weights, settings)

    def _built(self, settings: TrainSettings) -> torch.optim.Optimizer:
        groups = [
            {**group, "factor": 1.0, **options}
            for is_projected, options in ((True, self._options), (False, {}))
            for group in self._decayed([name for name in self._masters if (name in self._projected) is is_projected], settings)
        ]
        return GaLoreAdamW(
            groups,
            lr=0.0,  # each step brings its rate
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_epsilon,
            no_deprecation_warning=True,  # it is about transformers' AdamW, which this one was copied from
        )

    def step(self, learning_rate: float) -> float:
        """Update the weights; see `Optimiser.step`."""
        norm = super().step(learning_rate)
        for kept in self._rule.state.values():
            if "projector" in kept:  # laid out as a checkpoint gives them back: products with another layout round otherwise
                _set(kept["projector"], [one.contiguous() for one in _directions(kept["projector"])])
        return norm

    @property
    def alike(self) -> list[list[str]]:
        """The names of projected weights; those of one shape, whose directions take equally long to find, stand together."""
        found: dict[tuple[int, ...], list[str]] = {}
        for name in sorted(self._projected):
            found.setdefault(tuple(self._masters[name].shape), []).append(name)
        return list(found.values())

    def find(self, name: str) -> None:
        """Find the directions of a weight itself, which is as large as its gradient, and forget them: what a step takes more that finds them anew."""
        projector = GaLoreProjector(**self._options)
        projector.project(self._masters[name].detach(), 0)
        float(_directions(projector)[0][0, 0])  # a GPU has ended, too

    def keep(self) -> None:
        """Go on with the directions of the first step."""
        for group in self._rule.param_groups:
            if "update_proj_gap" in group:
                group["update_proj_gap"] = sys.maxsize

    def _kept(self, name: str) -> dict[str, Tensor]:
        """Return the moments, and the directions [rank, in] or [out, rank], of `galore_proj_type: full` both; nothing before the first step."""
        kept = self._rule.state.get(self._masters[name], {})
        found = _directions(kept["projector"]) if "projector" in kept else []
        directions = {f"{_DIRECTIONS}{number}": one for number, one in enumerate(found)}
        return {part: kept[part] for part in self._moments if part in kept} | directions

    def _restored(self, kept: dict[str, Tensor], *, step: int) -> dict[str, Any]:
        state: dict[str, Any] = {"step": step, **{part: one for part, one in kept.items() if not part.startswith(_DIRECTIONS)}}
        if found := [kept[part] for part in sorted(kept) if part.startswith(_DIRECTIONS)]:
            state["projector"] = GaLoreProjector(**self._options)
            _set(state["projector"], found)
        return state


def _directions(projector: GaLoreProjector) -> list[Tensor]:
    return [projector.ortho_matrix] if isinstance(projector.ortho_matrix, Tensor) else list(projector.ortho_matrix)


def _set(projector: GaLoreProjector, directions: list[Tensor]) -> None:
    projector.ortho_matrix = directions if len(directions) > 1 else directions[0]
