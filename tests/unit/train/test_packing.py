"""Rows that share a sequence: each one's loss and gradient are what they are alone, and no row reads another."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ringfence.models.load import load_model
from ringfence.privacy.plan import DPPlan
from ringfence.train.answers import losses_of
from ringfence.train.data import Example, collate, fill
from ringfence.train.settings import RuntimeHints, TrainOrder, TrainSettings
from ringfence.train.trainer import PACKED, Trainer

LENGTHS = (5, 60, 17, 90, 33, 2)
SHARED = (3, 1, 2)  # of these rows, in each sequence
PACKS = RuntimeHints(device="cpu", dtype="float32", packing=True)


def row(length: int, seed: int = 0) -> Example:
    drawn = np.random.default_rng([length, seed])
    learn = drawn.random(length) < 0.6
    learn[0], learn[-1] = False, True
    return Example(drawn.integers(3, 30, length).astype(np.int32), learn, unit=length)


def model_of(folder, attention="sdpa", dtype=torch.float32):
    return load_model(folder, dtype=dtype, device="cpu", attention=attention)


def losses(model, rows, **more):
    with torch.no_grad():
        return losses_of(model, collate(rows, padding=2, device="cpu", **more), chunk=64)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_row_in_a_shared_sequence_has_the_loss_that_it_has_alone(tiny_folder, attention):
    model, rows = model_of(tiny_folder, attention), [row(n) for n in LENGTHS]
    summed, weight = losses(model, rows, packed=SHARED, length=256)
    alone = [losses(model, [one]) for one in rows]
    assert summed.tolist() == pytest.approx([float(loss) for loss, _ in alone], rel=1e-5)
    assert weight.tolist() == [float(count) for _, count in alone] == [float(one.weight) for one in rows]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_what_a_row_says_changes_no_other_row(tiny_folder, attention):
    model, rows = model_of(tiny_folder, attention), [row(n) for n in LENGTHS]
    before, _ = losses(model, rows, packed=SHARED)
    for at in range(len(rows)):
        after, _ = losses(model, [*rows[:at], row(LENGTHS[at], seed=1), *rows[at + 1 :]], packed=SHARED)
        assert [n for n in range(len(rows)) if before[n] != after[n]] == [at]


@pytest.mark.parametrize("method", ["lora.v1", "dora.v1", "full.v1"])  # the last one trains the head, too
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_has_the_gradient_that_it_has_without(tiny_folder, method, checkpointing):
    rows, found = [row(n) for n in (*LENGTHS, 300, 400, 250)], []
    for packing in (False, True):
        hints = PACKS.model_copy(update={"packing": packing, "checkpointing": checkpointing})
        settings = TrainSettings(method=method, learning_rate=1e-3, per_device_train_batch_size=4, lora_rank=4)
        trainer = Trainer(model_of(tiny_folder), settings, hints=hints, padding=2, device="cpu")
        with torch.no_grad():  # a factor that is zero would hide what the other one gets
            drawn = torch.Generator().manual_seed(4)
            for weight in trainer.method.parameters().values():
                weight.add_(torch.randn(weight.shape, generator=drawn) * 0.01)
        loss = trainer.learn(trainer.passes(rows), 0, sum(one.weight for one in rows))
        found.append((loss, trainer.optimiser.take(), len(trainer.passes(rows))))
    (loss, plain, many), (packed_loss, packed, few) = found
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert few < many
    for name, gradient in plain.items():
        assert float((packed[name] - gradient).norm()) <= 1e-5 * float(gradient.norm()), name


@given(st.lists(st.integers(2, 700), min_size=1, max_size=30), st.integers(2, 600))
def test_every_row_has_one_place_and_a_sequence_no_more_than_was_asked_for(lengths, tokens):
    rows = [row(n, seed=at) for at, n in enumerate(lengths)]
    groups = fill(rows, tokens)
    assert sorted(id(one) for group in groups for one in group) == sorted(map(id, rows))
    assert all(len(group) == 1 or sum(one.tokens for one in group) <= tokens for group in groups)
    assert len(groups) <= 1.25 * sum(max(1.0, n / tokens) for n in lengths) + 1


@given(st.lists(st.lists(st.integers(2, 40), min_size=1, max_size=5), min_size=1, max_size=4), st.integers(0, 200))
def test_a_packed_batch_holds_the_padded_one(lengths, length):
    rows = [row(n, seed=at) for at, n in enumerate(chain.from_iterable(lengths))]
    batch = collate(rows, padding=2, device="cpu", length=length, packed=[len(one) for one in lengths])
    ids, positions, places, _ = batch.packed
    assert ids.shape == positions.shape == (len(lengths), max(length, *map(sum, lengths)))
    for at, one in enumerate(rows):
        own = places[at, : len(one.ids)]
        assert ids.flatten()[own].tolist() == one.ids.tolist() == batch.ids[at, : len(one.ids)].tolist()
        assert positions.flatten()[own].tolist() == list(range(len(one.ids)))
    fillers = sum(sum(one) < ids.shape[1] for one in lengths)
    assert int((positions == 0).sum()) == len(rows) + fillers  # what fills up is a sequence of its own


@pytest.mark.parametrize(("micro_batch", "most"), [(1, 1), (8, 1), (9, 2)])
def test_a_pass_holds_no_more_tokens_than_without_packing_or_one_sequence(tiny_folder, micro_batch, most):
    hints = PACKS.model_copy(update={"micro_batch": micro_batch})
    trainer = Trainer(model_of(tiny_folder), TrainSettings(), hints=hints, padding=2, device="cpu")
    rows = [row(n, seed=n) for n in range(20, 121)]
    shapes = [trainer.shape(one) for one in trainer.passes(rows)]
    assert max(count for count, _ in shapes) == most
    assert all(tokens <= PACKED for _, tokens in shapes)
    assert sum(count * tokens for count, tokens in shapes) < 1.05 * sum(one.tokens for one in rows)
    assert [trainer.shape(one) for one in trainer.passes([row(PACKED + 90)])] == [(1, PACKED + 90)]


def test_long_rows_make_no_larger_passes_and_pad_no_others(tiny_folder):
    trainer = Trainer(model_of(tiny_folder), TrainSettings(), hints=PACKS.model_copy(update={"micro_batch": 2}), padding=2, device="cpu")
    long, short = PACKED + 300, [row(n, seed=n) for n in range(20, 121)]
    shapes = [trainer.shape(one) for one in trainer.passes([row(long), row(long, 1), row(long, 2), *short])]
    assert sorted(count for count, tokens in shapes if tokens == long) == [1, 2]
    assert all(count * tokens <= 2 * long for count, tokens in shapes)
    assert sum(count * tokens for count, tokens in shapes) < 1.05 * (3 * long + sum(one.tokens for one in short))


@pytest.mark.parametrize(
    "change", [{"objective": "kto.v1"}, {"objective": "dpo.v1"}, {"neftune_noise_alpha": 5.0}], ids=["kto", "dpo", "neftune"]
)
def test_what_depends_on_a_pass_is_not_packed(change):
    with pytest.raises(ValidationError, match="packing is for"):
        TrainOrder(train=TrainSettings(**change), hints=PACKS)
    TrainOrder(train=TrainSettings(**change))


def test_a_private_run_is_never_packed():
    plan = DPPlan(epsilon=4, delta=1e-5, unit="id", units=20, sampling_rate=0.2, max_batch=20, steps=5, noise_multiplier=1.5, clip_norm=1)
    with pytest.raises(ValidationError, match="packing is for"):
        TrainOrder(plan=plan, hints=PACKS)
    TrainOrder(plan=plan)
