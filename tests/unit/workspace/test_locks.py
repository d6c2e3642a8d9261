"""Locks: who waits, and for how long."""

from __future__ import annotations

import errno
import os
import threading
import time

import pytest

from ringfence.core.errors import Busy
from ringfence.workspace.locks import held, is_free


def keep(path, seconds):
    """Hold the lock in a thread for so many seconds; return once it is held."""
    taken = threading.Event()

    def hold():
        with held(path, what="it"):
            taken.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    return thread


def test_a_taken_lock_is_busy_after_the_patience_and_waited_for_without_limit(tmp_path):
    thread = keep(tmp_path / "lock", 0.5)
    assert not is_free(tmp_path / "lock")
    with pytest.raises(Busy), held(tmp_path / "lock", what="it", seconds=0.05):
        raise AssertionError
    with held(tmp_path / "lock", what="it", seconds=None):
        assert not thread.is_alive() or not is_free(tmp_path / "lock")
    thread.join()
    assert is_free(tmp_path / "lock")


def test_a_lock_that_is_gone_is_free(tmp_path):
    assert is_free(tmp_path / "run" / "lock")


def test_a_lock_needs_no_right_to_write(tmp_path, monkeypatch):
    (tmp_path / "lock").touch()
    really = os.open

    def read_only(path, flags, *more, **kinds):
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "read-only")
        return really(path, flags, *more, **kinds)

    monkeypatch.setattr("os.open", read_only)
    with held(tmp_path / "lock", what="it"):
        assert not is_free(tmp_path / "lock")
