"""AdamW, or SGD with momentum, over float32 master weights, with gradient clipping and a state that can be saved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ringfence.train.settings import TrainSettings

_WEIGHT = "weight"  # beside what the rule keeps of it
_STILL = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")  # in the names of weights that do not decay
_MOMENTS = {"adamw_torch": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}


class Optimiser:
    """Steps the trainable weights of a run.

    Weights in float32 are their own masters. Others (bfloat16) get float32 copies: an update of one part in a thousand would be rounded
    away in eight bits of mantissa, and so would the sum of many micro batches' gradients.
    """

    def __init__(self, weights: Mapping[str, Tensor], settings: TrainSettings) -> None:
        self._weights = dict(weights)
        self._masters = {
            name: weight if weight.dtype == torch.float32 else weight.detach().float().clone().requires_grad_()
            for name, weight in weights.items()
        }
        self._clip = settings.max_grad_norm
        self._moments = _MOMENTS[settings.optim] if settings.optim != "sgd" or settings.momentum else ()
        self._rule = self._built(settings)

    def _built(self, settings: TrainSettings) -> torch.optim.Optimizer:
        masters = self._groups(settings)
        common = {"lr": 0.0, "foreach": True}  # each step brings its rate
        if settings.optim == "sgd":
            return torch.optim.SGD(masters, momentum=settings.momentum, **common)
        return torch.optim.AdamW(masters, betas=(settings.adam_beta1, settings.adam_beta2), eps=settings.adam_epsilon, **common)

    def _groups(self, settings: TrainSettings) -> list[dict[str, Any]]:
        """Return the masters with their decay and the factor of their learning rate: those of a B learn at `loraplus_lr_ratio` times the rate."""
        ratio = settings.loraplus_lr_ratio or 1.0
        return [
            {**group, "factor": ratio if is_b else 1.0}
            for is_b in (False, True)
            for group in self._decayed([name for name in self._masters if (".lora_B." in name) is is_b], settings)
        ]

    def _decayed(self, names: Iterable[str], settings: TrainSettings) -> list[dict[str, Any]]:
        """Return these masters with their decay: a bias and the weight of a norm have none.

        Source: transformers 5.23, `Trainer.get_decay_parameter_names`.
        """
        of_decay: dict[float, list[Tensor]] = {}
        for name in names:
            decay = 0.0 if _STILL.search(name.lower()) else settings.weight_decay
            of_decay.setdefault(decay, []).append(self._masters[name])
        return [{"params": masters, "weight_decay": decay} for decay, masters in of_decay.items()]

    def collect(self) -> None:
        """Add the gradients of one micro batch to the masters'."""
        for name, master in self._masters.items():
            weight = self._weights[name]
            if weight is not master and weight.grad is not None:
                grad = weight.grad.float()
                master.grad = grad if master.grad is None else master.grad.add_(grad)
                weight.grad = None

    @property
    def masters(self) -> dict[str, Tensor]:
        """Return the weights that are stepped, by name; whoever writes to them calls `copy_down`."""
        return dict(self._masters)

    def take(self) -> dict[str, Tensor]:
        """Return the collected gradients by name, zero where nothing was collected, and forget them."""
        grads = {name: torch.zeros_like(master) if master.grad is None else master.grad for name, master in self._masters.items()}
        self._rule.zero_grad(set_to_none=True)
        return grads

    def assign(self, grads: Mapping[str, Tensor]) -> None:
        """Set the masters' gradients, float32 by name, instead of collecting them."""
        for name, master in self._masters.items():
            master.grad = grads[name]

    def step(self, learning_rate: float) -> float:
        """Update the weights from the collected gradients, forget these, and return their norm before clipping."""
        bound = self._clip or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self._masters.values(), bound, foreach=True))
        for group in self._rule.param_groups:
            group["lr"] = learning_rate * group["factor"]
        self._rule.step()
        self._rule.zero_grad(set_to_none=True)
        self.copy_down()
        return norm

    def state(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs beside its step: masters, and what the rule keeps of each."""
        found: dict[str, Tensor] = {}
        for name, master in self._masters.items():
            for part, value in {_WEIGHT: master, **self._kept(name)}.items():
                found[f"{part}/{name}"] = value.detach().cpu().contiguous()
        return found

    def restore(self, state: Mapping[str, Tensor], *, step: int) -> None:
        """Continue from what `state` returned after `step` steps."""
        of_weight: dict[str, dict[str, Tensor]] = {name: {} for name in self._masters}
        for key, value in state.items():
            part, _, name = key.partition("/")
            of_weight[name][part] = value.to(self._masters[name].device).clone()
        for name, master in self._masters.items():
            with torch.no_grad():
                master.copy_(of_weight[name].pop(_WEIGHT))
            self._rule.state[master] = self._restored(of_weight[name], step=step)
        self.copy_down()

    def _kept(self, name: str) -> dict[str, Tensor]:
        """Return what the rule keeps of a weight between steps, by its part in a checkpoint."""
        kept = self._rule.state.get(self._masters[name], {})
        return {part: kept.get(part, torch.zeros_like(self._masters[name])) for part in self._moments}

    def _restored(self, kept: dict[str, Tensor], *, step: int) -> dict[str, Any]:
        """Return the rule's state of a weight after `step` steps. kept: what `_kept` returned."""
        return {**kept, "step": torch.tensor(float(step))}

    def copy_down(self) -> None:
        """Write the masters to the weights that are narrower than they are."""
        with torch.no_grad():
            for name, master in self._masters.items():
                if self._weights[name] is not master:
                    self._weights[name].copy_(master)
