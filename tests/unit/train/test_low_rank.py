"""LoRA layers in one step: the value and the gradients of peft's own forward, and that forward wherever the layer is something else."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from ringfence.privacy.layers import cover
from ringfence.train import low_rank
from ringfence.train.low_rank import fuse


class Two(nn.Module):
    """Two linear layers, one with a bias, around a bend."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 10, bias=True), nn.Linear(10, 6, bias=False)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def adapted(dtype=torch.float64, **config):
    torch.manual_seed(3)
    told = {"r": 3, "lora_alpha": 12, "target_modules": ["first", "second"]} | config
    model = get_peft_model(Two().to(dtype), LoraConfig(**told), autocast_adapter_dtype=False)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    return model


def both_ways(model, x):
    """Return the output and the gradients of x and of every trainable weight."""
    x = x.clone().requires_grad_()
    out = model(x)
    (out**2).sum().backward()
    return [out.detach(), x.grad, *(weight.grad for weight in model.parameters() if weight.requires_grad)]


def counted(monkeypatch):
    calls, plain = [], low_rank._LowRank.apply
    monkeypatch.setattr(low_rank._LowRank, "apply", lambda *told: (calls.append(1), plain(*told))[1])
    return calls


def alike(one, other, most=1e-12):
    assert len(one) == len(other)
    for mine, its in zip(one, other, strict=True):
        torch.testing.assert_close(mine, its, rtol=most, atol=most)


@pytest.mark.parametrize("config", [{}, {"use_rslora": True}, {"r": 1}])
@pytest.mark.parametrize("shape", [(4, 12), (2, 5, 12), (1, 1, 12)])
def test_value_and_gradients_are_those_of_peft(monkeypatch, config, shape):
    model = adapted(**config)
    x = torch.randn(shape, dtype=torch.float64)
    wanted = both_ways(copy.deepcopy(model), x)
    fuse(model)
    calls = counted(monkeypatch)
    alike(both_ways(model, x), wanted)
    assert len(calls) == 2


def test_a_frozen_factor_has_no_gradient():
    model = adapted()
    fuse(model)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_B" in name)
    model(torch.randn(2, 5, 12, dtype=torch.float64)).sum().backward()
    assert {name.split(".")[-3] for name, weight in model.named_parameters() if weight.grad is not None} == {"lora_B"}


@pytest.mark.parametrize("config", [{"lora_dropout": 0.5}, {"use_dora": True}])
def test_what_drops_or_is_of_another_kind_is_computed_by_peft(monkeypatch, config):
    model = adapted(**config)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.manual_seed(5)
    wanted = both_ways(copy.deepcopy(model), x)
    fuse(model)
    calls = counted(monkeypatch)
    torch.manual_seed(5)
    alike(both_ways(model, x), wanted)
    assert not calls


def test_a_layer_without_its_adapter_or_with_another_base_is_computed_by_peft(monkeypatch):
    model = adapted()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    fuse(model)
    calls = counted(monkeypatch)
    with model.disable_adapter():
        alike([model(x)], [copy.deepcopy(model).unload()(x)])
    wanted = model(x)
    assert len(calls) == 2
    model.merge_adapter()
    alike([model(x)], [wanted])
    model.unmerge_adapter()
    model.base_model.model.first.base_layer = nn.Sequential(model.base_model.model.first.base_layer)
    model.base_model.model.second.base_layer.weight.requires_grad_(True)
    alike([model(x)], [wanted])
    assert len(calls) == 2


def test_the_adapter_that_is_active_is_the_one_that_answers(monkeypatch):
    """TRL adds one of its own, as the reference of what is trained."""
    model = adapted()
    fuse(model)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    calls, first = counted(monkeypatch), model(x)
    model.add_adapter("ref", LoraConfig(r=2, target_modules=["first", "second"]), autocast_adapter_dtype=False)
    model.set_adapter("ref")
    model.double()
    alike([model(x)], [copy.deepcopy(model).unload()(x)])  # it is fresh
    model.set_adapter("default")
    alike([model(x)], [first])
    assert len(calls) == 6
    model.base_model.set_adapter(["default", "ref"])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_B.ref." in name:
                weight.fill_(0.5)
    both = copy.deepcopy(model)
    for layer in both.modules():
        layer.__dict__.pop("forward", None)
    alike([model(x)], [both(x)])
    assert len(calls) == 6


def test_a_copy_answers_by_its_own_weights():
    model = adapted()
    fuse(model)
    x = torch.randn(2, 12, dtype=torch.float64)
    other, before = copy.deepcopy(model), model(x)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    alike([other(x)], [before])


def test_where_autocast_chooses_the_type_peft_computes(monkeypatch):
    model = adapted(torch.float32)
    fuse(model)
    calls = counted(monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.randn(2, 12)).dtype == torch.bfloat16
    assert not calls


class Told:
    """A collector that adds up the rows' gradients."""

    def __init__(self):
        self.found = {}

    def take(self, name, use):
        self.take_rows(name, use.product(0))

    def take_rows(self, name, rows):
        self.found[name] = self.found.get(name, 0) + rows


def test_who_covers_the_factors_is_told_what_each_row_adds():
    model = adapted()
    x = torch.randn(4, 5, 12, dtype=torch.float64)
    alone = [both_ways(copy.deepcopy(model), row[None])[2:] for row in x]
    fuse(model)
    collector = Told()
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    for name in trained:
        assert cover(model.get_submodule(name.removesuffix(".weight")), {"weight": name}, collector)
    (model(x) ** 2).sum().backward()
    assert all(weight.grad is None for weight in model.parameters())
    for place, name in enumerate(trained):
        alike(list(collector.found[name]), [of_row[place] for of_row in alone])
