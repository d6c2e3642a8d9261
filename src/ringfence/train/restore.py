"""An adapter back on its base model: one of the vault, or that of a bundle. Child halves only: this module imports torch."""

from __future__ import annotations

from pathlib import Path

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load as load_tensors

from ringfence.core.errors import AdapterUnexpected
from ringfence.models.load import Loaded
from ringfence.train.method import METHODS
from ringfence.train.settings import TrainSettings


def with_sealed(loaded: Loaded, settings: TrainSettings, data: bytes) -> Loaded:
    """Return the model under an adapter of the vault; `data` is the decrypted safetensors file.

    Raises: AdapterUnexpected.
    """
    settings = settings.saved
    method = METHODS.create(settings.method, settings=settings)
    model = method.attach(loaded.model)
    tensors = load_tensors(data)
    shapes = {name: tuple(tensor.shape) for name, tensor in method.export().items()}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
        raise AdapterUnexpected(problem="its tensors are not those of the run's settings on this base model")
    set_peft_model_state_dict(model, tensors)
    return Loaded(model, loaded.tokenizer)


def with_bundle(loaded: Loaded, folder: Path) -> Loaded:
    """Return the model under the adapter of a bundle, a plain peft folder that the host has verified."""
    return Loaded(PeftModel.from_pretrained(loaded.model, str(folder), autocast_adapter_dtype=False), loaded.tokenizer)
