"""A job that shares its work, inside a cage."""

import json
import os
import signal

from ringfence.core.errors import WorkerLost
from ringfence.core.failure import Relayed
from ringfence.deid.workers import in_order


def numbers(order, keys, end):
    """Say what three workers computed, and how many they were."""
    done = list(in_order(lambda number, _say: (number * number, os.getpid(), len(order)), 12, workers=3))
    end.sendall(json.dumps([[value for value, _, _ in done], len({pid for _, pid, _ in done} - {os.getpid()}), done[0][2]]).encode())
    return 0


def killed(order, keys, end):
    """Say with which status a worker was lost."""
    try:
        list(in_order(lambda number, _say: os.kill(os.getpid(), signal.SIGKILL) if number == 5 else number, 12, workers=3))
    except WorkerLost as lost:
        end.sendall(json.dumps(lost.facts).encode())
    return 0


def hungry(order, keys, end):
    """Say what becomes of a worker that takes more memory than the limit."""
    try:
        list(in_order(lambda number, _say: len(bytearray(1 << 30)) if number == 1 else number, 2, workers=2))
    except Relayed as error:
        end.sendall(json.dumps(error.failure.error).encode())
    return 0
