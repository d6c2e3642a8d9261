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
_LINKS = 40  # that the kernel follows on one way
_OTHERS = stat.S_IWGRP | stat.S_IWOTH  # no group is trusted: who is in it, now or later, is nowhere to be seen


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

    Nobody vouches for what is installed there. What is looked at, once, is whether others than this user and root could change it: the interpreter and the
    libraries beside it, the standard library, all packages, what links among them lead to, and every folder on the way, as it is named and as it is.

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
    if (others := _open_one(path.absolute(), base=binary.parents[1], packages=found[0])) is not None:
        problem = t("others than you and root can write {path}", "你和 root 以外的人可写 {path}", path=others)
        raise PythonUnfit(path=str(path), problem=problem)
    return Python(binary, (binary.parents[1],), (Path(os.path.realpath(found[0])),))


def _open_one(path: Path, *, base: Path, packages: Path) -> str | None:
    """Return the first file or folder that others could change, of an environment named by `path` over the prefix `base`; None where there is none."""
    prefix, parts = packages.parents[2], [base / part for part in ("lib", "lib64")]
    roots = (prefix, Path(os.path.realpath(prefix)), base)
    ends = [path, packages, *(part / packages.parent.name for part in parts), *(one for part in parts for one in part.glob("*.so*"))]
    walked: set[str] = set()
    while ends:
        end = ends.pop()
        for step in _way(end):
            is_above = step != end and not any(step.is_relative_to(root) for root in roots)
            if _is_open(str(step), is_above=is_above):
                return str(step)
        real = os.path.realpath(end)
        if _is_open(real, is_above=False):
            return real
        for place, folders, files in os.walk(real):
            if place in walked:
                folders.clear()
                continue
            walked.add(place)
            for one in (f"{place}/{name}" for name in (*folders, *files)):
                if _is_open(one, is_above=False):
                    return one
                if os.path.islink(one):  # noqa: PTH114  some hundred thousand of them
                    ends.append(Path(one))
    return None


def _way(path: Path) -> Iterator[Path]:
    """Yield every folder and link through which the kernel comes to a path, and the path itself and what lies at its end."""
    at, left, links = Path("/"), [*reversed(path.parts[1:])], 0
    yield at
    while left and links <= _LINKS:
        name = left.pop()
        at = at.parent if name == ".." else at / name
        yield at
        if at.is_symlink():
            target, links = at.readlink(), links + 1
            left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            at = Path("/") if target.is_absolute() else at.parent


def _is_open(path: str, *, is_above: bool) -> bool:
    """Return whether anybody but root and this user can write a file, or put another in its place; False where nothing is.

    is_above: it is a folder on the way to what is imported. One like /tmp, where each may remove what is their own alone, lets nothing of ours be replaced there;
    but in a folder from which is imported, whoever can put a file beside ours has code that runs. A link has no rights: it is its folder that counts, and its owner.
    """
    try:
        found = os.lstat(path)
    except OSError:  # what this user cannot come to, the child cannot either
        return False
    if found.st_uid not in (0, os.geteuid()):
        return True
    is_shared = is_above and stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & _OTHERS) and not is_shared
