"""LoRA: two thin matrices beside each frozen linear layer.

Source: Hu et al. 2021 (arXiv:2106.09685), as peft implements it; Kalajdzievski 2023 (arXiv:2312.03732) for the scale of `use_rslora`.
"""

from __future__ import annotations

from typing import Any

from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor

from ringfence.core.errors import AdapterUnexpected
from ringfence.train.adapter import layer_names, modules_to_save, task_type
from ringfence.train.judge import add_head, is_head
from ringfence.train.low_rank import fuse
from ringfence.train.method import METHODS
from ringfence.train.settings import TrainSettings


@METHODS.add("lora.v1")
class Lora:
    """Adapters in the precision that the base is computed in; the optimiser keeps float32 masters. With `lora_freeze_a`, A stays as it was drawn (arXiv:2403.12313)."""

    use_dora = False

    def __init__(self, *, settings: TrainSettings) -> None:
        self._settings = settings
        self._factors: dict[str, Tensor] = {}
        self._model: Any = None

    def attach(self, model: Any) -> Any:  # noqa: ANN401
        """Return the model with fresh adapters: A random from torch's generator, B zero, so the answers are still the base's."""
        shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
        names = layer_names(shapes, self._settings)
        if self._settings.is_reward:
            add_head(model, seed=self._settings.seed)
        attached = get_peft_model(model, self._config(names), autocast_adapter_dtype=False)
        found = {_saved(name): weight for name, weight in attached.named_parameters() if weight.requires_grad}
        self._factors = dict(sorted(found.items()))
        for name, weight in self._factors.items():
            if not is_head(name):  # which stays in float32
                weight.data = weight.data.to(model.dtype)  # beside a quantised base peft draws factors in float32
        if self._settings.lora_freeze_a:
            _freeze_a(attached)
        fuse(attached)
        self._model = attached
        return attached

    def _config(self, names: list[str]) -> Any:  # noqa: ANN401
        """Return what peft is told. names: of the layers, in full."""
        return LoraConfig(
            r=self._settings.lora_rank,
            lora_alpha=self._settings.alpha,
            lora_dropout=self._settings.lora_dropout,
            target_modules=names,
            use_rslora=self._settings.use_rslora,
            use_dora=self.use_dora,
            bias="none",
            task_type=task_type(self._settings),
            modules_to_save=modules_to_save(self._settings),
        )

    def parameters(self) -> dict[str, Tensor]:
        """Return lora_A, unless it is frozen, and lora_B of every adapted layer, by the name that peft saves them under."""
        frozen = ".lora_A." if self._settings.lora_freeze_a else None  # whatever another library makes of their flags
        return {name: weight for name, weight in self._factors.items() if frozen is None or frozen not in name}

    def export(self) -> dict[str, Tensor]:
        """Return float32 copies of the factors on the CPU."""
        return {name: weight.detach().float().cpu().clone() for name, weight in self._factors.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on with the factors that `export` returned.

        Raises: AdapterUnexpected.
        """
        if {name: tuple(one.shape) for name, one in tensors.items()} != {name: tuple(one.shape) for name, one in self._factors.items()}:
            raise AdapterUnexpected(problem="its tensors are not those of the run's settings on this base model")
        set_peft_model_state_dict(self._model, tensors)


def _freeze_a(model: Any) -> None:  # noqa: ANN401  peft is untyped
    """Let A stay frozen when adapters are switched off and on again, too, as TRL does to ask the base: its gradient would count in the norm that is clipped."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.frozen_peft_weight_names = {"default": ("lora_A",)}
            layer.set_adapter(layer.active_adapters)


def _saved(name: str) -> str:
    """Return the name under which peft saves a weight."""
    return (
        name.replace(".modules_to_save.default.", ".")
        .replace(".default.", ".")
        .replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector")
    )
