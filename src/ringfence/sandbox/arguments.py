"""What bubblewrap is told: the whole of what a job can see of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.core.errors import FileUnreadable
from ringfence.sandbox.python import PACKAGE, Python, own

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
INSIDE_BOOTSTRAP = "/bootstrap.py"
INSIDE_OUT = "/out"
_USER = "65534"  # nobody: no host account's number is visible inside
_TMPFS = 256 << 20  # bytes each for /tmp and /dev/shm, so that neither is a way around the memory limit
_ROLE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")  # what the dynamic loader searches


@dataclass(frozen=True)
class Mounts:
    """What of the host a job gets besides the interpreter."""

    read: Mapping[str, Path] = field(default_factory=dict)  # role -> file or folder, read-only at /in/<role>
    write: Path | None = None  # a folder, read-write at /out
    gpus: tuple[Path, ...] = ()  # device nodes, from `gpu_nodes`

    def check(self) -> None:
        """Raise ValueError for a role that is no plain word, FileUnreadable for a source that is not there."""
        for role in self.read:
            if not _ROLE.fullmatch(role):
                raise ValueError(f"{role!r} is no role")
        for source in (*self.read.values(), *((self.write,) if self.write else ()), *self.gpus):
            if not source.exists():
                raise FileUnreadable(path=str(source))


def bwrap_arguments(
    *, mounts: Mounts, roots: Sequence[Path], info: int, block: int, seccomp: int, python: Python | None = None
) -> list[str]:
    """Return bubblewrap's arguments, up to the command. python: under which it runs; None: ringfence's own.

    The order counts: devices after --dev, the read-only remounts last.

    Why the remounts: to the kernel, the job of root is still root, without capabilities. The host's sysctl files are its own (core_pattern
    alone would be a way out) and bubblewrap leaves them writable. The root and /dev are memory without a size limit.
    """
    python = python or own()
    command = ["--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"]
    command += ["--uid", _USER, "--gid", _USER, "--hostname", "sandbox"]
    command += ["--info-fd", str(info), "--block-fd", str(block), "--seccomp", str(seccomp)]
    command += ["--proc", "/proc", "--dev", "/dev", *_memory_folder("/dev/shm"), *_memory_folder("/tmp")]  # noqa: S108
    command += _libraries() + _read_only(_interpreter_paths(python)) + _read_only(_bound(roots, python))
    command += ["--ro-bind", str(BOOTSTRAP), INSIDE_BOOTSTRAP]
    for role, source in sorted(mounts.read.items()):
        command += ["--ro-bind", str(source), f"/in/{role}"]
    if mounts.write:
        command += ["--bind", str(mounts.write), INSIDE_OUT]
    for node in mounts.gpus:
        command += ["--dev-bind", str(node), f"/dev/{node.name}"]
    if mounts.gpus:
        command += ["--ro-bind", "/sys", "/sys"]  # cuInit fails without it
    for place in ("/proc", "/dev", "/"):
        command += ["--remount-ro", place]
    return [*command, "--chdir", "/tmp"]  # noqa: S108


def _memory_folder(path: str) -> list[str]:
    return ["--size", str(_TMPFS), "--tmpfs", path]


def _libraries() -> list[str]:
    command = []
    for name in _LIBRARIES:
        path = Path(name)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            command += ["--ro-bind", name, name]
    return [*command, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]


def _interpreter_paths(python: Python) -> list[Path]:
    """Return the interpreter's file and its libraries; nothing else of its prefix, which may be /usr."""
    return [python.binary, *(prefix / part for prefix in python.prefixes for part in ("lib", "lib64") if (prefix / part).is_dir())]


def _bound(roots: Iterable[Path], python: Python) -> list[Path]:
    """Return what to bind of the import roots: of the folder that holds ringfence only ringfence, a checkout or another environment has other things there."""
    return [PACKAGE if root == PACKAGE.parent and root not in python.packages else root for root in roots]


def _read_only(paths: Iterable[Path]) -> list[str]:
    """Return the arguments that bind each path at its own place, outer folders first and no folder twice."""
    command: list[str] = []
    done = [Path(name) for name in _LIBRARIES]
    for path in sorted(dict.fromkeys(paths)):
        if not any(path.is_relative_to(outer) for outer in done):
            command += ["--ro-bind", str(path), str(path)]
            done.append(path)
    return command
