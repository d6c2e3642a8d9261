"""Secrets of the account that runs ringfence, where no workspace is at hand. They vouch for files that can be made again, and open nothing."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from ringfence.core.durable import write_atomic
from ringfence.core.environment import account_folder
from ringfence.core.errors import StorageFull

_BYTES = 32
_OTHERS_WRITE, _OTHERS_ANY = 0o022, 0o077


def account_key(name: str) -> bytes | None:
    """Return 32 secret bytes of this account for one purpose, drawn when they are first asked for; None where it has no safe place for them."""
    folder = account_folder()
    if folder is None:
        return None
    path = folder / f"{name}.key"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_ours(folder):
            return None
        if _read(path) is None:  # none yet, or one that others may have seen or made
            write_atomic(path, secrets.token_bytes(_BYTES))
        return _read(path)  # another process may have been faster
    except (OSError, StorageFull):
        return None


def is_ours(folder: Path) -> bool:
    """Return True when nobody but this account can put anything into a folder, which is no link."""
    try:
        about = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & _OTHERS_WRITE


def _read(path: Path) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & _OTHERS_ANY:
            return None
        key = file.read(_BYTES + 1)
    return key if len(key) == _BYTES else None
