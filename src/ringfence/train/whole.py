"""A model whose own weights are trained, some of them or all. Child halves only: this module imports torch.

It answers the questions that peft's models answer, whoever asks: what the base is, what it says without what was learned, and what it is as one piece.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ringfence.core.errors import AdapterUnexpected


class Whole(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A model with trained weights of its own. Until other weights are loaded it is the base."""

    def __init__(self, model: Any, weights: Mapping[str, nn.Parameter]) -> None:  # noqa: ANN401  transformers is untyped
        super().__init__()
        self.model = model
        self._trained = dict(weights)
        self._base: dict[str, Tensor] = {}  # the weights as they were, once others are loaded

    def forward(self, *args: Any, **more: Any) -> Any:  # noqa: ANN401
        """Return what the model returns."""
        return self.model(*args, **more)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return an attribute of the model: configuration, generation, embeddings."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":  # not set yet
                raise
            return getattr(self.model, name)

    def get_base_model(self) -> Any:  # noqa: ANN401
        """Return the model itself."""
        return self.model

    def merge_and_unload(self) -> Any:  # noqa: ANN401
        """Return the model as one piece."""
        return self.model

    def load(self, weights: Mapping[str, Tensor], *, keeps_base: bool = True) -> None:
        """Go on with other values of the trained weights. keeps_base: the base's stay, for `disable_adapter`, in as much memory.

        Raises: AdapterUnexpected.
        """
        if {name: tuple(value.shape) for name, value in weights.items()} != {name: tuple(one.shape) for name, one in self._trained.items()}:
            raise AdapterUnexpected(problem="its tensors are not those of the run's settings on this base model")
        with torch.no_grad():
            for name, one in self._trained.items():
                if keeps_base:
                    self._base.setdefault(name, one.detach().clone())
                one.copy_(weights[name])

    @contextlib.contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Answer as the base does inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, other in self._base.items():
            one = self._trained[name]
            self._base[name], one.data = one.data, other


def from_folder(model: Any, folder: Path, *, keeps_base: bool) -> Whole:  # noqa: ANN401
    """Return a base model with the weights of a folder of its own shape, such as a bundle's merged weights. keeps_base: see `Whole.load`.

    Raises: AdapterUnexpected.
    """
    tensors = {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}
    known = dict(model.named_parameters())
    whole = Whole(model, known)
    whole.load({name: value for name, value in tensors.items() if name in known}, keeps_base=keeps_base)  # a tied head is the embedding
    return whole
