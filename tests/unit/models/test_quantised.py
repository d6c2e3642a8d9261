"""A base of 4 or 8 bits is one and the same base in every mode, and answers each row by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ringfence.models.load import dequantised, load_model
from ringfence.models.settings import Quantisation
from ringfence.models.tiny import write_tiny_model
from ringfence.train.data import Example
from ringfence.train.method import METHODS
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer
from tests.unit.privacy.test_clip import LENGTHS, apart, looped, ours, rows_of

torch.set_num_threads(1)
IDS = torch.tensor([[1, 87, 85, 71, 84, 201, 74], [1, 90, 201, 71, 85, 84, 12]])
KINDS = {
    "nf4": Quantisation(bits=4),
    "nf4, single": Quantisation(bits=4, double=False),
    "fp4": Quantisation(bits=4, kind="fp4"),
    "int8": Quantisation(bits=8),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("m") / "model")


def opened(folder, kind, dtype=torch.float32):
    return load_model(folder, dtype=dtype, device="cpu", quantised=KINDS[kind] if kind else None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_base_answers_alike_in_every_mode(folder, kind):
    model = opened(folder, kind)
    told = model.train()(IDS).logits
    assert torch.equal(model.eval()(IDS).logits, told)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, told)
    assert torch.equal(model.train()(IDS).logits, told)
    whole = dequantised(model)
    assert torch.allclose(whole(IDS).logits, told, atol=1e-5)
    assert {type(layer) for layer in whole.modules() if isinstance(layer, torch.nn.Linear)} == {torch.nn.Linear}
    assert not any(weight.requires_grad for weight in whole.parameters())
    assert not torch.allclose(opened(folder, None)(IDS).logits, told, atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_quantised_alike_whatever_it_is_computed_in(folder, kind):
    wide, narrow = (dict(opened(folder, kind, dtype).named_parameters()) for dtype in (torch.float32, torch.bfloat16))
    for name, weight in wide.items():
        if not weight.is_floating_point():
            assert torch.equal(weight, narrow[name]), name
    assert {weight.dtype for weight in narrow.values() if weight.is_floating_point()} == {torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_looked_at_without_a_gradient_learns_as_before(folder, kind):
    """bitsandbytes packs weights at such a look where the processor has AVX-512 BF16, and hands no gradient back from then on."""
    rows = [Example(np.arange(9, 9 + n, dtype=np.int32), np.arange(n) > 2) for n in (5, 8)]
    settings = TrainSettings(quantization_bit=KINDS[kind].bits, learning_rate=0.05, lora_rank=4)
    found = []
    for looks in (False, True):
        trainer = Trainer(opened(folder, kind), settings, hints=RuntimeHints(), padding=2, device="cpu")
        if looks:
            trainer.evaluate(rows)
        found.append([trainer.step(rows, step=step, steps=9) for step in range(4)])
    assert found[0] == found[1]
    assert found[0][-1] < found[0][0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_answered_by_itself_beside_one_that_is_large(folder, kind):
    """Of 8 bits bitsandbytes quantises what is read, too, but the columns in which any row of the batch is above 6."""
    layer = opened(folder, kind).model.layers[0].mlp.up_proj
    torch.manual_seed(3)
    x = torch.randn(2, 5, 64)
    alone = layer(x[:1])
    x[1, 2, 7] = 50.0
    assert torch.equal(layer(x)[:1], alone)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("units", [None, [0, 1, 0, 2, 2, 2]], ids=["rows", "three units"])
def test_the_clipped_sum_equals_a_loop_over_one_example_at_a_time(folder, kind, units):
    def adapted():
        torch.manual_seed(1)
        method = METHODS.create("lora.v1", settings=TrainSettings(lora_rank=3))
        model = method.attach(opened(folder, kind)).train()
        with torch.no_grad():
            for weight in method.parameters().values():
                weight.copy_(torch.randn_like(weight) * 0.1)
        return model, method.parameters()

    examples = rows_of(LENGTHS, units=units)
    for clip in (1e-2, 1.0, 1e3):
        assert apart(ours(*adapted(), examples, clip=clip), looped(*adapted(), examples, clip=clip)) < 1e-5
