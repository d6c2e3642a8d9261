"""Full fine-tuning, and freeze tuning: the base's own weights are trained, all of them or those of some layers.

Source: LLaMA-Factory's `finetuning_type: full` and `freeze`, whose keys these are.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ringfence.train.adapter import own_names
from ringfence.train.method import METHODS
from ringfence.train.settings import TrainSettings
from ringfence.train.whole import Whole


@METHODS.add("full.v1")
class Full:
    """Every weight, the embedding and the norms included."""

    def __init__(self, *, settings: TrainSettings) -> None:
        self._settings = settings
        self._weights: dict[str, Tensor] = {}
        self._model: Whole | None = None

    def attach(self, model: Any) -> Whole:  # noqa: ANN401
        """Return the model with the weights that are trained; it answers as before."""
        known = dict(sorted(model.named_parameters()))
        trained = set(own_names({name: tuple(weight.shape) for name, weight in known.items()}, self._settings))
        for name, weight in known.items():
            weight.requires_grad_(name in trained)
        self._weights = {name: weight for name, weight in known.items() if name in trained}
        self._model = Whole(model, self._weights)
        return self._model

    def parameters(self) -> dict[str, Tensor]:
        """Return the trained weights by the base's names."""
        return dict(self._weights)

    def export(self) -> dict[str, Tensor]:
        """Return float32 copies of the trained weights on the CPU."""
        return {name: weight.detach().float().cpu().clone() for name, weight in self._weights.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on with what `export` returned.

        Raises: AdapterUnexpected.
        """
        assert self._model is not None  # noqa: S101  attached before
        self._model.load(tensors)


@METHODS.add("freeze.v1")
class Freeze(Full):
    """The weights of the last layers, or of the first ones, and of parts outside the layers that are named."""
