"""Where a command can be killed or interrupted: at the start of each of its write-side system calls, by strace."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter

import pytest

CALLS = ("fsync", "rename", "mkdir", "unlink", "rmdir", "write", "ftruncate", "link", "renameat2", "unlinkat", "fdatasync")
KILLED = (-9, 137)  # what a killed command returns
CTRL_C = 130  # what an interrupted command returns
NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (Debian: apt-get install strace)")


def counting(log):
    """Return the command words that write down the calls of the command after them."""
    return ["strace", "-qq", "-e", f"trace={','.join(CALLS)}", "-o", log]


def points_of(log):
    """Return (call, how often it has been made by then) for every call in the log, in order of time."""
    seen, points = Counter(), []
    for name in re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE):
        seen[name] += 1
        points.append((name, seen[name]))
    return points


def renames_onto(path, log):
    """Return the points in the log at which a file takes that name, in order of time."""
    renames = re.findall(r"^rename\(.*$", log.read_text(), re.MULTILINE)
    return [("rename", k) for k, line in enumerate(renames, 1) if line.partition('", "')[2].startswith(f'{path}"')]


def killing(call, count, *, signal="SIGKILL"):
    """Return the command words that send the command after them a signal as it makes that call for the `count`-th time."""
    return ["strace", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal={signal}:when={count}"]
