"""The control socket of a run: it answers while the run works, and nothing of it stays."""

from __future__ import annotations

import errno
import threading

import pytest

from ringfence.core.errors import StorageFull
from ringfence.workspace import control
from ringfence.workspace.control import Control, ask


def test_it_answers_and_can_be_asked_to_stop(tmp_path):
    with Control(tmp_path) as made:
        made.update(done=3)
        assert ask(tmp_path, "status") == {"done": 3, "stopping": False}
        assert not made.stop_requested
        assert ask(tmp_path, "stop") == {"done": 3, "stopping": True}
        assert made.stop_requested
    assert ask(tmp_path, "status") is None


def test_no_thread_and_no_socket_outlive_it(tmp_path):
    before = threading.active_count()
    with Control(tmp_path) as made:
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert made._server.fileno() == -1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_to_be_full(tmp_path, monkeypatch):
    class Full(control.socket.socket):
        def bind(self, _path):
            raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(control.socket, "socket", Full)
    with pytest.raises(StorageFull), Control(tmp_path):
        pass
