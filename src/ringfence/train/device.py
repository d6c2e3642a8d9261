"""Where a run computes and in which precision. Pure: what the machine can do is handed in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ringfence.core.errors import DeviceMissing
from ringfence.train.settings import Device, Dtype, RuntimeHints

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # without one of them bfloat16 is emulated, and slower than float32


class Capabilities(NamedTuple):
    """What a machine has."""

    cuda: bool
    cpu_flags: frozenset[str]


def processes(hints: RuntimeHints, gpus: int) -> int:
    """Return how many processes share a run: on a machine with GPUs one for each, or fewer if the hints say so."""
    if gpus and hints.device != "cpu":
        return min(hints.processes or gpus, gpus)
    return hints.processes or 1


class Placement(NamedTuple):
    """Where and how a run computes."""

    device: Device
    dtype: Dtype


def choose(hints: RuntimeHints, capabilities: Capabilities) -> Placement:
    """Return the placement that the hints ask for, or the fastest one.

    Raises: DeviceMissing.
    """
    device: Device = "cuda" if capabilities.cuda else "cpu"
    if hints.device != "auto":
        device = hints.device
    if device == "cuda" and not capabilities.cuda:
        raise DeviceMissing
    if hints.dtype != "auto":
        return Placement(device, hints.dtype)
    fast = device == "cuda" or bool(_BF16_FLAGS & capabilities.cpu_flags)
    return Placement(device, "bfloat16" if fast else "float32")


def cpu_flags(source: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the feature flags of the first processor; empty where the system does not say."""
    if not source.exists():
        return frozenset()
    for line in source.read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
