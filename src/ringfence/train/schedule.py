"""Which rows each step reads and how fast it learns: functions of the step alone, so that a resumed run needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, get_args

import numpy as np

from ringfence.train.settings import LR_END, Schedule, Shape, TrainSettings

_TIMESCALE = 10_000  # steps, of an inverse square root without warm-up, as transformers has it


def steps_of(settings: TrainSettings, rows: int) -> int:
    """Return the steps of a run; the last batch of an epoch may be short, as in transformers' Trainer."""
    if settings.max_steps is not None:
        return settings.max_steps
    return max(1, math.ceil(settings.num_train_epochs * steps_per_epoch(settings, rows)))


def steps_per_epoch(settings: TrainSettings, rows: int) -> int:
    """Return the steps that read every row once."""
    return math.ceil(rows / settings.batch) * settings.updates


def rows_of_step(settings: TrainSettings, rows: int, step: int) -> list[int]:
    """Return the indices of the rows of one step, counted from 0. Each epoch is a permutation drawn from (seed, epoch)."""
    epoch, at = divmod(step, steps_per_epoch(settings, rows))
    order = np.random.default_rng([settings.seed, epoch]).permutation(rows)
    return [int(i) for i in order[at * settings.batch : (at + 1) * settings.batch]]


def learning_rate(settings: TrainSettings, steps: int, step: int, *, highest: float) -> float:
    """Return the learning rate of one step, counted from 0.

    Source: `transformers.get_scheduler`, which the tests compare; its "constant" alone has no warm-up.
    """
    warmup = warmup_of(settings, steps)
    if step < warmup:
        return highest * step / max(1, warmup)
    at = _At(step, warmup, steps, highest)
    return highest * max(0.0, _SHARES[settings.lr_scheduler_type](at, settings.lr_scheduler_kwargs))


def warmup_of(settings: TrainSettings, steps: int) -> int:
    """Return the steps in which the rate rises."""
    if settings.lr_scheduler_type == "constant":
        return 0
    wanted = settings.warmup_steps or settings.warmup_ratio
    return int(wanted) if wanted >= 1 else math.ceil(steps * wanted)


class _At(NamedTuple):
    """Where a run is, after its warm-up."""

    step: int
    warmup: int  # steps
    steps: int
    highest: float

    @property
    def done(self) -> float:
        """The share of the steps after warm-up that are made."""
        return (self.step - self.warmup) / max(1, self.steps - self.warmup)


def _linear(at: _At, _: Mapping[Shape, float]) -> float:
    return 1.0 - at.done


def _cosine(at: _At, shape: Mapping[Shape, float]) -> float:
    return 0.5 * (1.0 + math.cos(2 * math.pi * shape.get("num_cycles", 0.5) * at.done))


def _restarts(at: _At, shape: Mapping[Shape, float]) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * (shape.get("num_cycles", 1) * at.done % 1.0))) if at.done < 1 else 0.0


def _cosine_to(at: _At, shape: Mapping[Shape, float]) -> float:
    lowest = shape["min_lr_rate"] if "min_lr_rate" in shape else shape["min_lr"] / at.highest
    return _cosine(at, shape) * (1 - lowest) + lowest


def _polynomial(at: _At, shape: Mapping[Shape, float]) -> float:
    last = shape.get("lr_end", LR_END) / at.highest
    return (1 - last) * (1 - at.done) ** shape.get("power", 1.0) + last if at.done < 1 else last


def _inverse_sqrt(at: _At, shape: Mapping[Shape, float]) -> float:
    scale = shape.get("timescale", at.warmup or _TIMESCALE)
    return 1.0 / math.sqrt((at.step + scale - at.warmup) / scale)


def _constant(_: _At, __: Mapping[Shape, float]) -> float:
    return 1.0


_SHARES: Mapping[str, Callable[[_At, Mapping[Shape, float]], float]] = {  # of the highest rate, after warm-up
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _restarts,
    "cosine_with_min_lr": _cosine_to,
    "polynomial": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "constant": _constant,
    "constant_with_warmup": _constant,
}
assert set(_SHARES) == set(get_args(Schedule))  # noqa: S101  a schedule without a shape fails at import


def is_evaluated(settings: TrainSettings, step: int, *, steps: int, epoch: int) -> bool:
    """Return whether held-out rows are read after so many steps. After the last one they are read anyway, and here only to choose by it.

    steps: of the run. epoch: of them, those that read every row once.
    """
    if settings.eval_strategy == "no" or (step == steps and not settings.load_best_model_at_end):
        return False
    by_epoch = settings.eval_strategy == "epoch"
    if step < min(steps, settings.eval_delay * (epoch if by_epoch else 1)):
        return False
    every = epoch if by_epoch else settings.eval_steps or settings.logging_steps
    return step % every == 0 or step == steps


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
