"""The child's entry, called by `sandbox/bootstrap.py` after the self-test: order and keys in, figures out."""

from __future__ import annotations

import importlib
import json
import signal
import socket
from collections.abc import Callable
from typing import Any

from ringfence.core.environment import silence_libraries, use_threads
from ringfence.core.failure import failure_of
from ringfence.core.order import Child, Figures, Keys, Order
from ringfence.jobs.channel import ChildChannel
from ringfence.jobs.frames import FrameSocket
from ringfence.jobs.table import JOBS


def main(order: bytes, keys: bytes, end: socket.socket) -> int:
    """Run one job and return the process's exit status: 0 after `done`, 1 after `failed`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to answer
    silence_libraries()
    channel = ChildChannel(FrameSocket(end))
    try:
        channel.done(_perform(json.loads(order), json.loads(keys), channel))
    except Exception as error:  # noqa: BLE001  the job worker: whatever happened leaves as class, place and numbers
        channel.failed(failure_of(error))
        return 1
    return 0


def _perform(document: dict[str, Any], keys: dict[str, Any], channel: ChildChannel) -> Figures:
    row = JOBS[document["job"]]
    order = Order[row.settings].model_validate(document)  # type: ignore[name-defined]  # the table's type is a value here
    use_threads(order.limits.threads)
    held = Keys(
        data={slot: bytes.fromhex(key) for slot, key in keys["data"].items()},
        purpose={name: bytes.fromhex(key) for name, key in keys["purpose"].items()},
    )
    module, _, function = row.entry.partition(":")
    run: Callable[[Child[Any]], Figures] = getattr(importlib.import_module(module), function)
    return run(Child(order=order, keys=held, channel=channel))
