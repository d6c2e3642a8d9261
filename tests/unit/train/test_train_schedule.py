"""Rows and learning rates are functions of the step alone; the rates are those of transformers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import get_scheduler

from ringfence.train.schedule import learning_rate, rows_of_step, steps_of, steps_per_epoch
from ringfence.train.settings import TrainSettings


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


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 40), warmup=st.sampled_from([0.0, 0.03, 0.3, 0.9]))
def test_learning_rates_are_those_of_transformers(kind, steps, warmup):
    made = TrainSettings(lr_scheduler_type=kind, warmup_ratio=warmup, learning_rate=0.5)
    name = "constant_with_warmup" if kind == "constant" else kind
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    oracle = get_scheduler(name, optimiser, num_warmup_steps=-(-int(steps * warmup * 1000) // 1000), num_training_steps=steps)
    for step in range(steps):
        assert learning_rate(made, steps, step, highest=made.learning_rate) == pytest.approx(oracle.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        oracle.step()
