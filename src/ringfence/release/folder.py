"""A bundle's folder as a verifier reads it: regular files only, each opened once, nothing followed."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.core.errors import BundleBroken, BundleUnreadable, NotCanonical
from ringfence.core.text import t
from ringfence.release.adapter import LENGTH_FIELD, header_size
from ringfence.release.formats import GGUF, MERGED, is_weights
from ringfence.release.manifest import EVIDENCE, MANIFEST, MANIFEST_SIGNATURE, MODEL_SIGNATURE, Manifest

_MOST_FILES = 512
_LARGEST = 64 << 20  # bytes of a file that is kept in memory; weights are hashed as a stream
_CHUNK = 1 << 20  # bytes
_FOLDERS = (EVIDENCE, MERGED, GGUF)


@dataclass(frozen=True, slots=True)
class Content:
    """One file as it was read: everything said about it later is about these bytes."""

    size: int  # bytes
    sha256: str
    data: bytes = field(repr=False)  # of weights the safetensors header only


def read_folder(folder: Path) -> dict[str, Content]:
    """Return every file of a bundle by its path inside it, sorted.

    Raises: BundleUnreadable when the path holds no bundle; BundleBroken for anything but regular files in the root and in the folders that a bundle may have.
    """
    if not folder.is_dir() or not any((folder / name).is_file() for name in (MANIFEST, MANIFEST_SIGNATURE, MODEL_SIGNATURE)):
        raise BundleUnreadable(path=str(folder))
    root = _list(folder, prefix="")
    paths = [path for path, is_folder in root if not is_folder]
    for path, is_folder in root:
        if is_folder and path not in _FOLDERS:
            raise BundleBroken(problem=t("{path}/ does not belong to it", "{path}/ 不属于它", path=shown(path)))
        if is_folder:
            inner = _list(folder / path, prefix=f"{path}/")
            nested = next((name for name, is_nested in inner if is_nested), None)
            if nested:
                raise BundleBroken(problem=t("{path}/ does not belong to it", "{path}/ 不属于它", path=shown(nested)))
            paths += [name for name, _ in inner]
    if len(paths) > _MOST_FILES:
        raise BundleBroken(problem=t("it holds {count} files", "其中有 {count} 个文件", count=len(paths)))
    return {path: _read(folder, path) for path in sorted(paths)}


def claimed(folder: Path) -> Manifest | None:
    """Return the manifest that a folder holds, which nobody verified: good enough to refuse by, never to believe; None where there is none to read."""
    try:
        return Manifest.from_bytes(_read(folder, MANIFEST).data)
    except (BundleBroken, NotCanonical, OSError):
        return None


def _list(folder: Path, *, prefix: str) -> list[tuple[str, bool]]:
    """Return (path, whether it is a folder) of everything directly inside; links and devices are refused."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise BundleBroken(problem=t("{path} is no regular file", "{path} 不是普通文件", path=shown(prefix + entry.name)))
            found.append((prefix + entry.name, stat.S_ISDIR(mode)))
    return found


def _read(folder: Path, path: str) -> Content:
    try:
        handle = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as cause:
        raise BundleBroken(problem=t("{path} cannot be read", "{path} 无法读取", path=shown(path))) from cause
    with os.fdopen(handle, "rb") as file:
        if is_weights(path):
            return _stream(file, has_header=path.endswith(".safetensors"))
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise BundleBroken(problem=t("{path} is larger than it can be", "{path} 大得不可能", path=shown(path)))
    return Content(size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=data)


def _stream(file: io.BufferedReader, *, has_header: bool) -> Content:
    start = file.read(LENGTH_FIELD)
    head = start + (file.read(header_size(start) - len(start)) if has_header else b"")
    digest, size = hashlib.sha256(head), len(head)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return Content(size=size, sha256=digest.hexdigest(), data=head)


def shown(path: str) -> str:
    """Return a path that a terminal can print: a name in a strange bundle is a stranger's text."""
    return path.encode("ascii", "backslashreplace").decode() if path.isprintable() else ascii(path)
