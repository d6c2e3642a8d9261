"""The host's half of the self-test: what can be seen of a cage from outside, and what its inside reports."""

from __future__ import annotations

import array
import json
import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ringfence.core.errors import CageOpen
from ringfence.core.statement import SelfTest

SECONDS = 30.0  # for steps that take milliseconds on a quiet machine
_MOST = 1 << 16  # bytes of a report
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class _Report(BaseModel):
    """The frame that bootstrap.py sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    found: dict[str, object] | None
    first: int = Field(ge=0)  # ns of the monotonic clock, at the first instruction
    tested: int = Field(ge=0)


@dataclass(frozen=True)
class Answer:
    """What the child said before it was told anything."""

    pid: int  # the sender's, as the kernel vouches for it
    self_test: SelfTest | None  # None under T0
    first: int  # ns of the monotonic clock
    tested: int


def network_of(pid: int | str = "self") -> int:
    """Return the inode number that names the network namespace of a process.

    Raises: OSError when the process is gone or not ours to ask about.
    """
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def shares_network(pid: int) -> bool:
    """Return True unless the kernel says that the process is in another network namespace than ours."""
    try:
        return network_of(pid) == network_of()
    except OSError:
        return True


def filters_here() -> int:
    """Return how many seccomp filters the host process already has; a child inherits them."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "Seccomp_filters":
            return int(value)
    return 0


def read_info(handle: int) -> tuple[int, int | None] | None:
    """Return from bubblewrap's --info-fd the child's pid and the id of its network namespace; None when it ends before it says.

    The id is None when bubblewrap made no network namespace.
    """
    text, until = b"", time.monotonic() + SECONDS
    while b"}" not in text:
        ready, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
        piece = os.read(handle, 4096) if ready else b""
        if not piece or len(text) > _MOST:
            return None
        text += piece
    try:
        info = json.loads(text)
        namespace = info.get("net-namespace")
        return int(info["child-pid"]), None if namespace is None else int(namespace)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def receive_answer(end: socket.socket) -> Answer:
    """Return what the child reports, with the pid that the kernel attaches to it: SO_PASSCRED must be on before the child can send.

    Raises: CageOpen("answer") when it dies, hangs or sends something else.
    """
    end.settimeout(SECONDS)
    try:
        pid, head = _first_bytes(end)
        size = int.from_bytes(head, "big")
        body = _exactly(end, size) if size <= _MOST else b""
        report = _Report.model_validate_json(body)
        found = None if report.found is None else SelfTest.model_validate({"namespace_differs": True, **report.found})
    except (OSError, ValidationError, EOFError) as cause:
        raise CageOpen(test="answer") from cause
    finally:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        end.settimeout(None)
    return Answer(pid=pid, self_test=found, first=report.first, tested=report.tested)


def _first_bytes(end: socket.socket) -> tuple[int, bytes]:
    """Return the sender's pid and the four bytes of length."""
    head, extra, _, _ = end.recvmsg(4, socket.CMSG_SPACE(_CREDENTIALS.size))
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:  # a descriptor where credentials belong
            for handle in array.array("i", data[: len(data) // 4 * 4]):
                os.close(handle)
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) == _CREDENTIALS.size:
            return int(_CREDENTIALS.unpack(data)[0]), head + _exactly(end, 4 - len(head))
    raise EOFError


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = end.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
