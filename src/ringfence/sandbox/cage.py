"""A child in its cage: started, tested from both sides, and only then told what to do."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ringfence.core.durable import write_all
from ringfence.core.errors import CageOpen
from ringfence.core.order import Limits, Tier
from ringfence.core.statement import SandboxReport
from ringfence.sandbox.arguments import INSIDE_OUT, Mounts
from ringfence.sandbox.devices import gpu_nodes
from ringfence.sandbox.launch import Task, launch_caged, launch_plain
from ringfence.sandbox.python import Python, own
from ringfence.sandbox.selftest import Answer, receive_answer, shares_network
from ringfence.sandbox.tiers import find_bwrap
from ringfence.sandbox.tree import Tree

__all__ = ["Cage", "Mounts", "gpu_nodes", "open_cage"]

_PROCESSES = 4096  # threads count too


class Cage:
    """A started and tested child, and everything the host holds of it. Leaving the context ends and reaps the whole tree."""

    def __init__(
        self, *, tree: Tree, end: socket.socket, orders: int, mounts: Mounts, answer: Answer, tier: Tier, held: frozenset[str], began: int
    ) -> None:
        self._tree, self._orders, self._mounts, self._caged = tree, orders, mounts, tier == "T1"
        self.socket = end
        self.pid = answer.pid
        self.report = SandboxReport(tier=tier, self_test=answer.self_test, gpus=tuple(str(node) for node in mounts.gpus))
        self.tree_limits = held  # "memory", "pids": bound for the whole tree by a control group, not for each process alone
        self.seconds: Mapping[str, float] = {
            "start": (answer.first - began) / 1e9,  # to the child's first instruction
            "self_test": (answer.tested - answer.first) / 1e9,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def inside(self, role: str) -> str:
        """Return where the child sees what is bound for `role`."""
        return f"/in/{role}" if self._caged else str(self._mounts.read[role])

    @property
    def inside_out(self) -> str:
        """Return the folder that the child may write."""
        if self._mounts.write is None:
            return ""
        return INSIDE_OUT if self._caged else str(self._mounts.write)

    def hand_over(self, order: bytes, keys: bytes) -> None:
        """Give the child its order and its keys, once. A child that died meanwhile is noticed at the end of its socket."""
        orders, self._orders = self._orders, -1
        if orders < 0:
            raise ValueError("order and keys were handed over already")
        try:
            with contextlib.suppress(BrokenPipeError):
                for block in (order, keys):
                    write_all(orders, len(block).to_bytes(8, "big") + block)
        finally:
            os.close(orders)

    def wait(self, timeout: float) -> int:
        """Return the child's exit status, 128 + n after signal n. After `timeout` seconds it is killed and 124 returned."""
        return self._tree.wait(timeout)

    def kill(self) -> None:
        """End the whole tree now."""
        self._tree.kill()

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the ended tree, bubblewrap's own included; 0.0 while it runs."""
        return self._tree.cpu_seconds()

    def close(self) -> None:
        """End the tree, reap it and close both channels. Safe to repeat."""
        self._tree.close()
        self.socket.close()
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1


def open_cage(
    *,
    tier: Tier,
    mounts: Mounts,
    limits: Limits,
    entry: str,
    import_roots: Sequence[Path] | None = None,
    bwrap: Path | None = None,
    processes: int = _PROCESSES,
    python: Python | None = None,
) -> Cage:
    """Return a started and tested child that waits for its order.

    entry: "package.module:function", called with (order, keys, socket); the int that it returns is the exit status.
    import_roots: what it may import from; default: the dependencies and ringfence.
    python: under which it runs; default: ringfence's own.
    The child dies with the thread that calls this: call it from the one that waits for the job.

    Raises: TierMissing, CageOpen when a test fails (the child is dead by then), FileUnreadable.
    """
    mounts.check()
    python = python or own()
    roots = list(import_roots) if import_roots is not None else python.roots
    task = Task(tier=tier, entry=entry, roots=roots, limits=limits, processes=processes, python=python)
    caged_by = bwrap or find_bwrap() if tier == "T1" else None
    with contextlib.ExitStack() as opened:  # undone when anything below fails
        end, end_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.callback(end.close)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # before the child can send: the kernel attaches its pid
        orders_child, orders = os.pipe2(os.O_CLOEXEC)
        opened.callback(os.close, orders)
        began = time.monotonic_ns()
        try:
            if caged_by is None:
                tree, held = launch_plain(task, end=end_child.fileno(), orders=orders_child), frozenset[str]()
                first = tree.pid
            else:
                tree, first, held = launch_caged(task, caged_by, mounts, end=end_child.fileno(), orders=orders_child)
            opened.callback(tree.close)
        finally:
            end_child.close()
            os.close(orders_child)
        answer = _tested(receive_answer(end), tier=tier, first=first)
        opened.pop_all()
    return Cage(tree=tree, end=end, orders=orders, mounts=mounts, answer=answer, tier=tier, held=held, began=began)


def _tested(answer: Answer, *, tier: Tier, first: int) -> Answer:
    """Return the answer if nothing in it is a way out.

    Raises: CageOpen with the names of the tests that failed.
    """
    if (answer.self_test is None) != (tier == "T0"):
        raise CageOpen(test="answer")
    if answer.self_test is None:
        return answer
    # The process that answered is the one whose namespace was compared, and the kernel says the same of it now, whatever bwrap wrote.
    if answer.pid != first or shares_network(answer.pid):
        raise CageOpen(test="namespace")
    failures = answer.self_test.failures()
    if failures:
        raise CageOpen(test=", ".join(failures))
    return answer
