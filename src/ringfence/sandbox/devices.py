"""The device nodes that a job on an NVIDIA GPU needs."""

from __future__ import annotations

import re
from pathlib import Path

_NODE = re.compile(r"nvidia(\d+|ctl|-uvm|-uvm-tools|-caps)")


def gpu_nodes(dev: Path = Path("/dev")) -> tuple[Path, ...]:
    """Return the NVIDIA device nodes below `dev` in name order; empty when no GPU is there.

    The control nodes alone (a driver without a device) count as none.
    """
    if not dev.is_dir():
        return ()
    nodes = tuple(sorted(node for node in dev.iterdir() if _NODE.fullmatch(node.name)))
    return nodes if any(node.name[6:].isdigit() for node in nodes) else ()
