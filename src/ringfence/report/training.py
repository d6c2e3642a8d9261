"""What a training run says of itself to other tools: a line of JSON for each logged step, TensorBoard's events, and a picture of its losses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from ringfence.core.text import t
from ringfence.report.curves import ticks
from ringfence.report.pictures import drawn_losses


@dataclass(frozen=True)
class Logged:
    """One logged step; None where nothing was measured."""

    step: int
    loss: float | None
    eval_loss: float | None
    learning_rate: float
    drawn: Mapping[str, float] = field(default_factory=dict)  # of answers that the model drew, by the names of TRL's log


@dataclass(frozen=True)
class Log:
    """All logged steps of a run, in order."""

    entries: tuple[Logged, ...]
    steps: int  # of the run
    steps_per_epoch: float
    seconds_per_step: float

    def lines(self) -> Iterator[str]:
        """Yield `trainer_log.jsonl` as LLaMA-Factory writes it. Times follow from the mean time of a step."""
        for one in self.entries:
            gone = one.step * self.seconds_per_step
            left = (self.steps - one.step) * self.seconds_per_step
            found = {
                "current_steps": one.step,
                "total_steps": self.steps,
                "loss": one.loss,
                "eval_loss": one.eval_loss,
                "lr": one.learning_rate,
                "epoch": round(one.step / self.steps_per_epoch, 4),
                **one.drawn,
                "percentage": round(100 * one.step / self.steps, 2),
                "elapsed_time": str(timedelta(seconds=int(gone))),
                "remaining_time": str(timedelta(seconds=int(left))),
            }
            yield json.dumps({key: value for key, value in found.items() if value is not None})

    def state(self) -> str:
        """Return `trainer_state.json` as transformers' Trainer writes it."""
        history: list[dict[str, float]] = []
        for one in self.entries:
            at = {"epoch": one.step / self.steps_per_epoch, "step": one.step}
            if one.loss is not None:
                history.append({"loss": one.loss, "learning_rate": one.learning_rate, **one.drawn, **at})
            if one.eval_loss is not None:
                history.append({"eval_loss": one.eval_loss, **at})
        found = {"epoch": self.steps / self.steps_per_epoch, "global_step": self.steps, "max_steps": self.steps, "log_history": history}
        return json.dumps(found, indent=2)


def picture(log: Log) -> str:
    """Return the losses of a run as SVG: of what it learned from as a line, of held-out rows as points."""
    learned = [(one.step, one.loss) for one in log.entries if one.loss is not None]
    held_out = [(one.step, one.eval_loss) for one in log.entries if one.eval_loss is not None]
    return drawn_losses(learned, held_out, ticks(log.steps), name=t("step", "步"))


def write_events(log: Log, folder: Path, *, began: float) -> None:
    """Write the log as TensorBoard's events, under the names of transformers' Trainer; nothing where its writer is not installed.

    began: seconds since 1970.
    """
    if find_spec("tensorboard") is None:
        return
    from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415  optional
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415
    from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415

    writer = EventFileWriter(str(folder))
    for one in log.entries:
        found = {"train/loss": one.loss, "train/learning_rate": one.learning_rate, "eval/loss": one.eval_loss}
        found |= {f"train/{name}": value for name, value in one.drawn.items()}
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in found.items() if value is not None and math.isfinite(value)]
        writer.add_event(Event(wall_time=began + one.step * log.seconds_per_step, step=one.step, summary=Summary(value=values)))
    writer.close()


def log_of(
    *,
    losses: Sequence[float],
    every: int,
    looks: Sequence[tuple[int, float]],
    rates: Sequence[float],
    steps: int,
    steps_per_epoch: float,
    seconds_per_step: float,
    drawn: Mapping[str, Sequence[float]] | None = None,
) -> Log:
    """Return the log of a run. drawn: figures of answers that the model drew, by name, as often as losses.

    losses: means over `every` steps each, the last of perhaps fewer. looks: (steps done, loss of held-out rows). rates: of each step.
    """
    learned = {min((at + 1) * every, steps): loss for at, loss in enumerate(losses)}
    beside = {min((at + 1) * every, steps): {name: of[at] for name, of in (drawn or {}).items()} for at in range(len(losses))}
    held_out = dict(looks)
    entries = tuple(
        Logged(step, learned.get(step), held_out.get(step), rates[max(0, step - 1)], beside.get(step, {}))
        for step in sorted(learned.keys() | held_out.keys())
    )
    return Log(entries, steps, steps_per_epoch, seconds_per_step)
