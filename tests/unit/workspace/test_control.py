"""The control socket of a run: it answers while the run works, and nothing of it stays."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time

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


def test_a_client_that_says_nothing_holds_up_no_end(tmp_path):
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with Control(tmp_path):
        silent.connect(str(tmp_path / "control"))
        assert ask_later(tmp_path) is None
        began = time.monotonic()
    assert time.monotonic() - began < control._PATIENCE / 2
    silent.close()


def ask_later(folder):
    """Wait until the silent client is being listened to: the next one is then not."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(0.5)
    with client, contextlib.suppress(TimeoutError):
        client.connect(str(folder / "control"))
        client.sendall(b"status")
        return client.recv(1)
    return None


def test_a_full_disk_is_said_to_be_full(tmp_path, monkeypatch):
    class Full(control.socket.socket):
        def bind(self, _path):
            raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(control.socket, "socket", Full)
    with pytest.raises(StorageFull), Control(tmp_path):
        pass
