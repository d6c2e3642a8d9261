"""An adapter back on its base model: one of the vault, or that of a bundle. Child halves only: this module imports torch."""

from __future__ import annotations

import json
from pathlib import Path

from peft import PeftModel
from safetensors.torch import load as load_tensors

from ringfence.models.load import Loaded, spoken_as
from ringfence.train.adapter import CONFIG, MERGED
from ringfence.train.judge import add_head
from ringfence.train.method import METHODS
from ringfence.train.settings import TrainSettings
from ringfence.train.whole import from_folder


def with_sealed(loaded: Loaded, settings: TrainSettings, data: bytes) -> Loaded:
    """Return the model with what a run learned; `data` is the decrypted safetensors file of the vault.

    Raises: AdapterUnexpected.
    """
    settings = settings.saved
    method = METHODS.create(settings.method, settings=settings)
    model = method.attach(loaded.model)
    method.load(load_tensors(data))
    return Loaded(model, loaded.tokenizer)


def with_bundle(loaded: Loaded, folder: Path, *, keeps_base: bool = False, seed: int = 0) -> Loaded:
    """Return the model with what a bundle holds, which the host has verified: a plain peft adapter or weights in place of the base's own, and its chat templates.

    keeps_base: the model is to be asked without what was learned, too; in place of its own weights that takes the memory of both.
    seed: of the training; what the head of a reward model was before it.

    Raises: AdapterUnexpected.
    """
    tokenizer = spoken_as(loaded.tokenizer, folder)
    if not (folder / CONFIG).is_file():
        return Loaded(from_folder(loaded.model, folder / MERGED, keeps_base=keeps_base), tokenizer)
    if json.loads((folder / CONFIG).read_bytes()).get("modules_to_save"):
        add_head(loaded.model, seed=seed)
    model = PeftModel.from_pretrained(loaded.model, str(folder), autocast_adapter_dtype=False)
    for name, weight in model.named_parameters():  # beside a quantised base peft leaves the adapter in float32; a run has it as it learned
        if weight.is_floating_point() and ".score." not in name:
            weight.data = weight.data.to(loaded.model.dtype)
    return Loaded(model, tokenizer)
