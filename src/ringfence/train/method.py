"""What every method promises, and the registry of methods."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from ringfence.core.registry import Registry


class Method(Protocol):
    """What is trained. `attach` once, then `parameters` are the ones to step, by the names under which they are saved."""

    def attach(self, model: Any) -> Any:  # noqa: ANN401  transformers and peft are untyped
        """Return the model with its trainable weights; those of the base stay as they are."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """Return the trainable weights by saved name, sorted."""
        ...

    def export(self) -> dict[str, Tensor]:
        """Return float32 copies of what is saved, on the CPU, by name: the trainable weights, and those that belong to them."""
        ...

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on with what `export` returned, of a method whose settings are `TrainSettings.saved`.

        Raises: AdapterUnexpected.
        """
        ...


METHODS = Registry[Method]("method", package="ringfence.train.methods")
