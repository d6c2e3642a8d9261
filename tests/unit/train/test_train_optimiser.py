"""Steps of the optimiser: who learns at which rate, and who decays."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Trainer

from ringfence.models.folder import ARCHITECTURES
from ringfence.models.tiny import tiny_config
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


@pytest.mark.parametrize("optim", ["adamw_torch", "sgd"])
@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_those_weights_decay_that_decay_in_transformers(family, optim):
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")
    sizes = {name: value for name, value in tiny_config().to_dict().items() if name in kept}
    config = AutoConfig.for_model(family, **sizes, pad_token_id=2)
    if hasattr(config, "attention_bias"):
        config.attention_bias = True
    model = AutoModelForCausalLM.from_config(config)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.fill_(1.0)
            weight.grad = torch.zeros_like(weight)
    Optimiser(weights, TrainSettings(method="full.v1", optim=optim, weight_decay=0.5, max_grad_norm=0.0)).step(0.1)
    decayed = {name for name, weight in weights.items() if bool((weight == 0.95).all())}
    assert decayed == set(Trainer.get_decay_parameter_names(None, model)) & set(weights)  # a tied head has two names
    assert {name for name, weight in weights.items() if bool((weight == 1.0).all())} == set(weights) - decayed
    assert len(decayed) >= 15
