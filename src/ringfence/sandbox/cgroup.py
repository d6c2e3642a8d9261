"""Limits over a whole process tree, where the machine lets us set them.

RLIMIT_NPROC does not bind a process that is root outside its user namespace, and RLIMIT_DATA does not count shared memory. A control group binds both.
It is made when the folders are writable (root on a host, a delegated subtree); elsewhere the limits of the process alone hold.
Source: Linux Documentation/admin-guide/cgroup-v1/{pids,memory}.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

_FILES = {  # controller -> the file that holds its limit in version 1 and 2
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "pids": ("pids.max", "pids.max"),
}
_PREFIX = "ringfence-"
_SECONDS = 1.0  # for the kernel to forget the last process of a group


@dataclass(frozen=True)
class Group:
    """The control groups of one job: one per controller in version 1, one for all in version 2."""

    folders: dict[Path, frozenset[str]]  # with the controllers whose limit is set

    def add(self, pid: int) -> frozenset[str]:
        """Put a process, and so all that it will start, under the limits; return the controllers that now bind it."""
        held: frozenset[str] = frozenset()
        for folder, controllers in self.folders.items():
            with contextlib.suppress(OSError):
                (folder / "cgroup.procs").write_text(str(pid))
                held |= controllers
        return held

    def remove(self) -> None:
        """Remove the groups, once their processes are gone."""
        until = time.monotonic() + _SECONDS
        for folder in self.folders:
            while folder.is_dir():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.001)


def memory_here(*, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the bytes of memory that this process and its children may take: the machine's, or what a control group of theirs or above leaves where that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if names and "memory" not in names.split(","):
                continue
            top = root / names
            for folder in (group := top / path.lstrip("/"), *group.parents):
                if not folder.is_relative_to(top):
                    break
                for name in _FILES["memory"]:
                    with contextlib.suppress(OSError, ValueError):  # version 2 says "max" where there is no limit
                        found.append(int((folder / name).read_text()))
    return min(found)


def make_group(*, memory: int, processes: int, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Group:
    """Return a new group with the limits that could be set: none of them where the folders are not ours.

    memory: bytes.
    """
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
    limits = {"memory": memory, "pids": processes}
    folders = {}
    for place, controllers in _places(root, own).items():
        _sweep(place)
        folder = place / name
        with contextlib.suppress(OSError):
            folder.mkdir()
            folders[folder] = frozenset(c for c in controllers if _limit(folder, c, limits[c]))
    return Group(folders)


def _places(root: Path, own: Path) -> dict[Path, frozenset[str]]:
    """Return the folders that may hold a new group, with the controllers that each offers."""
    places: dict[Path, frozenset[str]] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, names, path = line.split(":", 2)
            wanted = frozenset(_FILES) & set(names.split(","))
            if not names:
                places |= _version_2(root, root / path.lstrip("/"))
            elif wanted:
                places[root / names / path.lstrip("/")] = wanted
    return places


def _version_2(root: Path, own: Path) -> dict[Path, frozenset[str]]:
    """Return the nearest group above our own that hands controllers to its children: a group with processes in it cannot."""
    for folder in (own, *own.parents):
        with contextlib.suppress(OSError):
            offered = frozenset(_FILES) & set((folder / "cgroup.subtree_control").read_text().split())
            if offered:
                return {folder: offered}
        if folder == root:
            break
    return {}


def _sweep(place: Path) -> None:
    """Remove the groups of hosts that were killed before they could: a name holds the host's pid, and a group in use cannot be removed."""
    with contextlib.suppress(OSError):
        for folder in place.glob(f"{_PREFIX}*-*"):
            host = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if not Path(f"/proc/{host}").exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _limit(folder: Path, controller: str, limit: int) -> bool:
    for name in _FILES[controller]:
        with contextlib.suppress(OSError):
            handle = (folder / name).open("r+")  # never creates: a file that is missing is a controller that is missing
            with handle:
                handle.write(str(limit))
            return True
    return False
