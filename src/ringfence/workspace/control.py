"""A run's control socket: other terminals ask how far it is, or ask it to stop."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ringfence.core.durable import full_disk_as_error
from ringfence.core.interrupts import uninterrupted

_LIMIT = 1 << 16  # bytes of a question or answer
_PATIENCE = 5.0  # s


class Control:
    """Answers on `runs/<id>/control` while the block runs. Figures stay in memory: nothing of them is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._status: dict[str, Any] = {}
        self._stop = threading.Event()
        self._server = self._client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        """Begin to listen; a socket that a crash left is replaced.

        Raises: StorageFull.
        """
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "control").unlink()
        try:
            with full_disk_as_error(), _short(self._folder) as path:
                self._server.bind(path)
            (self._folder / "control").chmod(0o600)
            self._server.listen()
            self._thread.start()
        except BaseException:
            self._server.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop listening."""
        with uninterrupted():
            for open_one in (self._server, self._client):  # closing alone would not wake the thread, which would hold them for ever
                with contextlib.suppress(OSError):
                    open_one.shutdown(socket.SHUT_RDWR)
            self._thread.join(_PATIENCE)
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                (self._folder / "control").unlink()

    def update(self, **status: Any) -> None:  # noqa: ANN401  JSON values
        """Set what `status` answers from now on."""
        self._status = {**self._status, **status}

    def request_stop(self) -> None:
        """Ask the run to stop at the next step."""
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self._stop.is_set()

    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._server.accept()
            except OSError:
                return
            with self._client as client, contextlib.suppress(OSError):
                client.settimeout(_PATIENCE)
                if client.recv(_LIMIT).strip() == b"stop":
                    self.request_stop()
                client.sendall(json.dumps({**self._status, "stopping": self.stop_requested}).encode())


def ask(folder: Path, question: str) -> dict[str, Any] | None:
    """Return a running run's answer to "status" or "stop"; None when nothing listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(_PATIENCE)
    try:
        with client, _short(folder) as path:
            client.connect(path)
            client.sendall(question.encode())
            client.shutdown(socket.SHUT_WR)
            data = b""
            while block := client.recv(_LIMIT):
                data += block
    except OSError:
        return None
    return dict(json.loads(data)) if data else None


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Yield a path for the socket that is short enough for the kernel's 108 bytes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/control"
    finally:
        os.close(handle)
