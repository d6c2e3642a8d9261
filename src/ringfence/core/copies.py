"""Copies of this process that work for it.

They are forked, so they begin with everything that this process holds at that moment, its models and literals for one, and share its memory
until they change it. They talk to nobody but this process.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any

from ringfence.core.errors import RingfenceError
from ringfence.core.failure import Relayed, failure_of

Say = Callable[[int], None]  # reports how many more items are done
Work = Callable[[Any, Say], Any]  # what is asked -> the answer

_SET_DEATH_SIGNAL = 1  # prctl
_FORK = multiprocessing.get_context("fork")


class Copies:
    """Copies of this process, each at the other end of a pipe, waiting to be asked."""

    def __init__(self, work: Callable[[int], Work], count: int, *, lost: type[RingfenceError]) -> None:
        """Make copies, numbered from 0. work(number) is called in the copy and returns what answers there; what that changes there is lost.

        lost: the error of a copy that ends without a word, with the fact `status`.
        """
        self._lost_as = lost
        self._processes: dict[Connection, ForkProcess] = {}
        gc.collect()
        gc.freeze()  # the copies' garbage collectors then leave alone what they share: to look at it is to write to it
        try:
            for number in range(count):
                end, other = _FORK.Pipe()
                process = _FORK.Process(target=_serve, args=(work, number, other, [*self._processes, end], os.getpid()))
                process.start()
                other.close()  # a pipe tells that its other end is gone once nobody has a copy of that end
                self._processes[end] = process
        except BaseException:
            self.end()
            raise
        finally:
            gc.unfreeze()

    @property
    def ends(self) -> list[Connection]:
        """Return the pipe to each copy, in the order of their numbers."""
        return list(self._processes)

    def ask(self, end: Connection, what: object) -> None:
        """Ask one copy. Raises: the error of a lost copy."""
        try:
            end.send(what)
        except OSError as cause:
            raise self._lost(end) from cause

    def hear(self, end: Connection) -> tuple[str, Any]:
        """Return what one copy says next: ("more", items) or ("done", answer).

        Raises: the error of a lost copy; Relayed for an exception in it, after which it has ended.
        """
        try:
            word, value = end.recv()
        except (EOFError, OSError) as cause:
            raise self._lost(end) from cause
        if word == "failed":
            raise Relayed(value)
        return word, value

    def end(self) -> None:
        """End everybody, in the middle of an answer, too: what was not handed over is not wanted."""
        for end, process in self._processes.items():
            process.kill()
            end.close()
        for process in self._processes.values():
            process.join()
            process.close()
        self._processes = {}

    def _lost(self, end: Connection) -> RingfenceError:
        process = self._processes[end]
        process.join()
        status = process.exitcode or 0
        return self._lost_as(status=status if status >= 0 else 128 - status)


def _serve(work: Callable[[int], Work], number: int, end: Connection, not_mine: list[Connection], asked_by: int) -> None:
    """Answer what is asked until nobody asks any more."""
    for other in not_mine:  # copies of what the process that asks holds, this one's own other end among them
        other.close()
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # nobody needs the answer any more
    if os.getppid() != asked_by:
        return
    answer = work(number)
    try:
        while True:
            asked = end.recv()
            try:
                found = answer(asked, lambda more: end.send(("more", more)))
            except Exception as error:  # noqa: BLE001  what happened leaves as class, place and numbers, as from any job
                end.send(("failed", failure_of(error)))
                return
            end.send(("done", found))
    except (EOFError, BrokenPipeError):
        return  # the process that asked has ended
