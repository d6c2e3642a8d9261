"""Automata of Vectorscan, kept on disk: to compile the patterns takes two seconds, to load what came of it a millisecond.

A file holds patterns that ship with ringfence and is named by them, by the library and by the processor. Internal terms are compiled anew for each job
and are in no file.

To load a file that somebody else made is as good as to run it: the library believes what it reads. So nobody loads a file for what it says of
itself. The host compiles and keeps files under a key of the account, and tells each job the digests of those that bear the key's mark; the job loads a
file only if its bytes have that digest. The host loads none.
"""

from __future__ import annotations

import hmac
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.core.digest import canonical, sha256
from ringfence.core.durable import write_atomic
from ringfence.core.environment import cache_folder
from ringfence.core.errors import AutomatonChanged, StorageFull
from ringfence.core.order import Order
from ringfence.vault.account import account_key, is_ours

Numbered = Sequence[tuple[int, bytes]]  # patterns with the numbers that their matches bear
_MARK = 64  # characters of a keyed digest, which comes before the bytes that it is of


@dataclass(frozen=True)
class Kept:
    """Automata that may be loaded.

    digests: SHA-256 of the files by their names.
    """

    folder: Path
    digests: Mapping[str, str] = field(default_factory=dict)


def handed(order: Order[Any]) -> Kept | None:
    """Return the automata that an order brings."""
    return Kept(Path(order.files["automata"]), order.digests) if "automata" in order.files else None


def automaton(patterns: Numbered, kept: Kept | None) -> Any:  # noqa: ANN401  of an untyped library
    """Return the database of patterns: loaded where one is kept, compiled otherwise.

    Raises: AutomatonChanged for a file that is not the one which the caller was told of.
    """
    import hyperscan  # noqa: PLC0415  optional

    name = _name(patterns)
    if kept is not None and (wanted := kept.digests.get(name)) and (data := _bytes(kept.folder / name)) is not None:
        if sha256(data) != wanted:
            raise AutomatonChanged
        try:
            return hyperscan.loadb(data[_MARK:], mode=hyperscan.HS_MODE_BLOCK)
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


def keep(each: Iterable[Numbered]) -> Kept | None:
    """Have this account keep the database of each of the patterns, and return which files hold them; None where it has no safe place for them.

    A folder that others own or may write to is no such place. What cannot be written is compiled again next time.
    """
    folder, key = _folder(), account_key("automata")
    if folder is None or key is None:
        return None
    try:
        return Kept(folder, dict(_one(patterns, folder, key) for patterns in each))
    except (OSError, StorageFull):
        return None


def _one(patterns: Numbered, folder: Path, key: bytes) -> tuple[str, str]:
    """Return name and digest of the file of patterns; it is written where it is not there or does not bear the mark of the key."""
    import hyperscan  # noqa: PLC0415

    name = _name(patterns)
    data = _bytes(folder / name)
    if data is None or not hmac.compare_digest(data[:_MARK], _mark(key, name, data[_MARK:])):
        dumped = hyperscan.dumpb(compiled(patterns))
        data = _mark(key, name, dumped) + dumped
        write_atomic(folder / name, data)
    return name, sha256(data)


def _mark(key: bytes, name: str, data: bytes) -> bytes:
    """Return the keyed digest of a file: of its name, too, so that none stands for another."""
    return hmac.digest(key, b"\x00".join((b"automaton", name.encode(), data)), "sha256").hex().encode()


def _folder() -> Path | None:
    """Return where this account keeps automata; None where it cannot, or others could put files."""
    cache = cache_folder()
    if cache is None:
        return None
    folder = cache / "automata"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_ours(folder):
            return None
        folder.chmod(0o700)
    except OSError:
        return None
    return folder


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


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
