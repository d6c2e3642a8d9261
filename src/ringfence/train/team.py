"""Several processes that make one run together, one on each device: what they say to each other, and how their sums become one.

Rank 0 is the process that the host started, and leads. It alone talks to the host, reads the set, draws rows and noise and keeps the optimiser's
state; the others are copies of it that hold the model, are handed rows, and hand back sums. Words go through pipes, tensors through torch.distributed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ringfence.core.copies import Copies, Work
from ringfence.core.environment import use_loopback
from ringfence.core.errors import RankLost
from ringfence.core.failure import Relayed

_TOGETHER = timedelta(minutes=5)  # for tensors to pass once every rank is there to pass them
_PATIENCE = 3600.0  # s for the share of one step
_MOMENT = 2.0  # s for the others to say why something went wrong
_TIMED_OUT = 124  # the exit status that `timeout` gives, too


class Team:
    """The processes of one run, seen from one of them. By default there is one."""

    def __init__(self, size: int = 1, rank: int = 0, *, meeting: Path | None = None, copies: Copies | None = None) -> None:
        """Describe the team. meeting: a file through which they find each other. copies: the others, for rank 0."""
        self.size, self.rank = size, rank
        self._meeting, self._copies = meeting, copies
        self._has_met = False

    @property
    def leads(self) -> bool:
        """Return True on rank 0."""
        return self.rank == 0

    def ask(self, what: str, of_each: Sequence[tuple[Any, ...]]) -> None:
        """Ask the other ranks for something; of_each: the arguments of every rank, the first one's included.

        Raises: RankLost.
        """
        if self._copies:
            for end, arguments in zip(self._copies.ends, of_each[1:], strict=True):
                self._copies.ask(end, (what, arguments))

    def answers(self) -> list[Any]:
        """Return what the other ranks answer, in their order.

        Raises: RankLost, Relayed.
        """
        found = self._heard(_PATIENCE)
        if found is None:
            raise RankLost(status=_TIMED_OUT)
        return found

    def each(self, own: object, what: str, of_each: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """Call one method on every rank, on `own` here, and return what they answer, rank 0 first. Without `of_each` it takes no arguments.

        Raises: RankLost, Relayed, and what the method raises.
        """
        of_each = of_each or [()] * self.size
        self.ask(what, of_each)
        try:
            mine = getattr(own, what)(*of_each[0])
        except Exception:
            self._heard(_MOMENT)  # it may be but the consequence of what went wrong elsewhere, which is then raised
            raise
        return [mine, *self.answers()]

    def meet(self, device: str) -> None:
        """Return once all ranks are there; at once where they have met. Every rank must call it, and then `add_up` and `take_over` in the same order."""
        if self.size > 1 and not self._has_met:
            self._has_met = True
            use_loopback()
            backend = "nccl" if device == "cuda" else "gloo"
            store = dist.FileStore(str(self._meeting), self.size)
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=_TOGETHER)

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let one rank after the other go through the block, rank 0 first: what each needs for a moment is never needed twice at a time.

        Rank 0 notices those that end within it, as long as it waits for their answers.

        Raises: RankLost on a rank whose turn does not come within an hour: that is for all turns before it together.
        """
        if self.size == 1:
            yield
            return
        assert self._meeting is not None  # noqa: S101  of several there is one
        turns = dist.FileStore(str(self._meeting.with_name("turns")), self.size)
        if self.rank:
            try:
                turns.wait([str(self.rank - 1)], timedelta(seconds=_PATIENCE))
            except RuntimeError as cause:  # a file store knows no narrower one
                raise RankLost(status=_TIMED_OUT) from cause
        yield
        turns.set(str(self.rank), "over")

    def add_up(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sums over all ranks on rank 0; elsewhere nothing of use."""
        if self.size == 1:
            return dict(tensors)
        names = sorted(tensors)
        flat = torch.cat([tensors[name].flatten() for name in names])
        dist.reduce(flat, dst=0)
        parts = flat.split([tensors[name].numel() for name in names])
        return {name: part.view(tensors[name].shape) for name, part in zip(names, parts, strict=True)}

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is untyped here
    def take_over(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite the tensors of all ranks with those of rank 0, to the bit."""
        if self.size == 1:
            return
        names = sorted(tensors)
        flat = torch.cat([tensors[name].flatten() for name in names])
        dist.broadcast(flat, src=0)
        if not self.leads:
            for name, part in zip(names, flat.split([tensors[name].numel() for name in names]), strict=True):
                tensors[name].copy_(part.view(tensors[name].shape))

    def _heard(self, patience: float) -> list[Any] | None:
        """Return the answers of all other ranks; None when that takes too long.

        Raises: RankLost rather than Relayed: where one rank dies, others fail because of it.
        """
        if self._copies is None:
            return []
        found: dict[Connection, Any] = {}
        failed: Relayed | None = None
        missing = self._copies.ends
        while missing and (ready := wait(missing, _MOMENT if failed else patience)):
            for end in ready:
                assert isinstance(end, Connection)  # noqa: S101  nothing else was waited for
                missing.remove(end)
                try:
                    _, found[end] = self._copies.hear(end)
                except Relayed as error:
                    failed = failed or error
        if failed:
            raise failed
        return None if missing else [found[end] for end in self._copies.ends]


@contextlib.contextmanager
def assembled(size: int, build: Callable[..., object]) -> Iterator[Team]:
    """Yield a team of this process, which leads, and size - 1 copies of it, which end with the block.

    build: called in a copy with its own Team and the arguments of `ask("build", …)`; the methods of what it returns answer from then on.

    Call it before torch works on anything: threads and the driver of a GPU do not survive the copying.
    """
    if size == 1:
        yield Team()
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        copies = Copies(lambda number: _member(Team(size, number + 1, meeting=meeting), build), size - 1, lost=RankLost)
        try:
            yield Team(size, meeting=meeting, copies=copies)
        finally:
            copies.end()
            if dist.is_initialized() and dist.get_backend() == "gloo":  # nccl would wait for those who are gone; it ends with the process
                dist.destroy_process_group()


def _member(team: Team, build: Callable[..., object]) -> Work:
    made: object = None

    def answer(asked: tuple[str, tuple[Any, ...]], _say: object) -> Any:  # noqa: ANN401  whatever the method returns
        nonlocal made
        what, arguments = asked
        if what != "build":
            return getattr(made, what)(*arguments)
        made = build(team, *arguments)
        return None

    return answer
