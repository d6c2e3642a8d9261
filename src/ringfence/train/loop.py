"""The one loop: every method and objective, from the first step or from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.core.errors import Interrupted, NothingToTrain
from ringfence.core.order import Channel, Progress
from ringfence.train.checkpoint import History, Keeper
from ringfence.train.data import Corpus, Example
from ringfence.train.schedule import rows_of_step, steps_of
from ringfence.train.trainer import Trainer


@dataclass(frozen=True)
class Outcome:
    """What the loop did."""

    history: History
    resumed_from: int | None
    eval_after: float | None
    seconds_per_step: float  # of the steps made by this process


def train(
    trainer: Trainer,
    corpus: Corpus,
    *,
    channel: Channel,
    evaluation: Sequence[Example] = (),
    keeper: Keeper | None = None,
    resumed: History | None = None,
) -> Outcome:
    """Make every step that is left and return what happened.

    When the host asks to stop, a checkpoint is kept and Interrupted raised: the run leaves no adapter, and can be resumed.

    Raises: NothingToTrain, LossNotFinite, Interrupted.
    """
    settings, rows = trainer.settings, len(corpus.examples)
    if not rows:
        raise NothingToTrain(rows=corpus.dropped)
    steps = steps_of(settings, rows)
    history = resumed or History()
    if evaluation and history.eval_before is None:
        channel.progress(Progress(done=history.step, total=steps, phase="evaluate"))
        history.eval_before = trainer.evaluate(evaluation)
    first, began = history.step, time.perf_counter()
    for step in range(first, steps):
        chosen = [corpus.examples[i] for i in rows_of_step(settings, rows, step)]
        loss = trainer.step(chosen, step=step, steps=steps)
        history.step += 1
        history.losses.append(loss)
        history.tokens += sum(len(example.ids) for example in chosen)
        channel.progress(Progress(done=history.step, total=steps, loss=loss))
        _keep(trainer, history, keeper=keeper, channel=channel, steps=steps)
    seconds = time.perf_counter() - began
    after = None
    if evaluation:
        channel.progress(Progress(done=steps, total=steps, phase="evaluate"))
        after = trainer.evaluate(evaluation)
    return Outcome(history, first or None, after, seconds / max(1, steps - first))


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
