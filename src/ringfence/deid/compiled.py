"""Automata of Vectorscan, kept on disk: to compile the patterns takes two seconds, to load what came of it a millisecond.

A file holds patterns that ship with ringfence and is named by them, by the library and by the processor. Internal terms are compiled anew for each job
and are in no file.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ringfence.core.digest import canonical, sha256
from ringfence.core.durable import write_atomic
from ringfence.core.environment import cache_folder
from ringfence.core.errors import StorageFull

Numbered = Sequence[tuple[int, bytes]]  # patterns with the numbers that their matches bear
_NAME = 64  # characters of a digest, which comes before the bytes that it is of


def folder() -> Path | None:
    """Return where automata are kept; None for an account that has no place for such things."""
    cache = cache_folder()
    return cache / "automata" if cache else None


def automaton(patterns: Numbered, kept: Path | None) -> Any:  # noqa: ANN401  of an untyped library
    """Return the database of patterns: loaded where a folder keeps it whole, compiled otherwise."""
    import hyperscan  # noqa: PLC0415  optional

    if kept is not None and (data := _read(kept / _name(patterns))) is not None:
        try:
            return hyperscan.loadb(data, mode=hyperscan.HS_MODE_BLOCK)
        except hyperscan.error:  # of another processor or library
            pass
    return compiled(patterns)


def compiled(patterns: Numbered) -> Any:  # noqa: ANN401
    """Return the database of patterns."""
    import hyperscan  # noqa: PLC0415

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern for _, pattern in patterns],
        ids=[number for number, _ in patterns],
        flags=[hyperscan.HS_FLAG_SOM_LEFTMOST] * len(patterns),
    )
    return database


def keep(patterns: Numbered, kept: Path) -> None:
    """Have a folder keep the database of patterns. What cannot be written is compiled again next time."""
    import hyperscan  # noqa: PLC0415

    path = kept / _name(patterns)
    if _read(path) is not None:
        return
    data = hyperscan.dumpb(compiled(patterns))
    try:
        kept.mkdir(parents=True, exist_ok=True)
        write_atomic(path, sha256(data).encode() + data)
    except (OSError, StorageFull):
        return


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, rest = data[:_NAME], data[_NAME:]
    return rest if sha256(rest).encode() == digest else None


def _name(patterns: Numbered) -> str:
    from importlib.metadata import version  # noqa: PLC0415

    told = [[number, pattern.hex()] for number, pattern in patterns]
    return f"{sha256(canonical([told, version('hyperscan'), platform.machine(), _flags()]))}.hsdb"


def _flags() -> str:
    """Return what the processor can do, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
