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


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its name, where nothing has it yet. A link fails if somebody made such a file meanwhile; a rename would replace it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, a stick for one
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)
    else:
        temporary.unlink()


@contextlib.contextmanager
def written(path: Path, *, replace: bool = False) -> Iterator[int]:
    """Yield a descriptor of a file that its owner alone may read, and that is `path` only once the block has ended without an error.

    replace: whether there may be a file of that name already, which it then replaces.

    Raises: FileExistsError, StorageFull, and other OSErrors of a folder that cannot be written.
    """
    if not replace and path.exists():
        raise FileExistsError(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            yield handle
            with full_disk_as_error():
                os.fsync(handle)
        finally:
            os.close(handle)
        if replace:
            temporary.replace(path)
        else:
            _publish(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path, *, mode: int = 0o700) -> None:
    """Create a folder, durably."""
    with full_disk_as_error():
        path.mkdir(mode=mode)
        sync_folder(path.parent)
