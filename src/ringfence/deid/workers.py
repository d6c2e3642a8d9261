"""Work in numbered pieces, shared among copies of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from ringfence.core.copies import Copies, Say
from ringfence.core.errors import WorkerLost

T = TypeVar("T")

_AHEAD = 2  # times the workers: pieces that may be done before their turn, so that a slow one does not hold up the others at once


def in_order(work: Callable[[int, Say], T], count: int, *, workers: int, say: Say = lambda _: None) -> Iterator[T]:
    """Yield work(0, say), ..., work(count - 1, say), in this order, whoever did them.

    work: runs in a copy of this process; what it changes there is lost, what it returns comes back through a pipe.
    workers: with one, or one piece, everything happens in this process.
    Memory: besides the copies, at most 2 * `workers` results that wait for their turn.

    Raises: WorkerLost when a worker ends without a word, Relayed for an exception that it raised; the others are ended then.
    """
    if min(workers, count) <= 1:
        yield from (work(number, say) for number in range(count))
        return
    team = _Team(work, min(workers, count))
    try:
        yield from _shared(team, count, say)
    finally:
        team.end()


def _shared(team: _Team[T], count: int, say: Say) -> Iterator[T]:
    done: dict[int, T] = {}
    asked = 0
    for number in range(count):
        while number not in done:
            while asked < min(count, number + _AHEAD * team.size) and team.ask(asked):
                asked += 1
            done |= team.answers(say)
        yield done.pop(number)


class _Team(Generic[T]):
    """The workers, each with the number of the piece that it works on."""

    def __init__(self, work: Callable[[int, Say], T], size: int) -> None:
        self.size = size
        self._copies = Copies(lambda _: work, size, lost=WorkerLost)
        self._busy: dict[Connection, int] = {}

    def ask(self, number: int) -> bool:
        """Give a piece to somebody who has none; return False when all are busy."""
        idle = next((end for end in self._copies.ends if end not in self._busy), None)
        if idle is None:
            return False
        self._copies.ask(idle, number)
        self._busy[idle] = number
        return True

    def answers(self, say: Say) -> dict[int, T]:
        """Wait until somebody says something; return the results among it, by number.

        Raises: WorkerLost, Relayed.
        """
        found: dict[int, T] = {}
        for end in wait(list(self._busy)):
            assert isinstance(end, Connection)  # noqa: S101  nothing else was waited for
            word, value = self._copies.hear(end)
            if word == "more":
                say(value)
            else:
                found[self._busy.pop(end)] = value
        return found

    def end(self) -> None:
        """End everybody, in the middle of a piece, too."""
        self._copies.end()
