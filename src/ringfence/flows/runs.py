"""Runs: list, look, stop."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ringfence.core.errors import Interrupted, NotClosable, NotReleasable, RunNotRunning
from ringfence.core.interrupts import uninterrupted
from ringfence.core.statement import Step
from ringfence.core.text import t
from ringfence.vault.files import read_file
from ringfence.workspace.control import ask
from ringfence.workspace.entries import Opened, Purpose
from ringfence.workspace.fsck import close_run
from ringfence.workspace.locks import is_free
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, Thing


def state_of(space: Workspace, run: Run) -> str:
    """Return what a run is now, a word of RUN_STATES: an open one whose process is gone was cut off."""
    if run.state != "open":
        return run.state
    return "cut off" if is_free(space.path / "runs" / run.id / "lock") else "running"


def adapter_of(space: Workspace, name: str) -> tuple[Run, Thing]:
    """Return a finished training run and its adapter.

    Raises: UnknownRun, AmbiguousName, NotReleasable.
    """
    run = space.state.run(name)
    if run.intent.arrow != "train":
        raise NotReleasable(run=run.id, state=t("a run of {arrow}", "{arrow} 步骤的运行", arrow=run.intent.arrow))
    made = next((one for one in run.made if one.kind == "adapter"), None)
    if made is None:
        raise NotReleasable(run=run.id, state=state_of(space, run))
    thing = space.state.live().get(made.digest)
    if thing is None:
        raise NotReleasable(run=run.id, state=t("done, and its adapter was deleted", "已完成，但其适配器已删除"))
    return run, thing


def overview(space: Workspace) -> list[dict[str, Any]]:
    """Return every run, newest last, as rows of a table."""
    return [
        {
            "run": run.id,
            "arrow": run.intent.arrow,
            "set": run.intent.name,
            "state": state_of(space, run),
            "started": run.intent.time,
            "ended": run.ended,
            "code": run.code,
        }
        for run in space.state.runs.values()
    ]


def details(space: Workspace, name: str) -> dict[str, Any]:
    """Return what is known of one run: its place in the ledger, statement, and, opened on record, its sealed figures.

    Raises: UnknownRun, AmbiguousName.
    """
    run = space.state.run(name)
    found: dict[str, Any] = {
        "run": run.id,
        "arrow": run.intent.arrow,
        "set": run.intent.name,
        "state": state_of(space, run),
        "started": run.intent.time,
        "ended": run.ended,
        "code": run.code,
        "inputs": dict(run.intent.inputs),
        "made": {made.role: f"{made.name}@{made.stage} {made.digest[:12]}" for made in run.made},
    }
    if (adapter := next((space.state.things[made.digest] for made in run.made if made.kind == "adapter"), None)) is not None:
        looks = {"audits": audits_of(space, adapter), "evaluations": evaluations_of(space, adapter)}
        found |= {name: [one.id for one in runs] for name, runs in looks.items() if runs}
    if run.checkpoint:
        found["checkpoint"] = {"step": run.step}
    if run.statement and run.intent.arrow != "release":
        predicate = space.statement(run.statement).predicate
        found["statement"] = run.statement
        found["sandbox"] = predicate.sandbox.model_dump(mode="json") if predicate.sandbox else {}
        found["seconds"] = dict(predicate.seconds) | {f"cpu {k}": v for k, v in predicate.cpu_seconds.items()}
        sealed = _sealed(space, run)
        found["figures"] = dict(predicate.figures) | sealed
        if ("plan" in predicate.figures or predicate.figures.get("stays_inside")) and sealed:
            found["not_private"] = sorted(sealed)  # of private rows, and covered by no epsilon: they stay inside
    return found


def sealed_bytes(space: Workspace, run: Run, *, purpose: Purpose = "figures") -> bytes | None:
    """Return the sealed figures of a run as its statement names them, opened on record; None where they were deleted or never made."""
    made = next((one for one in run.made if one.kind == "figures"), None)
    thing = space.state.live().get(made.digest) if made else None
    if thing is None:
        return None
    with space.locked():
        space.record(Opened(object=thing.made.digest, purpose=purpose))
    source = space.input(thing)
    return read_file(source.slot, space.keys.data_key(source.slot.slot), "figures.json")


def audits_of(space: Workspace, adapter: Thing) -> list[Run]:
    """Return the finished audits of an adapter, in the order in which they ended."""
    return _looks_at(space, adapter, "audit")


def evaluations_of(space: Workspace, adapter: Thing) -> list[Run]:
    """Return the finished evaluations of an adapter, in the order in which they ended."""
    return _looks_at(space, adapter, "eval")


def _looks_at(space: Workspace, adapter: Thing, step: Step) -> list[Run]:
    found = [run for run in space.state.runs.values() if run.intent.arrow == step and run.state == "done"]
    return sorted((run for run in found if run.intent.inputs.get("adapter") == adapter.made.digest), key=lambda run: run.outcome_index or 0)


def _sealed(space: Workspace, run: Run) -> dict[str, Any]:
    data = sealed_bytes(space, run)
    return dict(json.loads(data)["figures"]) if data is not None else {}


def close(space: Workspace, name: str) -> str:
    """Give up an interrupted run, or one that was cut off, and return its id: its checkpoint is shredded, what it had reserved and not used is free.

    Raises: UnknownRun, NotClosable while it is running and when it is over.
    """
    with space.locked() as state, uninterrupted(final=True):
        run = state.run(name)
        if state_of(space, run) not in ("interrupted", "cut off"):
            raise NotClosable(run=run.id, state=state_of(space, run))
        close_run(space, run.id, because=Interrupted)
    return run.id


def status(space: Workspace, name: str) -> dict[str, Any] | None:
    """Return what a running run says of itself; None when it is not running.

    Raises: UnknownRun.
    """
    return ask(space.path / "runs" / space.state.run(name).id, "status")


class Stopping(NamedTuple):
    """A run that was asked to stop."""

    run: str
    keeps: bool  # a checkpoint, from which it can go on


def request_stop(space: Workspace, name: str) -> Stopping:
    """Ask a run to stop, after it saved a checkpoint where it keeps any, and return which one it is.

    Raises: UnknownRun, RunNotRunning.
    """
    run = space.state.run(name)
    answer = ask(space.path / "runs" / run.id, "stop")
    if answer is None:
        raise RunNotRunning(run=run.id, state=state_of(space, run))
    return Stopping(run.id, keeps=answer.get("keeps", True))
