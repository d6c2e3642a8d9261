"""An adapter of the vault back on its base model. Child halves only: this module imports torch."""

from __future__ import annotations

from safetensors.torch import load as load_tensors

from ringfence.models.load import Loaded
from ringfence.train.method import METHODS
from ringfence.train.settings import TrainSettings


def with_sealed(loaded: Loaded, settings: TrainSettings, data: bytes) -> Loaded:
    """Return the model with what a run learned; `data` is the decrypted safetensors file of the vault.

    Raises: AdapterUnexpected.
    """
    settings = settings.saved
    method = METHODS.create(settings.method, settings=settings)
    model = method.attach(loaded.model)
    method.load(load_tensors(data))
    return Loaded(model, loaded.tokenizer)
