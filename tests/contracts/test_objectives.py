"""Every registered objective: one loss a row, each from its own row; SFT equals transformers' own loss and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from ringfence.models.folder import ARCHITECTURES
from ringfence.models.tiny import tiny_config
from ringfence.train.data import Batch, Example, collate
from ringfence.train.head import cross_entropy
from ringfence.train.objective import OBJECTIVES
from ringfence.train.settings import TrainSettings
from ringfence.train.trainer import Trainer

torch.set_num_threads(1)
SIZES = tiny_config().to_dict()
KEPT = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")


def model_of(family, *, tied=True):
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **{name: SIZES[name] for name in KEPT}, tie_word_embeddings=tied, pad_token_id=2)
    return AutoModelForCausalLM.from_config(config).eval()


MODEL = model_of("llama").requires_grad_(requires_grad=False)


def examples_of(rows):
    drawn = np.random.default_rng(rows)
    found = []
    for length in rows:
        learn = drawn.random(length) < 0.6
        learn[0], learn[-1] = False, True
        found.append(Example(drawn.integers(3, 259, length).astype(np.int32), learn))
    return found


ROWS = st.lists(st.integers(2, 24), min_size=2, max_size=5)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES.names() if OBJECTIVES.create(name).per_example])
@settings(max_examples=15, deadline=None)
@given(rows=ROWS, at=st.data())
def test_row_i_depends_on_example_i_alone(name, rows, at):
    objective = OBJECTIVES.create(name)
    examples = examples_of(rows)
    i = at.draw(st.integers(0, len(rows) - 1))
    losses, weights = objective.losses(MODEL, collate(examples, padding=2, device="cpu"))
    assert losses.shape == weights.shape == (len(rows),)
    assert losses.dtype == weights.dtype == torch.float32
    others = [
        row if k == i else example for k, (row, example) in enumerate(zip(examples, reversed(examples_of([*rows, 9])[1:]), strict=True))
    ]
    for changed in (others, [examples[i]]):
        where = i if len(changed) > 1 else 0
        again, weight = objective.losses(MODEL, collate(changed, padding=5, device="cpu"))
        assert float(again[where]) == pytest.approx(float(losses[i]), rel=1e-5, abs=1e-5)
        assert weight[where] == weights[i]


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_weight_is_the_number_of_predicted_tokens_and_no_row_learns_nothing(name):
    objective = OBJECTIVES.create(name)
    examples = examples_of([5, 9])
    silent = Example(examples[0].ids, np.zeros(5, dtype=np.bool_))
    losses, weights = objective.losses(MODEL, collate([silent, examples[1]], padding=2, device="cpu"))
    assert (float(losses[0]), float(weights[0])) == (0.0, 0.0)
    assert float(weights[1]) == examples[1].weight


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
@pytest.mark.parametrize("tied", [True, False])
def test_sft_equals_the_loss_of_transformers(family, tied):
    model = model_of(family, tied=tied).requires_grad_(requires_grad=False)
    batch = collate(examples_of([7, 12, 3]), padding=2, device="cpu")
    losses, weights = OBJECTIVES.create("sft.v1", head_chunk=4).losses(model, batch)
    labels = batch.ids.masked_fill(~batch.learn, -100)
    mask = torch.tensor([[1] * n + [0] * (12 - n) for n in (7, 12, 3)])
    wanted = model(input_ids=batch.ids, attention_mask=mask, labels=labels).loss
    assert float(losses.sum() / weights.sum()) == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), chunk=st.integers(1, 40))
def test_the_chunked_head_has_the_gradient_of_the_plain_one(dtype, tolerance, n, chunk):
    torch.manual_seed(n)
    hidden, head, targets = torch.randn(n, 6, dtype=dtype, requires_grad=True), torch.randn(11, 6, dtype=dtype), torch.randint(0, 11, (n,))
    scale = torch.rand(n)
    got = cross_entropy(hidden, head, targets, chunk=chunk)
    (gradient,) = torch.autograd.grad((got * scale).sum(), hidden)
    wanted = torch.nn.functional.cross_entropy((hidden @ head.T).float(), targets, reduction="none")
    (naive,) = torch.autograd.grad((wanted * scale).sum(), hidden)
    assert got.shape == (n,)
    assert torch.allclose(got, wanted, atol=tolerance)
    assert torch.allclose(gradient, naive, atol=tolerance)


def test_a_trained_head_is_refused_rather_than_left_without_gradient():
    with pytest.raises(ValueError, match="head"):
        cross_entropy(torch.randn(2, 3), torch.randn(5, 3, requires_grad=True), torch.tensor([0, 1]), chunk=2)


def test_one_step_has_the_gradient_of_the_naive_path_whatever_the_micro_batches():
    examples = examples_of([4, 15, 9, 9, 20])
    gradients = []
    for micro in (1, 2, 5):
        trainer = trainer_of(micro)
        remember(trainer, gradients)
        trainer.step(examples, step=0, steps=2)
    trainer = trainer_of(5)
    batch: Batch = collate(examples, padding=2, device="cpu")
    labels = batch.ids.masked_fill(~batch.learn, -100)
    trainer.model(input_ids=batch.ids, labels=labels).loss.backward()
    naive = {name: weight.grad for name, weight in trainer.method.parameters().items()}
    for found in gradients:
        assert all(torch.allclose(found[name], naive[name], atol=1e-6) for name in naive)
    assert any(float(grad.norm()) > 1e-4 for grad in naive.values())


def trainer_of(micro):
    from ringfence.train.settings import RuntimeHints

    made = TrainSettings(lora_rank=2, max_grad_norm=0.0)
    return Trainer(
        model_of("llama").requires_grad_(requires_grad=False), made, hints=RuntimeHints(micro_batch=micro), padding=2, device="cpu"
    )


def remember(trainer, gradients):
    """Keep the gradients that the optimiser is given."""
    inner = trainer.optimiser.step

    def step(learning_rate):
        gradients.append({name: weight.grad.clone() for name, weight in trainer.method.parameters().items()})
        return inner(learning_rate)

    trainer.optimiser.step = step
