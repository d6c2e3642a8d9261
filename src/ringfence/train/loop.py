"""The one loop: every method and objective, from the first step or from a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.core.errors import Interrupted
from ringfence.core.order import Channel, Progress
from ringfence.train.batches import Batches
from ringfence.train.checkpoint import History, Keeper
from ringfence.train.data import Example
from ringfence.train.held_out import HeldOut
from ringfence.train.schedule import is_evaluated
from ringfence.train.trainer import Trainer


@dataclass(frozen=True)
class Outcome:
    """What the loop did."""

    history: History
    resumed_from: int | None
    after: HeldOut | None
    seconds_per_step: float  # of the steps made by this process


def train(
    trainer: Trainer,
    batches: Batches,
    *,
    channel: Channel,
    evaluation: Sequence[Example] = (),
    keeper: Keeper | None = None,
    resumed: History | None = None,
) -> Outcome:
    """Make every step that is left and may be made, and return what happened.

    When the host asks to stop, a checkpoint is kept and Interrupted raised: the run leaves no adapter, and can be resumed.

    Raises: LossNotFinite, Interrupted.
    """
    steps = batches.steps
    history = resumed or History()
    if evaluation and history.eval_before is None:
        channel.progress(Progress(done=history.step, total=steps, phase="evaluate"))
        history.eval_before = trainer.evaluate(evaluation).loss
    first, began = history.step, time.perf_counter()
    while history.step < steps and (chosen := batches.rows(history.step)) is not None:
        loss = trainer.step(chosen, step=history.step, steps=steps)
        history.step += 1
        if loss is not None:
            history.losses.append(loss)
        history.tokens += sum(example.tokens for example in chosen)
        channel.progress(Progress(done=history.step, total=steps, loss=loss))
        if evaluation and is_evaluated(trainer.settings, history.step, steps=steps, epoch=batches.epoch):
            _look(trainer, history, evaluation, channel=channel, steps=steps)
            if history.waits() >= (trainer.settings.early_stopping_steps or math.inf):
                break
        _keep(trainer, history, keeper=keeper, channel=channel, steps=steps)
    seconds = time.perf_counter() - began
    if history.best and history.best_step != history.step:
        trainer.put(history.best)
    after = None
    if evaluation:
        channel.progress(Progress(done=history.step, total=steps, phase="evaluate"))
        after = trainer.evaluate(evaluation)
    return Outcome(history, first or None, after, seconds / max(1, history.step - first))


def _look(trainer: Trainer, history: History, evaluation: Sequence[Example], *, channel: Channel, steps: int) -> None:
    """Evaluate held-out rows on the way, and remember the weights where they foretell them best so far."""
    channel.progress(Progress(done=history.step, total=steps, phase="evaluate"))
    history.evals.append((history.step, trainer.evaluate(evaluation).loss))
    if trainer.settings.load_best_model_at_end and history.best_step == history.step:
        history.best = trainer.weights()


def _keep(trainer: Trainer, history: History, *, keeper: Keeper | None, channel: Channel, steps: int) -> None:
    """Keep a checkpoint when one is due; the last step needs none, as the adapter follows it."""
    if history.step == steps:
        return
    must_stop = channel.should_stop()
    is_due = bool(trainer.settings.save_steps) and history.step % trainer.settings.save_steps == 0
    if keeper is not None and (must_stop or is_due):
        must_stop = keeper.keep(history, trainer.optimiser.state()) or must_stop
    if must_stop:
        raise Interrupted
