"""The device nodes that a job on an NVIDIA GPU needs."""

from __future__ import annotations

import re
from pathlib import Path

_GPU = re.compile(r"nvidia\d+")
_CONTROL = re.compile(r"nvidia(ctl|-uvm|-uvm-tools|-caps)")


def gpu_nodes(dev: Path = Path("/dev")) -> tuple[Path, ...]:
    """Return the NVIDIA device nodes below `dev` that a job is given, control nodes among them, in name order; empty when no GPU is there.

    The control nodes alone (a driver without a device) count as none.
    """
    found = gpus(dev)
    return tuple(sorted((*found, *_named(dev, _CONTROL)))) if found else ()


def gpus(dev: Path = Path("/dev")) -> tuple[Path, ...]:
    """Return the nodes of the NVIDIA GPUs themselves below `dev`, one each."""
    return _named(dev, _GPU)


def _named(dev: Path, wanted: re.Pattern[str]) -> tuple[Path, ...]:
    if not dev.is_dir():
        return ()
    return tuple(sorted(node for node in dev.iterdir() if wanted.fullmatch(node.name)))
