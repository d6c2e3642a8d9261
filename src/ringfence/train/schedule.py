"""Which rows each step reads and how fast it learns: functions of the step alone, so that a resumed run needs nothing else."""

from __future__ import annotations

import math

import numpy as np

from ringfence.train.settings import TrainSettings


def steps_of(settings: TrainSettings, rows: int) -> int:
    """Return the steps of a run; the last batch of an epoch may be short, as in transformers' Trainer."""
    if settings.max_steps is not None:
        return settings.max_steps
    return max(1, math.ceil(settings.num_train_epochs * steps_per_epoch(settings, rows)))


def steps_per_epoch(settings: TrainSettings, rows: int) -> int:
    """Return the steps that read every row once."""
    return math.ceil(rows / settings.batch)


def rows_of_step(settings: TrainSettings, rows: int, step: int) -> list[int]:
    """Return the indices of the rows of one step, counted from 0. Each epoch is a permutation drawn from (seed, epoch)."""
    epoch, at = divmod(step, steps_per_epoch(settings, rows))
    order = np.random.default_rng([settings.seed, epoch]).permutation(rows)
    return [int(i) for i in order[at * settings.batch : (at + 1) * settings.batch]]


def learning_rate(settings: TrainSettings, steps: int, step: int, *, highest: float) -> float:
    """Return the learning rate of one step, counted from 0.

    Source: get_{linear,cosine,constant}_schedule_with_warmup of transformers, which the tests compare.
    """
    warmup = math.ceil(steps * settings.warmup_ratio)
    if step < warmup:
        return highest * step / max(1, warmup)
    done = (step - warmup) / max(1, steps - warmup)
    if settings.lr_scheduler_type == "linear":
        return highest * max(0.0, 1.0 - done)
    if settings.lr_scheduler_type == "cosine":
        return highest * max(0.0, 0.5 * (1.0 + math.cos(math.pi * done)))
    return highest


def noise_gain(settings: TrainSettings, steps: int) -> float:
    """Return how far, in L2, gradients of independent noise of length 1 move the weights in so many steps of SGD, at a highest rate of 1.

    A step's gradient goes on in the momentum: it counts with Σ over later steps t of rate(t) · momentum^(t − its own), and the squares of these add up.
    Weight decay is left out.
    """
    later = squares = 0.0
    for step in reversed(range(steps)):
        later = learning_rate(settings, steps, step, highest=1.0) + settings.momentum * later
        squares += later**2
    return math.sqrt(squares)
