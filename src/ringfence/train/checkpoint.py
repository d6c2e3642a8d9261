"""What a run needs to continue as if it had never stopped: safetensors and JSON, sealed in the slot that the host grants."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from safetensors.torch import load, save
from torch import Tensor

from ringfence.core.digest import canonical, settings_digest
from ringfence.core.errors import CheckpointUnfit
from ringfence.core.order import Channel, CheckpointReady, Slot
from ringfence.train.settings import TrainSettings

STATE = "state.json"
TENSORS = "state.safetensors"
_FORMAT = "ringfence.checkpoint/2"
_BEST = "best/"  # before the names of the best weights so far


@dataclass
class History:
    """What a run has seen so far."""

    step: int = 0  # steps done
    losses: list[float] = field(default_factory=list)  # one per step that read a row
    tokens: int = 0
    eval_before: float | None = None
    evals: list[tuple[int, float]] = field(default_factory=list)  # (steps done, loss of held-out rows), on the way
    best: dict[str, Tensor] = field(
        default_factory=dict
    )  # weights after the evaluation with the least loss; empty where nobody asks for them

    @property
    def best_step(self) -> int | None:
        """Return the steps done at the evaluation with the least loss, the earliest of them; None without one."""
        return min(self.evals, key=lambda one: one[1])[0] if self.evals else None

    def waits(self) -> int:
        """Return how many evaluations there were since that one."""
        return sum(step > (self.best_step or 0) for step, _ in self.evals)


def pack(history: History, tensors: Mapping[str, Tensor], settings: TrainSettings, *, rows: int) -> dict[str, bytes]:
    """Return the files of a checkpoint."""
    state = {
        "format": _FORMAT,
        "settings": settings_digest(settings),
        "rows": rows,
        "step": history.step,
        "losses": history.losses,
        "tokens": history.tokens,
        "eval_before": history.eval_before,
        "evals": history.evals,
    }
    best = {f"{_BEST}{name}": weight for name, weight in history.best.items()}
    return {STATE: canonical(state), TENSORS: save({**tensors, **best})}


def unpack(files: Mapping[str, bytes], settings: TrainSettings, *, rows: int) -> tuple[History, dict[str, Tensor]]:
    """Return what `pack` was given.

    Raises: CheckpointUnfit when the settings or the number of rows differ.
    """
    state = json.loads(files[STATE])
    if (state["format"], state["settings"], state["rows"]) != (_FORMAT, settings_digest(settings), rows):
        raise CheckpointUnfit
    tensors = load(files[TENSORS])
    best = {name.removeprefix(_BEST): tensors.pop(name) for name in list(tensors) if name.startswith(_BEST)}
    history = History(
        step=state["step"],
        losses=state["losses"],
        tokens=state["tokens"],
        eval_before=state["eval_before"],
        evals=[(step, loss) for step, loss in state["evals"]],
        best=best,
    )
    return history, tensors


class Keeper(Protocol):
    """Puts checkpoints where they survive."""

    def keep(self, history: History, tensors: Mapping[str, Tensor]) -> bool:
        """Store one checkpoint; return True when the run shall end now."""
        ...


class SlotKeeper:
    """Writes each checkpoint into the slot that the host granted last, and waits until the host has committed it."""

    def __init__(
        self,
        channel: Channel,
        *,
        slot: Slot,
        key: bytes,
        write: Callable[[Slot, bytes, Mapping[str, bytes]], None],
        settings: TrainSettings,
        rows: int,
    ) -> None:
        self._channel, self._slot, self._key, self._write = channel, slot, key, write
        self._settings, self._rows = settings, rows

    def keep(self, history: History, tensors: Mapping[str, Tensor]) -> bool:
        """Store one checkpoint; return True when the host asks the run to end."""
        self._write(self._slot, self._key, pack(history, tensors, self._settings, rows=self._rows))
        grant, self._key = self._channel.checkpoint(CheckpointReady(step=history.step, loss=history.losses[-1] if history.losses else None))
        self._slot = grant.next
        return grant.stop
