"""Whose Python a child runs: ringfence's own, or that of another environment, whose packages could not be in one with ours."""

from __future__ import annotations

import os
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ringfence
from ringfence.core.errors import PythonUnfit
from ringfence.core.text import t

PACKAGE = Path(ringfence.__file__).parent
_LEAST = (3, 11)  # ringfence runs under no older one
_FOLDER = re.compile(r"python(\d+)\.(\d+)")
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Python:
    """An interpreter and what it imports.

    binary: its own file, every link followed: a virtual environment's python is a link to it.  prefixes: whose lib and lib64 it needs.
    packages: the folders where what it imports is installed.
    """

    binary: Path
    prefixes: tuple[Path, ...]
    packages: tuple[Path, ...]

    @property
    def roots(self) -> list[Path]:
        """Return the folders that a child imports from: where the dependencies lie and where ringfence lies."""
        return list(dict.fromkeys((*self.packages, PACKAGE.parent)))

    def lacks(self, *modules: str) -> list[str]:
        """Return those of these packages that are not installed. Nothing is imported."""
        return [name for name in modules if not any((folder / name).is_dir() for folder in self.packages)]


def own() -> Python:
    """Return the one that runs this."""
    binary, paths = Path(os.path.realpath(sys.executable)), sysconfig.get_paths()
    prefixes = tuple(dict.fromkeys((binary.parents[1], Path(sys.base_prefix))))
    return Python(binary, prefixes, tuple(dict.fromkeys((Path(paths["purelib"]), Path(paths["platlib"])))))


def of_environment(path: Path) -> Python:
    """Return the Python of a virtual or conda environment, named by its `bin/python`. Nothing of it is run here.

    Nobody vouches for what is installed there. What is looked at is whether others than its owner and root could change it.

    Raises: PythonUnfit.
    """
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise PythonUnfit(path=str(path), problem=t("no such program is there", "那里没有这个程序"))
    binary, prefix = Path(os.path.realpath(path)), path.absolute().parents[1]
    found = [folder for folder in sorted(prefix.glob("lib/python3.*/site-packages")) if folder.is_dir()]
    version = _FOLDER.fullmatch(found[0].parent.name) if len(found) == 1 else None
    if version is None or not (binary.parents[1] / "lib" / version[0]).is_dir():
        raise PythonUnfit(path=str(path), problem=t("it is not the bin/python of an environment", "它不是某个环境的 bin/python"))
    if (int(version[1]), int(version[2])) < _LEAST:
        problem = t("it is {version}, and 3.11 is the oldest that can be", "它是 {version}，而最低须为 3.11", version=version[0])
        raise PythonUnfit(path=str(path), problem=problem)
    looked_at = (binary, *binary.parents, binary.parents[1] / "lib" / version[0], *found[0].parents, *_below(found[0]))
    if (others := next((one for one in looked_at if _is_open(one)), None)) is not None:
        problem = t("others than you and root can write {path}", "您和 root 以外的人可写 {path}", path=others)
        raise PythonUnfit(path=str(path), problem=problem)
    return Python(binary, (binary.parents[1],), (found[0],))


def _below(folder: Path) -> Iterator[Path]:
    """Yield a folder and everything in it."""
    yield folder
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def _is_open(path: Path) -> bool:
    """Return whether anybody but root and this user can write a file, or put another in its place.

    A group that is the user's own is nobody else. In a folder like /tmp, where each may remove what is their own alone, nothing of ours is replaced. A link has
    no rights: what it leads to is looked at where it lies below the same folders, and is not there in a sandbox where it does not.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return False
    writers = found.st_mode & (stat.S_IWOTH if found.st_gid == os.getegid() else _OTHERS)
    is_shared = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
    return (bool(writers) and not is_shared) or found.st_uid not in (0, os.geteuid())
