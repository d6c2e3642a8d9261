"""The one way to put bytes on a disk: whole or not at all, and still there after a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ringfence.core.errors import StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_is_late = False  # a Ctrl-C came while a final block was finished


@contextlib.contextmanager
def full_disk_as_error() -> Iterator[None]:
    """Turn "no space left" of any call inside into StorageFull."""
    try:
        yield
    except OSError as cause:
        if cause.errno in _FULL:
            raise StorageFull from cause
        raise


@contextlib.contextmanager
def uninterrupted(*, final: bool = False) -> Iterator[None]:
    """Hold Ctrl-C back until the block is through: it is short, and half of it is worse than none or all.

    final: the block is what a command came for. A Ctrl-C within it came too late: told of an interrupt, its reader would take for undone what
    is done. Only `stop_if_late` raises it, before a next step.

    Raises: KeyboardInterrupt at its end, if there was one and the block is not final; an error of the block itself goes first.
    """
    global _is_late  # noqa: PLW0603  as the signal itself, it belongs to the process
    came: list[FrameType | None] = []
    try:
        before = signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
    except ValueError:  # not the main thread: Ctrl-C does not interrupt it
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and final and before is signal.default_int_handler:
        _is_late = True
    elif callable(before):
        for frame in came:
            before(signal.SIGINT, frame)


def stop_if_late() -> None:
    """Raise the KeyboardInterrupt that came too late for the step before."""
    global _is_late  # noqa: PLW0603  as above
    if _is_late:
        _is_late = False
        raise KeyboardInterrupt


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
