"""Memory: what runs so far remembered, and what the next one will."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringfence.audit.forecast import Forecast, Seen, forecast
from ringfence.core.statement import Statement
from ringfence.train.settings import TrainOrder, TrainSettings
from ringfence.vault.index import read_index
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing


@dataclass(frozen=True)
class Expected:
    """What a run is expected to remember."""

    runs: int  # audited runs so far
    once: Forecast | None = None  # of what stands in the data once; None: too few runs
    repeats: int = 1  # how often the most repeated row stands there
    repeated: Forecast | None = None  # of that row

    def as_json(self) -> dict[str, Any]:
        """Return what scripts get."""
        once, often = (one._asdict() if one else None for one in (self.once, self.repeated))
        return {"audited_runs": self.runs, "once": once, "repeats": self.repeats, "repeated": often}


def foretell_memory(space: Workspace, things: Sequence[Thing], order: TrainOrder, *, rows: int, steps: int, rate: float) -> Expected:
    """Return what a run of so many steps on so many rows will remember. things: its sets, before canaries; rows: with them.

    A row that stands there several times is read so many times as often. rate: the highest learning rate.
    """
    seen, wanted = audited_runs(space, like=order.train), _seen(order, rows=rows, steps=steps, rate=rate)
    repeats = _repeats(space, things)
    often = wanted._replace(passes=wanted.passes * repeats)
    return Expected(len(seen), forecast(seen, wanted), repeats, forecast(seen, often) if repeats > 1 else None)


def _repeats(space: Workspace, things: Sequence[Thing]) -> int:
    slots = [space.input(thing).slot for thing in things]
    found = [read_index(slot, space.keys.data_key(slot.slot)).content_hmacs for slot in slots]
    contents = np.concatenate([one for one in found if one is not None] or [np.empty((0, 16), dtype=np.uint8)])
    return int(np.unique(contents, axis=0, return_counts=True)[1].max()) if len(contents) else 1


def audited_runs(space: Workspace, *, like: TrainSettings) -> list[Seen]:
    """Return what is on record of every audited run that learned from rows of the same kind, and like it into an adapter or into the base's own weights.

    The newest audit of each counts. Public figures alone are read.
    """
    state, found = space.state, dict[str, Seen]()
    trained = {made.digest: run for run in state.runs.values() if run.intent.arrow == "train" for made in run.made}
    planted = {made.digest: run for run in state.runs.values() if run.intent.arrow == "plant" for made in run.made}
    for run in state.runs.values():
        if run.intent.arrow != "audit" or not run.statement:
            continue
        adapter = run.intent.inputs["adapter"]
        training, audit = trained[adapter].statement, space.statement(run.statement)
        plant = planted[audit.predicate.inputs["register"]].statement
        if training and plant and audit.predicate.figures["validity"] == "valid" and audit.predicate.figures["secrets"]:
            statement = space.statement(training)
            train = TrainOrder.model_validate(statement.predicate.settings["order"]).train
            if _alike(train) == _alike(like):
                found[adapter] = _on_record(statement, audit, rows=space.statement(plant).predicate.figures["rows"])
    return list(found.values())


def _alike(train: TrainSettings) -> tuple[object, ...]:
    """Return what runs have in common whose audits tell something of each other."""
    return train.reads, train.is_whole, train.is_reward, train.drawn is None


def _on_record(training: Statement, audit: Statement, *, rows: int) -> Seen:
    order = TrainOrder.model_validate(training.predicate.settings["order"])
    figures = training.predicate.figures
    rate = float(figures.get("learning_rate", order.train.learning_rate))
    seen = _seen(order, rows=rows, steps=figures["steps"], rate=rate)
    return seen._replace(exposure=audit.predicate.figures["exposure_mean"])


def _seen(order: TrainOrder, *, rows: int, steps: int, rate: float) -> Seen:
    train, plan = order.train, order.plan
    passes = steps * plan.sampling_rate if plan else steps * train.batch / max(1, rows)
    return Seen(rows, passes, rate, plan.epsilon if plan else None)
