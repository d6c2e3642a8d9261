"""Locks that die with their holder (flock): one for a commit, one for each run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ringfence.core.errors import Busy

_STEP = 0.02  # s between tries


@contextlib.contextmanager
def held(path: Path, *, what: str, seconds: float | None = 30.0) -> Iterator[None]:
    """Hold the lock file `path` inside the block.

    seconds: how long to wait for another process; None = as long as it takes, where giving up would lose finished work.

    Raises: Busy when another process keeps it for longer than `seconds`.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as cause:
        if cause.errno not in (errno.EROFS, errno.EACCES):
            raise
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a snapshot or backup: a lock needs no right to write
    try:
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(what_held=what) from None
                time.sleep(_STEP)
        yield
    finally:
        os.close(handle)


def is_free(path: Path) -> bool:
    """Return True when no living process holds the lock file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # its run is over and took its folder along
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
