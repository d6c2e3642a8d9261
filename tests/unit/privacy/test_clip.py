"""Clipped sums against a loop over one row at a time, and the bound that everything rests on: one unit moves the sum by the clip norm at most."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import LlamaForCausalLM

from ringfence.models.tiny import tiny_config
from ringfence.privacy.clip import UnitSums
from ringfence.privacy.plan import Clipping
from ringfence.train.data import Example, collate
from ringfence.train.method import METHODS
from ringfence.train.objective import OBJECTIVES
from ringfence.train.private import passes
from ringfence.train.settings import TrainSettings

torch.set_num_threads(1)
OBJECTIVE = OBJECTIVES.create("sft.v1", settings=TrainSettings())


def adapted(dtype=torch.float64, *, rank=3, seed=1):
    """Return a tiny Llama (grouped-query attention) with LoRA whose B is not zero, and the trainable weights by name."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(tiny_config()).to(dtype).requires_grad_(requires_grad=False)
    method = METHODS.create("lora.v1", settings=TrainSettings(lora_rank=rank))
    model = method.attach(model).train()
    with torch.no_grad():
        for weight in method.parameters().values():
            weight.copy_(torch.randn_like(weight) * 0.1)
    return model, method.parameters()


def rows_of(lengths, *, seed=0, units=None):
    drawn = np.random.default_rng(seed)
    found = []
    for at, length in enumerate(lengths):
        learn = drawn.random(length) < 0.6
        learn[0], learn[-1] = False, True
        found.append(Example(drawn.integers(3, 259, length).astype(np.int32), learn, at if units is None else units[at]))
    return found


def exact_losses(model, batch):
    """Return the mean loss of each row in the model's own precision: ours rounds its losses, not its gradients, to float32."""
    logits = model(input_ids=batch.ids).logits[:, :-1]
    each = nn.functional.cross_entropy(logits.transpose(1, 2), batch.ids[:, 1:], reduction="none")
    learn = batch.learn[:, 1:]
    return (each * learn).sum(1) / learn.sum(1)


def loss_of(model, batch, dtype):
    if dtype == torch.float64:
        return exact_losses(model, batch).sum()
    losses, weights = OBJECTIVE.losses(model, batch)
    return (losses / weights.clamp(min=1.0)).sum()


def flat(sums):
    return torch.cat([sums[name].flatten() for name in sorted(sums)])


def ours(model, weights, examples, *, clip=1.0, size=4, dtype=torch.float32, loss=loss_of, clipping="flat"):
    sums = UnitSums(model, weights, clip_norm=clip, clipping=clipping)
    for one in passes(examples, size):
        loss(model, collate(one.rows, padding=2, device="cpu"), dtype).backward()
        sums.gather(torch.tensor(one.places), units=one.units, closes=one.closes)
    return flat(sums.result())


def clipped(whole, sizes, *, clip, clipping):
    """The definition of each rule, on the gradient of one unit."""
    if clipping == "automatic":
        return whole * clip / (float(whole.norm()) + 0.01)
    if clipping == "per-layer":
        most = clip / len(sizes) ** 0.5
        return torch.cat([part * min(1.0, most / max(float(part.norm()), 1e-300)) for part in whole.split(sizes)])
    return whole * min(1.0, clip / float(whole.norm()))


def looped(model, weights, examples, *, clip=1.0, dtype=torch.float32, loss=loss_of, clipping="flat"):
    """The definition: every unit by itself, ordinary gradients, clip, add. In float64."""
    total = 0.0
    for unit in sorted({example.unit for example in examples}):
        whole = 0.0
        for example in examples:
            if example.unit == unit:
                grads = torch.autograd.grad(loss(model, collate([example], padding=2, device="cpu"), dtype), list(weights.values()))
                whole = whole + flat(dict(zip(weights, grads, strict=True))).double()
        total = total + clipped(whole, [weights[name].numel() for name in sorted(weights)], clip=clip, clipping=clipping)
    return total


def apart(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm())


LENGTHS = [5, 17, 9, 12, 30, 3]


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("units", [None, [0, 1, 0, 2, 2, 2], [0] * 6], ids=["rows", "three units", "one unit"])
@pytest.mark.parametrize("clip", [1e-3, 1.0, 1e3])
def test_the_sum_equals_a_loop_over_one_example_at_a_time(dtype, most, units, clip):
    examples = rows_of(LENGTHS, units=units)
    wanted = looped(*adapted(dtype), examples, clip=clip, dtype=dtype)
    for size in (1, 4, 6):
        got = ours(*adapted(dtype), examples, clip=clip, size=size, dtype=dtype)
        assert apart(got, wanted) < most


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("units", [None, [0, 1, 0, 2, 2, 2]], ids=["rows", "three units"])
@pytest.mark.parametrize("clipping", ["automatic", "per-layer"])
def test_so_does_every_other_rule(clipping, dtype, most, units):
    examples = rows_of(LENGTHS, units=units)
    for clip in (1e-2, 1.0):
        wanted = looped(*adapted(dtype), examples, clip=clip, dtype=dtype, clipping=clipping)
        assert apart(ours(*adapted(dtype), examples, clip=clip, dtype=dtype, clipping=clipping), wanted) < most
        assert apart(ours(*adapted(dtype), examples, clip=clip, dtype=dtype), wanted) > 1e-3


@pytest.mark.parametrize("rank", [1, 8, 64])
def test_any_rank(rank):
    examples = rows_of(LENGTHS)
    assert apart(ours(*adapted(torch.float32, rank=rank), examples), looped(*adapted(torch.float32, rank=rank), examples)) < 1e-5


def computed_twice(model, weights):
    """Return them with activation checkpointing."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    return model, weights


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("clipping", get_args(Clipping))
def test_under_activation_checkpointing_the_sum_equals_the_loop_without(clipping, dtype, most):
    examples = rows_of(LENGTHS, units=[0, 1, 0, 2, 2, 2])
    wanted = looped(*adapted(dtype), examples, dtype=dtype, clipping=clipping)
    assert apart(ours(*computed_twice(*adapted(dtype)), examples, dtype=dtype, clipping=clipping), wanted) < most


class InWholeNumbers(nn.Module):
    """A frozen linear layer that holds its weight as whole numbers of so many bits and a scale for each output."""

    def __init__(self, layer, bits):
        super().__init__()
        scale = layer.weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        self.register_buffer("numbers", (layer.weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, x):
        return x @ (self.numbers * self.scale).T.to(x.dtype)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_on_a_quantised_base(dtype, most, checkpointing, bits):
    def quantised():
        model, weights = adapted(dtype)
        layers = [layer for layer in model.modules() if hasattr(layer, "base_layer")]
        assert len(layers) == 14
        for layer in layers:
            layer.base_layer = InWholeNumbers(layer.base_layer, bits)
        return computed_twice(model, weights) if checkpointing else (model, weights)

    examples = rows_of(LENGTHS, units=[0, 1, 0, 2, 2, 2])
    wanted = looped(*quantised(), examples, dtype=dtype)
    assert apart(ours(*quantised(), examples, dtype=dtype), wanted) < most
    assert apart(looped(*adapted(dtype), examples, dtype=dtype), wanted) > 1e-3


def under_autocast(model, batch, _):
    """Return the loss of float32 weights whose products autocast makes in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=batch.ids).logits[:, :-1]
    each = nn.functional.cross_entropy(logits.transpose(1, 2).float(), batch.ids[:, 1:], reduction="none")
    learn = batch.learn[:, 1:]
    return ((each * learn).sum(1) / learn.sum(1)).sum()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("clipping", get_args(Clipping))
@pytest.mark.parametrize("rank", [1, 3, 64])
def test_under_bfloat16_autocast_the_sum_equals_a_loop_under_autocast(rank, clipping, checkpointing):
    examples = rows_of(LENGTHS)  # of a unit with more rows the loop rounds every row's part, where ours may not
    wanted = looped(*adapted(torch.float32, rank=rank), examples, loss=under_autocast, clipping=clipping)
    made = adapted(torch.float32, rank=rank)
    got = ours(*(computed_twice(*made) if checkpointing else made), examples, loss=under_autocast, clipping=clipping)
    assert apart(got, wanted) < 1e-5
    assert apart(looped(*adapted(torch.float32, rank=rank), examples), wanted) > 1e-4  # and not because nothing was rounded


def test_bfloat16_agrees_within_its_precision_and_keeps_the_bound():
    examples = rows_of(LENGTHS)
    assert apart(ours(*adapted(torch.bfloat16), examples), looped(*adapted(torch.float32), examples)) < 0.05
    one = ours(*adapted(torch.bfloat16), examples[:1], clip=1e-3)
    assert float(one.norm()) <= 1e-3 * (1 + 1e-5)


def test_sums_of_bfloat16_gradients_are_held_in_float32():
    """In bfloat16 thirds add up to less than a hundred: what a unit adds would depend on how many were added before it."""
    layer = nn.Linear(3, 3, bias=False, dtype=torch.bfloat16)
    sums = UnitSums(layer, {"w": layer.weight}, clip_norm=1.0)
    for _ in range(600):
        layer(torch.ones(1, 3, dtype=torch.bfloat16)).sum().backward()
        sums.gather(torch.zeros(1, dtype=torch.int64), units=1)
    assert torch.allclose(sums.result()["w"], torch.full((3, 3), 200.0), rtol=1e-3)


def test_a_unit_in_parts_of_one_row_and_more_in_bfloat16():
    """A long row first, alone in its part, then short ones: the parts are added up in float32."""
    examples = rows_of([200, *[50] * 8], units=[0] * 9)
    assert [len(one.rows) for one in passes(examples, 8)] == [1, 8]
    got = ours(*adapted(torch.bfloat16), examples, size=8)
    assert apart(got, looped(*adapted(torch.float32), examples)) < 0.05


POISON = 7


def poisoned(value):
    """Return a loss of which rows of nothing but this token have a gradient that is not finite."""

    def loss(model, batch, _):
        losses, weights = OBJECTIVE.losses(model, batch)
        scale = torch.ones(len(losses))
        scale[((batch.ids == POISON) | (batch.ids == 2)).all(dim=1)] = value  # 2 pads
        return (scale * losses / weights.clamp(min=1.0)).sum()

    return loss


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 24), min_size=2, max_size=6),
    clip=st.sampled_from([1e-2, 0.3, 5.0]),
    size=st.integers(1, 6),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_neighbouring_sets_move_the_sum_by_at_most_the_clip_norm(lengths, clip, size, seed, data):
    """Zero-out: one unit, with all its rows, is replaced by nothing. Some rows may have a gradient that is not finite."""
    units = data.draw(st.lists(st.integers(0, 3), min_size=len(lengths), max_size=len(lengths)))
    examples = rows_of(lengths, seed=seed, units=units)
    for row in data.draw(st.sets(st.integers(0, len(examples) - 1), max_size=2)):
        examples[row].ids[:] = POISON
    gone = data.draw(st.sampled_from(units))
    poison = poisoned(data.draw(st.sampled_from([math.nan, math.inf])))
    common = {"clip": clip, "size": size, "loss": poison, "clipping": data.draw(st.sampled_from(get_args(Clipping)))}
    everyone = ours(*adapted(torch.float32), examples, **common)
    without = ours(*adapted(torch.float32), [row for row in examples if row.unit != gone], **common)
    assert float((everyone - without).norm()) <= clip * (1 + 1e-5)


def batch_mean(model, batch, dtype):
    """What transformers computes: one mean over all tokens of the batch, so that each row's gradient depends on the others."""
    return model(input_ids=batch.ids, labels=batch.ids.masked_fill(~batch.learn, -100)).loss * len(batch.ids)


def test_a_mean_over_the_batch_breaks_the_bound():
    """The test above can fail: with the usual loss, leaving out one long row rescales the rest by more than the clip norm."""
    examples = rows_of([*[4] * 20, 200])
    moved = {}
    for loss in (batch_mean, loss_of):
        # as an engineer would choose it: no short row is clipped while the long one is there
        clip = max(norms_of(examples, loss=loss)[:-1])
        everyone, without = (at_once(rows, clip=clip, loss=loss) for rows in (examples, examples[:-1]))
        moved[loss] = float((everyone - without).norm()) / clip
    assert moved[batch_mean] > 2
    assert moved[loss_of] <= 1 + 1e-5


def test_rows_that_are_packed_break_the_bound():
    """A pack is clipped as one row, so whoever leaves it changes what the others in it add, too."""
    one, two, three = rows_of([30, 40, 50], units=[0, 1, 1])

    def packed(*rows, unit):
        return Example(np.concatenate([row.ids for row in rows]), np.concatenate([row.learn for row in rows]), unit)

    pack = {"everyone": [packed(one, two, unit=0), packed(three, unit=1)], "without": [packed(two, unit=0), packed(three, unit=1)]}
    alone = {"everyone": [one, two, three], "without": [two, three]}
    moved = {}
    for name, rows in (("packed", pack), ("by unit", alone)):
        everyone, without = (ours(*adapted(torch.float32), rows[which], clip=1e-3) for which in ("everyone", "without"))
        moved[name] = float((everyone - without).norm()) / 1e-3
    assert moved["by unit"] <= 1 + 1e-5
    assert moved["packed"] > 1.1


def norms_of(examples, *, loss):
    """Return the norm of each row's gradient inside this batch."""
    model, weights = adapted(torch.float32)
    sums = UnitSums(model, weights, clip_norm=1.0)
    loss(model, collate(examples, padding=2, device="cpu"), torch.float32).backward()
    return torch.cat([rows.flatten(1) for rows in sums._rows.values()], dim=1).norm(dim=1).tolist()


def at_once(examples, *, clip, loss):
    model, weights = adapted(torch.float32)
    sums = UnitSums(model, weights, clip_norm=clip)
    loss(model, collate(examples, padding=2, device="cpu"), torch.float32).backward()
    sums.gather(torch.arange(len(examples)), units=len(examples))
    return flat(sums.result())


@pytest.mark.parametrize("clipping", get_args(Clipping))
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_adds_nothing_and_harms_nobody(poison, clipping):
    good = rows_of(LENGTHS)
    bad = Example(np.full(30, POISON, dtype=np.int32), np.arange(30) > 3, 99)
    got = ours(*adapted(torch.float32), [*good, bad], size=8, loss=poisoned(poison), clipping=clipping)
    assert apart(got, ours(*adapted(torch.float32), good, size=8, clipping=clipping)) < 1e-6


def test_a_step_that_read_nobody_is_exactly_zero():
    model, weights = adapted()
    assert not flat(UnitSums(model, weights, clip_norm=1.0).result()).any()


def test_a_layer_that_is_met_twice_is_added_up_before_its_norm():
    layer = nn.Linear(3, 3, bias=False)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    weights = {"w": layer.weight}
    x = torch.randn(4, 5, 3)
    each = [torch.autograd.grad(model(row[None]).square().sum(), layer.weight)[0] for row in x]
    wanted = sum(grad * min(1.0, 0.1 / float(grad.norm())) for grad in each)
    sums = UnitSums(model, weights, clip_norm=0.1)
    model(x).square().sum().backward()
    sums.gather(torch.arange(4), units=4)
    assert apart(sums.result()["w"], wanted) < 1e-6


def test_a_pass_that_went_around_a_covered_layer_is_an_error():
    model = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3, bias=False)})
    sums = UnitSums(model, {"a": model["a"].weight, "b": model["b"].weight}, clip_norm=1.0)
    model["a"](torch.randn(2, 3)).sum().backward()
    with pytest.raises(RuntimeError):
        sums.gather(torch.arange(2), units=2)


@pytest.mark.parametrize("width", [3, 300], ids=["gradients of rows", "factors"])
def test_a_layer_that_sees_anything_but_rows_is_an_error(width):
    """Positions as rows would each be clipped by themselves, so that a unit moved the sum by as many clip norms as it has positions."""
    layer = nn.Linear(width, width, bias=False)
    sums = UnitSums(layer, {"w": layer.weight}, clip_norm=1.0)
    layer(torch.randn(2, 5, width).flatten(0, 1)).sum().backward()
    with pytest.raises(RuntimeError, match="did not see the rows"):
        sums.gather(torch.arange(2), units=2)
