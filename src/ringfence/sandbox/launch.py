"""Start a child that waits: under bubblewrap (T1) or as a plain process (T0)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.core.errors import CageOpen, TierMissing
from ringfence.core.order import Limits, Tier
from ringfence.core.text import t
from ringfence.sandbox.arguments import BOOTSTRAP, INSIDE_BOOTSTRAP, Mounts, bwrap_arguments
from ringfence.sandbox.cgroup import make_group
from ringfence.sandbox.python import Python
from ringfence.sandbox.seccomp import filter_path
from ringfence.sandbox.selftest import filters_here, network_of, read_info, shares_network
from ringfence.sandbox.tiers import probe
from ringfence.sandbox.tree import Tree

_OPEN_FILES = 4096


@dataclass(frozen=True)
class Task:
    """What a child is to become. No secret: it stands in the command line."""

    tier: Tier
    entry: str
    roots: Sequence[Path]
    limits: Limits
    processes: int  # threads count too
    python: Python  # under which it runs

    def parameters(self, *, end: int, orders: int) -> str:
        """Return bootstrap.py's argument: descriptor numbers, limits, what to import."""
        cores = max(self.limits.threads, os.cpu_count() or 1)
        limits = {
            "DATA": self.limits.memory,  # not AS: torch and CUDA reserve address space that they never use
            "CPU": math.ceil(2 * cores * self.limits.seconds) + 60,  # only a child that the host forgot gets there
            "NOFILE": _OPEN_FILES,
            "NPROC": self.processes,
        }
        return json.dumps(
            {
                "tier": self.tier,
                "entry": self.entry,
                "roots": [str(root) for root in self.roots],
                "socket": end,
                "orders": orders,
                "limits": limits,
                "filters": filters_here(),
                "parent": os.getpid(),
            }
        )


def launch_plain(task: Task, *, end: int, orders: int) -> Tree:
    """Return a plain child process (T0): it sees what its user sees."""
    return _start([str(task.python.binary), "-I", "-S", "-B", str(BOOTSTRAP), task.parameters(end=end, orders=orders)], keep=(end, orders))


def launch_caged(task: Task, bwrap: Path, mounts: Mounts, *, end: int, orders: int) -> tuple[Tree, int, frozenset[str]]:
    """Return a child under bubblewrap, the pid of its first process, and the limits that bind its whole tree ("memory", "pids").

    Bubblewrap holds the child until its network namespace has been compared with ours.

    Raises: CageOpen("namespace") when they are the same; TierMissing when bubblewrap ends before it says.
    """
    rules = os.open(filter_path(), os.O_RDONLY | os.O_CLOEXEC)
    info, info_child = os.pipe2(os.O_CLOEXEC)
    block_child, block = os.pipe2(os.O_CLOEXEC)
    try:
        handles = {"info": info_child, "block": block_child, "seccomp": rules}
        command = [str(bwrap), *bwrap_arguments(mounts=mounts, roots=task.roots, python=task.python, **handles)]
        command += ["--", str(task.python.binary), "-I", "-S", "-B", INSIDE_BOOTSTRAP, task.parameters(end=end, orders=orders)]
        try:
            tree = _start(command, keep=(end, orders, info_child, block_child, rules))
        finally:
            for handle in (info_child, block_child, rules):
                os.close(handle)
        try:
            pid, held = _release(task, tree, bwrap, info=info, block=block)
        except BaseException:
            tree.close()
            raise
    finally:
        os.close(info)
        os.close(block)
    return tree, pid, held


def _release(task: Task, tree: Tree, bwrap: Path, *, info: int, block: int) -> tuple[int, frozenset[str]]:
    """Let the child go on once it is where it should be; return its pid and the limits that bind its tree."""
    group = tree.group = make_group(memory=task.limits.memory, processes=task.processes)  # while bubblewrap is busy
    told = read_info(info)
    if told is None:
        raise _not_started(tree, bwrap)
    pid, namespace = told
    tree.adopt(pid)
    if namespace in (None, network_of()) or shares_network(pid):  # what bwrap says, and what the kernel says
        raise CageOpen(test="namespace")
    held = group.add(pid)
    with contextlib.suppress(BrokenPipeError):  # a child that died meanwhile is noticed by its silence
        os.write(block, b"1")
    return pid, held


def _not_started(tree: Tree, bwrap: Path) -> TierMissing:
    """Return why bubblewrap ended early: a probe says it in bubblewrap's words, else the exit status must do."""
    status = tree.wait(1.0)
    probe(bwrap)
    return TierMissing(tier="T1", problem=t("bwrap ended with status {status}", "bwrap 以状态 {status} 结束", status=status))


def _start(command: Sequence[str], *, keep: Sequence[int]) -> Tree:
    """Return the tree of a process that inherits `keep` and nothing else: no environment, no terminal, no Ctrl-C."""
    try:
        process = subprocess.Popen(
            command,
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=keep,
            start_new_session=True,
        )
    except OSError as cause:
        problem = t("{program} cannot be started", "{program} 无法启动", program=Path(command[0]).name)
        raise TierMissing(tier="T1", problem=problem) from cause
    return Tree(process)
