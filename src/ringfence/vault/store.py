"""The folders that hold objects, as the host sees them: it counts, hashes and moves ciphertext and opens none."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from ringfence.core.durable import full_disk_as_error, make_folder, sync_folder, write_all
from ringfence.core.errors import JobMisbehaved, NoSuchObject
from ringfence.core.order import StoredFile
from ringfence.core.text import t
from ringfence.vault.streams import INDEX

_SLOT = re.compile(r"[0-9a-f]{32}")
_RUN = re.compile(r"[a-z]+-[0-9a-f]{12}")
_NUMBERED = re.compile(r"([0-9]{6,})\.(shard|file)")
_COPY_BLOCK = 1 << 20  # bytes


class Store:
    """`objects/<slot>/` holds committed objects, `incoming/<run>/<slot>/` what a job is writing. `folder` is the workspace's vault/."""

    def __init__(self, folder: Path) -> None:
        self._objects, self._incoming = folder / "objects", folder / "incoming"

    def incoming(self, run: str, slot_id: str) -> Path:
        """Return the new, empty folder in which a job may write one object.

        Raises: StorageFull.
        """
        path = self._run(run) / _checked(slot_id, _SLOT)
        for folder in (self._incoming.parent, self._incoming, path.parent):
            if not folder.is_dir():
                make_folder(folder)
        make_folder(path)
        return path

    def collect(self, path: Path) -> tuple[StoredFile, ...]:
        """Return name, size and SHA-256 of every file that a job left in `path`, shards in order and the index last.

        The job is not believed: anything but plain files with the expected names is refused.

        Raises: JobMisbehaved.
        """
        names = sorted((entry.name for entry in os.scandir(path)), key=_order)
        kinds = {m[2] for name in names if (m := _NUMBERED.fullmatch(name))}
        kind = kinds.pop() if kinds else ""
        if names != [f"{i:06}.{kind}" for i in range(len(names) - 1)] + [INDEX]:
            raise JobMisbehaved(
                job=path.parent.name,
                problem=t("its output has other files than numbered ones and an index", "输出中有编号文件与索引之外的文件"),
            )
        found = [_stored(path / name) for name in names]
        if None in found:
            raise JobMisbehaved(
                job=path.parent.name, problem=t("its output holds something that is not a plain file", "输出中有不是普通文件的东西")
            )
        return tuple(file for file in found if file)

    def commit(self, run: str, slot_id: str) -> Path:
        """Move a finished object from incoming/ to objects/, durably, and return where it is now.

        Raises: NoSuchObject when the job left none, FileExistsError when it is there already.
        """
        source, target = self._run(run) / _checked(slot_id, _SLOT), self.path(slot_id)
        if not source.is_dir():
            raise NoSuchObject(object=slot_id)
        if target.exists():  # rename would replace an empty folder
            raise FileExistsError(slot_id)
        with full_disk_as_error():
            if not self._objects.is_dir():
                make_folder(self._objects)
            sync_folder(source)
            source.rename(target)
            sync_folder(self._objects)
            sync_folder(source.parent)
        return target

    def adopt(self, run: str, slot_id: str) -> tuple[StoredFile, ...]:
        """Copy an object whose writer is still alive from incoming/ to objects/, durably, and return its files.

        The writer may hold the originals open, so the copies are new files, hashed as they are: what is committed can change no more.

        Raises: JobMisbehaved, StorageFull.
        """
        source, target = self._run(run) / _checked(slot_id, _SLOT), self.path(slot_id)
        listed = self.collect(source)
        for folder in (self._objects, target):
            if not folder.is_dir():
                make_folder(folder)
        for file in listed:
            _copy(source / file.name, target / file.name, size=file.size)
        sync_folder(target)
        _remove(source)
        return self.collect(target)

    def path(self, slot_id: str) -> Path:
        """Return the folder of a committed object, there or not."""
        return self._objects / _checked(slot_id, _SLOT)

    def remove(self, slot_id: str) -> None:
        """Delete a committed object's files; nothing happens when there are none."""
        _remove(self.path(slot_id))

    def clear_incoming(self, run: str) -> None:
        """Delete everything that a run left in incoming/."""
        _remove(self._run(run))

    def slots(self) -> list[str]:
        """Return the ids of the objects that are there, sorted."""
        return _names(self._objects, _SLOT)

    def incoming_runs(self) -> list[str]:
        """Return the runs that left something in incoming/, sorted."""
        return _names(self._incoming, _RUN)

    def check(self, files: Iterable[StoredFile], slot_id: str) -> list[str]:
        """Return the names of an object's files that are missing, altered or not listed; empty means as committed."""
        listed = {file.name: file for file in files}
        folder = self.path(slot_id)
        present = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        altered = {name for name, file in listed.items() if name in present and _stored(folder / name) != file}
        return sorted((listed.keys() ^ present) | altered)

    def _run(self, run: str) -> Path:
        return self._incoming / _checked(run, _RUN)


def _checked(name: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(name):
        raise NoSuchObject(object=name)
    return name


def _order(name: str) -> tuple[float, str]:
    """Return a sort key: numbered files by number, then the rest, the index among them."""
    numbered = _NUMBERED.fullmatch(name)
    return (int(numbered[1]) if numbered else float("inf"), name)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a FIFO must not block the host


def _stored(path: Path) -> StoredFile | None:
    """Return a file's size and SHA-256; None for a link, a file with a second name, a device or a folder."""
    try:
        with open(path, "rb", buffering=0, opener=_opener) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
                return None
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return StoredFile(name=path.name, size=facts.st_size, sha256=digest)


def _copy(source: Path, target: Path, *, size: int) -> None:
    """Copy at most `size` bytes: a writer that is still alive may have put a link, a folder or an endless file in place of what was listed."""
    try:
        reading = open(source, "rb", buffering=0, opener=_opener)  # noqa: SIM115  only opening is judged here; closed below
    except OSError as cause:
        raise JobMisbehaved(
            job=source.parent.parent.name, problem=t("its output changed while it was read", "读取期间其输出被改动")
        ) from cause
    with reading, full_disk_as_error():
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while size > 0 and (block := reading.read(min(size, _COPY_BLOCK))):
                write_all(handle, block)
                size -= len(block)
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
        sync_folder(folder.parent)


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if pattern.fullmatch(path.name)) if folder.is_dir() else []
