"""Steps of the optimiser: who learns at which rate."""

from __future__ import annotations

import pytest
import torch

from ringfence.train.optimiser import Optimiser
from ringfence.train.settings import TrainSettings

A, B = "layer.lora_A.weight", "layer.lora_B.weight"


def moved(settings, steps=1):
    weights = {name: torch.nn.Parameter(torch.zeros(3)) for name in (A, B)}
    optimiser = Optimiser(weights, settings)
    for _ in range(steps):
        for weight in weights.values():
            weight.grad = torch.ones(3)
        optimiser.step(0.01)
    return {name: float(weight.detach()[0]) for name, weight in weights.items()}


@pytest.mark.parametrize("optim", ["adamw_torch", "sgd"])
@pytest.mark.parametrize("ratio", [None, 1.0, 16.0, 0.5])
def test_with_lora_plus_a_b_learns_at_a_multiple_of_the_rate(optim, ratio):
    found = moved(TrainSettings(optim=optim, loraplus_lr_ratio=ratio, max_grad_norm=0.0), steps=3)
    assert found[A] == pytest.approx(-0.03, rel=1e-3)
    assert found[B] == pytest.approx(-0.03 * (ratio or 1.0), rel=1e-3)


def test_a_run_that_was_resumed_keeps_the_factor():
    settings = TrainSettings(loraplus_lr_ratio=16.0)
    weights = {name: torch.nn.Parameter(torch.zeros(3)) for name in (A, B)}
    optimiser = Optimiser(weights, settings)
    optimiser.restore(optimiser.state(), step=0)
    for weight in weights.values():
        weight.grad = torch.ones(3)
    optimiser.step(0.01)
    assert float(weights[B].detach()[0]) == pytest.approx(16 * float(weights[A].detach()[0]), rel=1e-3)
