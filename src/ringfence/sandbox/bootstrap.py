"""The child's first instructions: close what is open, test the cage from inside, wait for the order.

Run by path as `python -I -S bootstrap.py PARAMETERS`, before any other module of ringfence exists in the process; standard library only.
PARAMETERS is JSON without a secret in it. What the tests found goes to the host as one frame (4 bytes big-endian length, JSON).
Order and keys arrive, each with 8 bytes of length before it, through a pipe that no later process inherits.
"""

from __future__ import annotations

import time

_FIRST = time.monotonic_ns()  # the first instruction, by the clock that the host shares

import sys  # noqa: E402  after the clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    import socket
    from typing import Any

_SET_DEATH_SIGNAL, _SET_DUMPABLE = 1, 4  # prctl
_SECONDS = 2.0  # for a connect: unreachable answers at once
_NO_ORDER = 70  # exit status when the host left before it said anything


def main() -> int:
    """Return the exit status of the job."""
    import json
    import os
    import socket

    told = json.loads(sys.argv[1])
    libc = _harden(told)
    end = socket.socket(fileno=told["socket"])
    end.set_inheritable(False)
    found = _look(libc, told["filters"]) if told["tier"] == "T1" else None
    frame = json.dumps({"found": found, "first": _FIRST, "tested": time.monotonic_ns()}).encode()
    end.sendall(len(frame).to_bytes(4, "big") + frame)
    with os.fdopen(told["orders"], "rb") as pipe:
        order, keys = _block(pipe), _block(pipe)
    if order is None or keys is None:
        return _NO_ORDER
    return _work(told, order, keys, end)


def _work(told: dict[str, Any], order: bytes, keys: bytes, end: socket.socket) -> int:
    import importlib

    sys.path += told["roots"]
    module, _, function = told["entry"].partition(":")
    status: int = getattr(importlib.import_module(module), function)(order, keys, end)
    return status


def _harden(told: dict[str, Any]) -> ctypes.CDLL:
    """Set what only the process itself can set: no core dump, no tracing, limits."""
    import ctypes
    import os
    import resource

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    limits = {"CORE": 0, **told["limits"]}
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(kind)[1]
        least = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (least, least))
    if told["tier"] == "T0":  # under T1 bubblewrap sees to it
        libc.prctl(_SET_DEATH_SIGNAL, 9, 0, 0, 0)
        if os.getppid() != told["parent"]:
            raise SystemExit(_NO_ORDER)
    return libc


def _look(libc: ctypes.CDLL, filters_outside: int) -> dict[str, object]:
    """Return what the cage looks like from inside."""
    import os
    import socket

    status = _status()
    return {
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "ipv4": _connect(socket.AF_INET, "192.0.2.1"),
        "ipv6": _connect(socket.AF_INET6, "2001:db8::1"),
        "environment": sorted(os.environ),  # noqa: TID251  nothing of ringfence may be imported yet
        "no_new_privileges": status.get("NoNewPrivs") == "1",
        "seccomp": status.get("Seccomp") == "2" and _one_filter_more(status, filters_outside) and _refused(libc),
    }


def _one_filter_more(status: dict[str, str], outside: int) -> bool:
    """Return True when a filter was added to those that the host already had (a container's, for one). Linux 5.9 counts them."""
    return "Seccomp_filters" not in status or int(status["Seccomp_filters"]) > outside


def _refused(libc: ctypes.CDLL) -> bool:
    """Return True when `unshare` of nothing, which the kernel allows everyone, is refused."""
    import ctypes
    import errno

    return libc.unshare(0) == -1 and ctypes.get_errno() == errno.EPERM


def _status() -> dict[str, str]:
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123  pathlib costs milliseconds here
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _connect(family: int, address: str) -> str:
    """Return how the kernel answers to a connect beyond the machine (documentation addresses: nobody lives there)."""
    import errno
    import socket

    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(_SECONDS)
            code = probe.connect_ex((address, 443))
    except OSError as error:
        code = error.errno or 0
    if code == errno.ENETUNREACH:
        return "unreachable"
    if family == socket.AF_INET6 and code in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
        return "unsupported"
    if code in (errno.EAGAIN, errno.EINPROGRESS, errno.ETIMEDOUT):
        return "timeout"
    return "open"


def _block(pipe: Any) -> bytes | None:  # noqa: ANN401  typing is not loaded here
    """Return the next length-prefixed block, or None when the pipe ends before it."""
    head = pipe.read(8)
    size = int.from_bytes(head, "big")
    block: bytes = pipe.read(size) if len(head) == 8 else b""  # noqa: PLR2004  bytes of the length
    return block if len(head) == 8 and len(block) == size else None  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
