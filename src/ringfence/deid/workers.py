"""Work in numbered pieces, shared among copies of this process.

The copies are forked, so they begin with everything that this process holds at that moment, its models and literals for one, and share its
memory until they change it. They talk to nobody but this process.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Generic, TypeVar

from ringfence.core.errors import WorkerLost
from ringfence.core.failure import Relayed, failure_of

T = TypeVar("T")
Say = Callable[[int], None]  # reports how many more items of a piece are done

_AHEAD = 2  # times the workers: pieces that may be done before their turn, so that a slow one does not hold up the others at once
_SET_DEATH_SIGNAL = 1  # prctl
_FORK = multiprocessing.get_context("fork")


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
        self._members: dict[Connection, ForkProcess] = {}
        self._busy: dict[Connection, int] = {}
        gc.collect()
        gc.freeze()  # the copies' garbage collectors then leave alone what they share: to look at it is to write to it
        try:
            for _ in range(size):
                end, other = _FORK.Pipe()
                process = _FORK.Process(target=_serve, args=(work, other, [*self._members, end], os.getpid()))
                process.start()
                other.close()  # a pipe tells that its other end is gone once nobody has a copy of that end
                self._members[end] = process
        except BaseException:
            self.end()
            raise
        finally:
            gc.unfreeze()

    def ask(self, number: int) -> bool:
        """Give a piece to somebody who has none; return False when all are busy."""
        idle = next((end for end in self._members if end not in self._busy), None)
        if idle is None:
            return False
        try:
            idle.send(number)
        except OSError as cause:
            raise self._lost(idle) from cause
        self._busy[idle] = number
        return True

    def answers(self, say: Say) -> dict[int, T]:
        """Wait until somebody says something; return the results among it, by number.

        Raises: WorkerLost, Relayed.
        """
        found: dict[int, T] = {}
        for end in wait(list(self._busy)):
            assert isinstance(end, Connection)  # noqa: S101  nothing else was waited for
            try:
                word, value = end.recv()
            except (EOFError, OSError) as cause:
                raise self._lost(end) from cause
            if word == "more":
                say(value)
            elif word == "failed":
                raise Relayed(value)
            else:
                found[self._busy.pop(end)] = value
        return found

    def end(self) -> None:
        """End everybody, in the middle of a piece, too: what was not handed over is not wanted."""
        for end, process in self._members.items():
            process.kill()
            end.close()
        for process in self._members.values():
            process.join()
            process.close()
        self._members, self._busy = {}, {}

    def _lost(self, end: Connection) -> WorkerLost:
        process = self._members[end]
        process.join()
        status = process.exitcode or 0
        return WorkerLost(status=status if status >= 0 else 128 - status)


def _serve(work: Callable[[int, Say], Any], end: Connection, not_mine: list[Connection], asked_by: int) -> None:
    """Do what is asked until nobody asks any more."""
    for other in not_mine:  # copies of what the process that asks holds, this worker's own other end among them
        other.close()
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # nobody needs the piece any more
    if os.getppid() != asked_by:
        return
    try:
        while True:
            number = end.recv()
            try:
                result = work(number, lambda more: end.send(("more", more)))
            except Exception as error:  # noqa: BLE001  what happened leaves as class, place and numbers, as from any job
                end.send(("failed", failure_of(error)))
                return
            end.send(("done", result))
    except (EOFError, BrokenPipeError):
        return  # the process that asked has ended
