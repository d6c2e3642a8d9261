"""The one way to put bytes on a disk: whole or not at all, and still there after a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ringfence.core.errors import StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def full_disk_as_error() -> Iterator[None]:
    """Turn "no space left" of any call inside into StorageFull."""
    try:
        yield
    except OSError as cause:
        if cause.errno in _FULL:
            raise StorageFull from cause
        raise


def sync_folder(folder: Path) -> None:
    """Make renames and new names inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write every byte: a nearly full file system may take only some of them and say so by the count alone."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`; after a crash it holds either the old bytes or the new ones.

    Raises: StorageFull.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with full_disk_as_error():
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            try:
                write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def make_folder(path: Path, *, mode: int = 0o700) -> None:
    """Create a folder, durably."""
    with full_disk_as_error():
        path.mkdir(mode=mode)
        sync_folder(path.parent)
