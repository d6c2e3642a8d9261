"""The process tree of one child: waited for, killed and reaped as a whole."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess

from ringfence.sandbox.cgroup import Group

_GRACE = 5.0  # s for a killed tree to be gone
TIMED_OUT = 124  # the exit status that `timeout` gives, too


class Tree:
    """A started process and all that it starts.

    Under T1 the process is bubblewrap and `adopt` names the first process inside, pid 1 of its own namespace: the kernel ends every other
    process of the namespace with it, and bubblewrap reaps it, so that its CPU time counts here.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._handle = os.pidfd_open(process.pid)
        self._inner: int | None = None
        self._status: int | None = None
        self._cpu = 0.0
        self.group: Group | None = None  # what `close` removes, too

    @property
    def pid(self) -> int:
        """Return the pid of the process that was started."""
        return self._process.pid

    def adopt(self, pid: int) -> None:
        """Take over the first process inside."""
        with contextlib.suppress(ProcessLookupError):
            self._inner = os.pidfd_open(pid)

    def wait(self, timeout: float) -> int:
        """Return the exit status, 128 + n after signal n. After `timeout` seconds the tree is killed and 124 returned."""
        if self._status is None and not self._ended(timeout):
            self.kill()
            self._status = TIMED_OUT
        return self._status if self._status is not None else 0

    def kill(self) -> None:
        """End every process of the tree and reap it; a tree that has ended stays as it is."""
        if self._status is not None:
            return
        if self._inner is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._inner, signal.SIGKILL)
            if self._ended(_GRACE):
                return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._ended(_GRACE)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds, user and system, of the ended tree; 0.0 while it runs."""
        return self._cpu

    def close(self) -> None:
        """Kill what is left and forget it."""
        self.kill()
        for handle in (self._handle, self._inner):
            if handle is not None:
                with contextlib.suppress(OSError):
                    os.close(handle)
        self._inner = None
        if self.group is not None:
            self.group.remove()
            self.group = None

    def _ended(self, timeout: float) -> bool:
        """Return True once the process has ended, and keep its status and CPU time."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if not poll.poll(max(0.0, timeout) * 1000):
            return False
        _, status, usage = os.wait4(self._process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._status = code if code >= 0 else 128 - code
        self._process.returncode = self._status  # so that subprocess does not wait for a pid that is no longer ours
        self._cpu = usage.ru_utime + usage.ru_stime
        return True
