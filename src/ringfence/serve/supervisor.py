"""Keeps an engine running: one that dies is replaced, one that breaks its contract ends the service."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.core.errors import JobDied, JobTimeout, NotOpened, OutOfMemory, RingfenceError
from ringfence.serve.desk import Desk

_FIRST, _LONGEST = 0.25, 30.0  # s before an engine is started again
# What opened a model before opens it again once there is memory; anything else would happen again, or means that something was altered.
_MORTAL = (JobDied, JobTimeout, OutOfMemory, NotOpened)


@dataclass
class Supervisor:
    """Runs engines one after the other in a thread of its own.

    run: starts one, serves the desk with it and returns when the desk is closed. on_lost: told of each that died, and of the seconds until
    the next.
    """

    desk: Desk
    run: Callable[[], object]
    on_lost: Callable[[RingfenceError, float], None]

    def start(self) -> threading.Thread:
        """Return the thread, running."""
        thread = threading.Thread(target=self._keep, name="engine", daemon=True)
        thread.start()
        return thread

    def _keep(self) -> None:
        """Close the desk at the end, whatever ended it: without an engine, whoever waits there would wait for ever."""
        try:
            self._run_each()
        except BaseException as error:  # noqa: BLE001  it is raised in the main thread: `desk.end`
            self.desk.close(error)
        else:
            self.desk.close()

    def _run_each(self) -> None:
        has_served = False
        wait = _FIRST
        while not self.desk.has_closed():
            try:
                self.run()
            except _MORTAL as error:
                was_ready = self.desk.lost()
                if self.desk.has_closed():
                    return
                if not (has_served or was_ready):  # it never came up: the caller is still waiting for the first
                    raise
                has_served = True
                wait = _FIRST if was_ready else min(2 * wait, _LONGEST)
                self.on_lost(error, wait)
                self.desk.wait(wait, until_closed=True)
            else:
                return
