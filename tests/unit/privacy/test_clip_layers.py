"""Every kind of layer that a unit's gradient is bounded through, against a loop over one row at a time; and those that are refused."""

from __future__ import annotations

import copy
import gc
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from ringfence.core.errors import LAYER_KINDS, NotCovered
from ringfence.models.tiny import tiny_config
from ringfence.privacy import clip as module
from ringfence.privacy.clip import UnitSums
from ringfence.privacy.factors import Factors, squared_length
from ringfence.privacy.plan import Clipping
from ringfence.train.data import collate
from ringfence.train.objective import OBJECTIVES
from ringfence.train.private import passes
from ringfence.train.settings import TrainSettings
from tests.unit.privacy.test_clip import OBJECTIVE, apart, clipped, flat, rows_of
from tests.unit.privacy.test_clip import under_autocast as of_batch

torch.set_num_threads(1)
EXACT = [(torch.float64, 1e-12), (torch.float32, 1e-5)]
LENGTHS = [30, 29, 28, 31, 27, 5]  # mostly alike: rows of one pass are
UNITS = {"rows": None, "three units": [0, 1, 0, 2, 2, 2], "one unit": [0] * 6}


@pytest.fixture(autouse=True, scope="module")
def _no_matrix_is_thin():
    """Those of a tiny model all are: here each may be kept as factors, as the large ones of a real model are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_THIN", 0)
        yield


# ── a whole model ─────────────────────────────────────────────────────────────────────────────────────────────────────


def full(dtype=torch.float32, *, tied=True, checkpointing=False, bias=True):
    """Return a tiny Llama whose every weight is trained, none of them zero, and the weights by name."""
    torch.manual_seed(1)
    config = tiny_config()
    config.tie_word_embeddings, config.attention_bias = tied, bias
    model = LlamaForCausalLM(config).to(dtype).train()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    if checkpointing:
        model.enable_input_require_grads()
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return model, dict(model.named_parameters())


def loss_of(model, rows):
    losses, weights = OBJECTIVE.losses(model, collate(rows, padding=2, device="cpu"))
    return (losses / weights).sum()


def under_autocast(model, rows):
    """Return the loss of float32 weights whose products autocast makes in bfloat16."""
    return of_batch(model, collate(rows, padding=2, device="cpu"), None)


def ours(made, examples, *, size=4, clip=1.0, clipping="flat", loss=loss_of):
    model, weights = made
    sums = UnitSums(model, weights, clip_norm=clip, clipping=clipping)
    for one in passes(examples, size):
        loss(model, one.rows).backward()
        sums.gather(torch.tensor(one.places), units=one.units, closes=one.closes)
    return flat(sums.result())


def looped(made, examples, *, clip=1.0, clipping="flat", loss=loss_of):
    model, weights = made
    wholes = {}
    for row in examples:
        grads = dict(zip(weights, torch.autograd.grad(loss(model, [row]), list(weights.values())), strict=True))
        wholes[row.unit] = wholes.get(row.unit, 0.0) + flat(grads).double()
    sizes = [weights[name].numel() for name in sorted(weights)]
    return sum(clipped(whole, sizes, clip=clip, clipping=clipping) for whole in wholes.values())


@pytest.mark.parametrize(("dtype", "most"), EXACT, ids=["float64", "float32"])
@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_model_trained_whole_equals_a_loop_over_one_example_at_a_time(tied, units, dtype, most):
    examples = rows_of(LENGTHS, units=units)
    for clipping in get_args(Clipping):
        wanted = looped(full(dtype, tied=tied), examples, clipping=clipping)
        for size, checkpointing in ((2, False), (6, True)):
            got = ours(full(dtype, tied=tied, checkpointing=checkpointing), examples, size=size, clipping=clipping)
            assert apart(got, wanted) < most


def unrounded(model, weights, row):
    """Return one row's gradient under autocast; of matrices the sum over positions is in float64, and never rounded."""
    seen, hooks = {}, []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            hooks.append(
                layer.register_forward_hook(lambda _, given, out, name=name: seen.update({name: (given[0], out)}) or out.retain_grad())
            )
    under_autocast(model, [row]).backward()
    for hook in hooks:
        hook.remove()
    grads = {name: weight.grad.double() for name, weight in weights.items()}
    for name, (x, out) in seen.items():
        grads[f"{name}.weight"] = out.grad[0].double().T @ x[0].to(torch.bfloat16).double()
    model.zero_grad(set_to_none=True)
    return flat(grads)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("clipping", get_args(Clipping))
def test_under_bfloat16_autocast_it_equals_a_loop_under_autocast(clipping, checkpointing):
    """But for what autocast rounds at the end: alone in its pass or beside others of its length, a row adds a product that nobody rounds."""
    examples = rows_of(LENGTHS[:5])
    assert [len(one.rows) for one in passes(examples, 5)] == [5]
    loop = looped(full(tied=False), examples, clipping=clipping, loss=under_autocast)
    model, weights = full(tied=False)
    sizes = [weights[name].numel() for name in sorted(weights)]
    wanted = sum(clipped(unrounded(model, weights, row), sizes, clip=1.0, clipping=clipping) for row in examples)
    assert 1e-4 < apart(loop, wanted) < 2e-3
    for size in (1, 5):
        made = full(tied=False, checkpointing=checkpointing)
        assert apart(ours(made, examples, size=size, clipping=clipping, loss=under_autocast), wanted) < 1e-5


def test_a_trained_head_has_the_losses_and_gradients_of_the_logits_of_all_positions():
    """However few positions it meets at a time."""
    model, weights = full(torch.float64)
    examples = rows_of(LENGTHS)
    batch = collate(examples, padding=2, device="cpu")
    each = nn.functional.cross_entropy(model(input_ids=batch.ids).logits[:, :-1].transpose(1, 2), batch.ids[:, 1:], reduction="none")
    wanted = (each * batch.learn[:, 1:]).sum(1)
    slopes = flat(dict(zip(weights, torch.autograd.grad(wanted.sum(), list(weights.values())), strict=True)))
    for chunk in (1, 40, 10_000):
        losses, counts = OBJECTIVES.create("sft.v1", settings=TrainSettings(), head_chunk=chunk).losses(model, batch)
        assert torch.allclose(losses.double(), wanted, rtol=1e-6)
        assert counts.tolist() == [row.weight for row in examples]
        found = flat(dict(zip(weights, torch.autograd.grad(losses.sum(), list(weights.values())), strict=True)))
        assert apart(found, slopes) < 1e-12
    frozen = model.requires_grad_(requires_grad=False)
    assert torch.allclose(OBJECTIVE.losses(frozen, batch)[0], losses, rtol=1e-5)


def test_bfloat16_agrees_within_its_precision_and_keeps_the_bound():
    examples = rows_of(LENGTHS)
    assert apart(ours(full(torch.bfloat16), examples), looped(full(), examples)) < 0.05
    one = ours(full(torch.bfloat16), examples[:1], clip=1e-3)
    assert float(one.norm()) <= 1e-3 * (1 + 1e-5)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    clip=st.sampled_from([1e-2, 0.3, 5.0]),
    size=st.integers(1, 6),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_neighbouring_sets_move_the_sum_by_at_most_the_clip_norm(lengths, clip, size, seed, data):
    """Zero-out: one unit, with all its rows, is replaced by nothing."""
    units = data.draw(st.lists(st.integers(0, 2), min_size=len(lengths), max_size=len(lengths)))
    examples = rows_of(lengths, seed=seed, units=units)
    gone = data.draw(st.sampled_from(units))
    common = {"clip": clip, "size": size, "clipping": data.draw(st.sampled_from(get_args(Clipping)))}
    everyone = ours(full(), examples, **common)
    without = ours(full(), [row for row in examples if row.unit != gone], **common)
    assert float((everyone - without).norm()) <= clip * (1 + 1e-5)


# ── layer by layer ────────────────────────────────────────────────────────────────────────────────────────────────────


class Tied(nn.Module):
    """An embedding that is its own head, met twice each."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8, padding_idx=3)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        x = torch.tanh(self.embedding(ids))
        return self.head(x + self.embedding((ids + 1) % 50)) + self.head(x)


class Twice(nn.Module):
    """A wide layer and its bias, met twice: once per position, once per row."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(30, 30)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x).mean(1)))


def embedded(layer, *more):
    return nn.Sequential(nn.Embedding(50, 8), layer, *more)


def shared():
    one, two = nn.Linear(8, 8), nn.Linear(8, 8)
    two.weight = one.weight
    return one, nn.Tanh(), two


MODELS = {
    "a thin linear": lambda: embedded(nn.Linear(8, 3, bias=False)),
    "a wide linear": lambda: embedded(nn.Linear(8, 400, bias=False)),
    "a linear with bias": lambda: embedded(nn.Linear(8, 40)),
    "a layer norm": lambda: embedded(nn.LayerNorm(8)),
    "a layer norm without bias": lambda: embedded(nn.LayerNorm(8, bias=False)),
    "a norm without weights": lambda: embedded(nn.LayerNorm(8, elementwise_affine=False)),
    "an RMS norm": lambda: embedded(nn.RMSNorm(8)),
    "an RMS norm of transformers": lambda: embedded(Qwen2RMSNorm(8)),
    "a head tied to its embedding": Tied,
    "a layer met twice": lambda: nn.Sequential(nn.Embedding(50, 30), Twice()),
    "two layers that share a weight": lambda: embedded(*shared()),
}


def loss(model, ids):
    return model(ids).pow(2).flatten(1).mean(1).sum()


def made(name, dtype):
    torch.manual_seed(2)
    model = MODELS[name]().to(dtype).train()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    return model


def summed(model, ids, units, *, weights=None, **common):
    sums = UnitSums(model, weights or dict(model.named_parameters()), **common)
    loss(model, ids).backward()
    sums.gather(torch.tensor(units), units=max(units) + 1)
    return flat(sums.result())


@pytest.mark.parametrize(("dtype", "most"), EXACT, ids=["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_each_kind_of_layer_equals_a_loop(name, dtype, most):
    ids = torch.randint(50, (5, 7))
    ids[:, 0] = 3
    model = made(name, dtype)
    weights = dict(model.named_parameters())
    for units in (list(range(5)), [0, 1, 1, 0, 2]):
        for clipping in get_args(Clipping):
            wanted = 0.0
            for unit in set(units):
                grads = torch.autograd.grad(loss(model, ids[torch.tensor(units) == unit]), list(weights.values()))
                whole = flat(dict(zip(weights, grads, strict=True))).double()
                wanted = wanted + clipped(whole, [weights[one].numel() for one in sorted(weights)], clip=0.5, clipping=clipping)
            assert apart(summed(copy.deepcopy(model), ids, units, clip_norm=0.5, clipping=clipping), wanted) < most


@pytest.mark.parametrize("name", ["0.weight", "1.weight", "1.bias"])
def test_some_weights_of_a_model_may_be_frozen(name):
    model, ids = made("a linear with bias", torch.float64), torch.randint(50, (4, 7))
    model.requires_grad_(requires_grad=False)
    weight = dict(model.named_parameters())[name].requires_grad_()
    grads = [torch.autograd.grad(loss(model, row[None]), weight)[0].flatten() for row in ids]
    wanted = sum(grad * min(1.0, 0.5 / float(grad.norm())) for grad in grads)
    assert apart(summed(model, ids, [0, 1, 2, 3], weights={name: weight}, clip_norm=0.5), wanted) < 1e-12


def test_what_is_kept_is_the_smaller_of_factors_and_products(monkeypatch):
    """Of a wide layer and short rows the factors, whose length is computed without the product; of one row or of one unit the product."""
    asked = []
    monkeypatch.setattr(module, "squared_length", lambda uses: asked.append(uses[0].right.shape) or squared_length(uses))
    model = made("a wide linear", torch.float32)
    summed(copy.deepcopy(model), torch.randint(50, (3, 7)), [0, 1, 2], clip_norm=1.0)
    assert sorted({shape[1:] for shape in asked}) == [(7, 8)]
    asked.clear()
    summed(copy.deepcopy(model), torch.randint(50, (3, 900)), [0, 1, 2], clip_norm=1.0)
    summed(copy.deepcopy(model), torch.randint(50, (1, 7)), [0], clip_norm=1.0)
    summed(copy.deepcopy(model), torch.randint(50, (3, 7)), [0, 0, 0], clip_norm=1.0)
    assert asked == []
    sums = UnitSums(model, dict(model.named_parameters()), clip_norm=1.0)
    loss(model, torch.randint(50, (1, 7))).backward()
    assert not sums._uses


def test_units_over_several_passes_and_several_units_a_pass():
    """What a pass keeps as factors is added up as soon as more of the units follows, and so is what came before."""
    model, ids = made("a head tied to its embedding", torch.float64), torch.randint(50, (3, 2))
    weights = dict(model.named_parameters())
    whole = summed(copy.deepcopy(model), torch.cat([ids, ids + 0]), [0, 1, 1, 1, 0, 0], clip_norm=0.5)
    sums = UnitSums(model, weights, clip_norm=0.5)
    for units, closes in (([0, 1, 1], False), ([1, 0, 0], True)):
        loss(model, ids).backward()
        assert sums._uses
        sums.gather(torch.tensor(units), units=2, closes=closes)
    assert apart(flat(sums.result()), whole) < 1e-12


def test_a_length_over_a_whole_vocabulary():
    left, right = torch.randn(1, 5, 20_000), torch.randn(1, 5, 16)
    wanted = (left.double().transpose(1, 2) @ right.double()).square().sum()
    assert float(squared_length([Factors(left, right)])) == pytest.approx(float(wanted), rel=1e-12)


@pytest.mark.parametrize(("positions", "operations"), [(7, 2 * 7 * 7 * (300 + 200)), (400, 2 * 400 * 300 * 200)])
def test_a_length_is_computed_the_shorter_way(positions, operations):
    with FlopCounterMode(display=False) as counted:
        squared_length([Factors(torch.randn(1, positions, 300), torch.randn(1, positions, 200))])
    assert counted.get_total_flops() == operations


def test_terms_that_cancel_do_not_shorten_a_length():
    """Two positions whose gradients are large and nearly opposite: what is left of them is measured, not the rounding."""
    left, right = torch.randn(1, 2, 300), torch.randn(1, 2, 300)
    left[:, 1], right[:, 1] = -left[:, 0] * (1 + 1e-4), right[:, 0]
    wanted = (left.double().transpose(1, 2) @ right.double()).norm()
    assert float(squared_length([Factors(left, right)]).sqrt()) == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("clipping", get_args(Clipping))
def test_a_row_that_is_not_finite_adds_nothing_and_harms_nobody(clipping, poison):
    ids = torch.randint(50, (4, 7))
    for name in ("a wide linear", "a head tied to its embedding", "an RMS norm of transformers"):
        model = made(name, torch.float32)
        bad = copy.deepcopy(model)
        sums = UnitSums(bad, dict(bad.named_parameters()), clip_norm=0.5, clipping=clipping)
        (bad(ids).pow(2).flatten(1).mean(1) * torch.tensor([1.0, poison, 1.0, 1.0])).sum().backward()
        sums.gather(torch.arange(4), units=4)
        wanted = summed(model, ids[[0, 2, 3]], [0, 1, 2], clip_norm=0.5, clipping=clipping)
        assert apart(flat(sums.result()), wanted) < 1e-6


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "batch normalisation": nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=False)),
    "convolution": nn.Sequential(nn.Linear(3, 3), nn.Conv1d(3, 3, 1)),
    "recurrent": nn.GRU(3, 3),
    "attention in one layer": nn.MultiheadAttention(3, 1),
    "scale_grad_by_freq": nn.Embedding(5, 3, scale_grad_by_freq=True),
    "max_norm": nn.Embedding(5, 3, max_norm=1.0),
    "another kind": nn.Sequential(nn.Linear(3, 3), nn.PReLU()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_that_cannot_be_bounded_is_refused_by_its_kind(name):
    model = copy.deepcopy(REFUSED[name])
    with pytest.raises(NotCovered, match=name) as found:
        UnitSums(model, dict(model.named_parameters()), clip_norm=1.0)
    assert all(kind < len(LAYER_KINDS) for kind in found.value.facts["kinds"])
    assert found.value.sentences("zh")[0] != found.value.sentences("en")[0]


def test_a_trained_weight_that_the_method_does_not_list_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    with pytest.raises(NotCovered, match=r"does not list \(2 trainable"):
        UnitSums(model, dict(model[0].named_parameters(prefix="0")), clip_norm=1.0)


def test_a_weight_that_is_used_around_its_layer_is_an_error():
    layer = nn.Linear(3, 3, bias=False)
    sums = UnitSums(layer, {"w": layer.weight}, clip_norm=1.0)
    (layer(torch.randn(2, 3)).sum() + layer.weight.sum()).backward()
    with pytest.raises(RuntimeError, match="outside"):
        sums.gather(torch.arange(2), units=2)


def test_covering_a_whole_model_copies_nothing_but_the_norms():
    config = LlamaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32)
    model = LlamaForCausalLM(config)
    before = {id(one) for one in gc.get_objects() if isinstance(one, nn.Parameter)}
    sums = UnitSums(model, dict(model.named_parameters()), clip_norm=1.0)
    new = sum(one.numel() for one in gc.get_objects() if isinstance(one, nn.Parameter) and id(one) not in before)
    assert new == sum(weight.numel() for name, weight in model.named_parameters() if "norm" in name)
    del sums
