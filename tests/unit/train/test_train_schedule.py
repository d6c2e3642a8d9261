"""Rows and learning rates are functions of the step alone; the rates are those of transformers."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import TrainingArguments, get_scheduler

from ringfence.train.schedule import is_evaluated, learning_rate, rows_of_step, steps_of, steps_per_epoch
from ringfence.train.settings import SHAPES, Schedule, TrainSettings


@given(rows=st.integers(1, 60), size=st.integers(1, 9), accumulate=st.integers(1, 3), seed=st.integers(0, 99))
def test_each_epoch_reads_every_row_once_in_its_own_order(rows, size, accumulate, seed):
    made = TrainSettings(per_device_train_batch_size=size, gradient_accumulation_steps=accumulate, seed=seed)
    each = steps_per_epoch(made, rows)
    epochs = [[i for step in range(e * each, (e + 1) * each) for i in rows_of_step(made, rows, step)] for e in range(3)]
    assert all(sorted(epoch) == list(range(rows)) for epoch in epochs)
    assert rows < 20 or epochs[0] != epochs[1]
    assert all(len(rows_of_step(made, rows, step)) <= size * accumulate for step in range(each))


def test_steps_follow_epochs_unless_they_are_given():
    assert steps_of(TrainSettings(num_train_epochs=2.5, per_device_train_batch_size=4), 10) == 8
    assert steps_of(TrainSettings(num_train_epochs=0.01), 10) == 1
    assert steps_of(TrainSettings(max_steps=7), 10) == 7


SHAPED = [
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 0.05}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 0.5}),
    ("polynomial", {}),
    ("polynomial", {"power": 2.0, "lr_end": 0.01}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 7}),
]


@pytest.mark.parametrize(("kind", "shape"), SHAPED)
@settings(max_examples=15, deadline=None)
@given(
    steps=st.integers(1, 40),
    warmup=st.sampled_from(
        [{}, {"warmup_ratio": 0.03}, {"warmup_ratio": 0.3}, {"warmup_steps": 0.9}, {"warmup_steps": 5, "warmup_ratio": 0.3}]
    ),
)
def test_learning_rates_are_those_of_transformers(kind, shape, steps, warmup):
    made = TrainSettings(lr_scheduler_type=kind, lr_scheduler_kwargs=shape, learning_rate=0.5, **warmup)
    asked = TrainingArguments("/nowhere", warmup_steps=made.warmup_steps or made.warmup_ratio).get_warmup_steps(steps)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    oracle = get_scheduler(kind, optimiser, num_warmup_steps=asked, num_training_steps=steps, scheduler_specific_kwargs=shape)
    for step in range(steps):
        assert learning_rate(made, steps, step, highest=made.learning_rate) == pytest.approx(oracle.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        if step + 1 < steps:  # where all steps are warm-up, some of its shapes divide by zero after the last
            oracle.step()


def test_every_schedule_is_compared():
    assert {kind for kind, _ in SHAPED} == set(get_args(Schedule))
    assert {(kind, key) for kind, shape in SHAPED for key in shape} == {(kind, key) for kind, known in SHAPES.items() for key in known}


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("linear", {"num_cycles": 2}),
        ("cosine_with_min_lr", {}),
        ("cosine_with_min_lr", {"min_lr": 0.1, "min_lr_rate": 0.1}),
        ("cosine_with_min_lr", {"min_lr": 0.5}),
        ("cosine_with_min_lr", {"min_lr_rate": 1.0}),
        ("polynomial", {"lr_end": 1.0}),
        ("polynomial", {"power": 0}),
        ("polynomial", {"lr_end": 0.5}),
        ("inverse_sqrt", {"timescale": 0}),
        ("linear", {"speed": 1}),
        ("cosine", {"num_cycles": -1}),
    ],
)
def test_a_schedule_without_that_shape_is_refused(kind, shape):
    with pytest.raises(ValidationError):
        TrainSettings(lr_scheduler_type=kind, lr_scheduler_kwargs=shape, learning_rate=0.5)


@pytest.mark.parametrize(
    ("keys", "evaluated"),
    [
        ({"eval_strategy": "steps", "eval_steps": 2}, [2, 4, 6, 8]),
        ({"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 5}, [6, 8]),
        ({"eval_strategy": "epoch"}, [3, 6, 9]),
        ({"eval_strategy": "epoch", "eval_delay": 2}, [6, 9]),
        ({"eval_strategy": "epoch", "eval_delay": 99, "load_best_model_at_end": True}, [10]),  # there must be one to choose
    ],
    ids=str,
)
def test_held_out_rows_are_read_from_eval_delay_on(keys, evaluated):
    settings = TrainSettings(eval=True, **keys)
    assert [step for step in range(1, 11) if is_evaluated(settings, step, steps=10, epoch=3)] == evaluated
