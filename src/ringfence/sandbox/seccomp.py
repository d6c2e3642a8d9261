"""The system calls that a job may not make, and the filter that refuses them.

The filters are checked in (`filters/<architecture>.bpf`), so that starting a job needs no libseccomp; `write_filters` makes them again and a
test compares the bytes. A filter is a list of `struct sock_filter` in the machine's byte order (both architectures are little-endian).
What the kernel offers to a process without privileges and a training run does not need is refused with EPERM: tracing, new namespaces, mounts,
kernel keys, BPF, owners and modes, io_uring (whose requests no filter sees), clocks, modules. Sockets are limited to four families: AF_NETLINK must stay,
without it gloo and NCCL find no interface.
Source: Linux Documentation/userspace-api/seccomp_filter.rst; numbers from asm/unistd_64.h and asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import platform
import struct
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ringfence.core.errors import TierMissing
from ringfence.core.text import t

Architecture = Literal["x86_64", "aarch64"]
FOLDER = Path(__file__).parent / "filters"

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_X32 = 0x40000000  # numbers from here on are the x32 variants of the same calls, which the list below would miss


class Numbers(NamedTuple):
    """The number of one system call on each architecture; None where it does not exist."""

    x86_64: int | None
    aarch64: int | None


DENIED: dict[str, Numbers] = {
    # look into or steer other processes
    "ptrace": Numbers(101, 117),
    "process_vm_readv": Numbers(310, 270),
    "process_vm_writev": Numbers(311, 271),
    "process_madvise": Numbers(440, 440),
    "kcmp": Numbers(312, 272),
    "pidfd_getfd": Numbers(438, 438),
    # large interfaces of the kernel that have been the way out before
    "bpf": Numbers(321, 280),
    "perf_event_open": Numbers(298, 241),
    "userfaultfd": Numbers(323, 282),
    "io_uring_setup": Numbers(425, 425),
    "io_uring_enter": Numbers(426, 426),
    "io_uring_register": Numbers(427, 427),
    "fanotify_init": Numbers(300, 262),
    "lookup_dcookie": Numbers(212, 18),
    "modify_ldt": Numbers(154, None),
    "uselib": Numbers(134, None),
    # keys of the kernel: not separated by namespaces of files
    "add_key": Numbers(248, 217),
    "request_key": Numbers(249, 218),
    "keyctl": Numbers(250, 219),
    # another view of the file system
    "mount": Numbers(165, 40),
    "umount2": Numbers(166, 39),
    "pivot_root": Numbers(155, 41),
    "chroot": Numbers(161, 51),
    "move_mount": Numbers(429, 429),
    "open_tree": Numbers(428, 428),
    "open_tree_attr": Numbers(467, 467),
    "fsopen": Numbers(430, 430),
    "fsconfig": Numbers(431, 431),
    "fsmount": Numbers(432, 432),
    "fspick": Numbers(433, 433),
    "mount_setattr": Numbers(442, 442),
    "statmount": Numbers(457, 457),
    "listmount": Numbers(458, 458),
    "name_to_handle_at": Numbers(303, 264),
    "open_by_handle_at": Numbers(304, 265),
    "quotactl": Numbers(179, 60),
    "quotactl_fd": Numbers(443, 443),
    "nfsservctl": Numbers(180, 42),
    # owners and modes: the job of root owns the host's /dev/null, and a mode may carry the set-user-id bit
    "chmod": Numbers(90, None),
    "fchmod": Numbers(91, 52),
    "fchmodat": Numbers(268, 53),
    "fchmodat2": Numbers(452, 452),
    "chown": Numbers(92, None),
    "lchown": Numbers(94, None),
    "fchown": Numbers(93, 55),
    "fchownat": Numbers(260, 54),
    # other namespaces
    "unshare": Numbers(272, 97),
    "setns": Numbers(308, 268),
    # the machine itself
    "init_module": Numbers(175, 105),
    "finit_module": Numbers(313, 273),
    "delete_module": Numbers(176, 106),
    "kexec_load": Numbers(246, 104),
    "kexec_file_load": Numbers(320, 294),
    "reboot": Numbers(169, 142),
    "swapon": Numbers(167, 224),
    "swapoff": Numbers(168, 225),
    "sethostname": Numbers(170, 161),
    "setdomainname": Numbers(171, 162),
    "syslog": Numbers(103, 116),
    "acct": Numbers(163, 89),
    "vhangup": Numbers(153, 58),
    "iopl": Numbers(172, None),
    "ioperm": Numbers(173, None),
    # clocks
    "settimeofday": Numbers(164, 170),
    "clock_settime": Numbers(227, 112),
    "clock_adjtime": Numbers(305, 266),
    "adjtimex": Numbers(159, 171),
}
CLONE = Numbers(56, 220)
CLONE3 = Numbers(435, 435)
SOCKET = Numbers(41, 198)

NEW_NAMESPACE = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}

ALLOW = 0x7FFF0000
KILL = 0x80000000
EPERM = 0x00050000 | errno.EPERM
ENOSYS = 0x00050000 | errno.ENOSYS

_LOAD, _RETURN, _EQUAL, _AT_LEAST, _ANY_BIT = 0x20, 0x06, 0x15, 0x35, 0x45
_NR, _ARCH, _ARG0 = 0, 4, 16  # offsets in struct seccomp_data; of an argument, the low 32 bits


def filter_bytes(architecture: Architecture) -> bytes:
    """Return the filter program for one architecture."""
    column = get_args(Architecture).index(architecture)
    program = [_op(_LOAD, _ARCH), _op(_EQUAL, _AUDIT_ARCH[architecture], yes=1), _op(_RETURN, KILL), _op(_LOAD, _NR)]
    if architecture == "x86_64":
        program += [_op(_AT_LEAST, _X32, no=1), _op(_RETURN, EPERM)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            program += [_op(_EQUAL, number, no=1), _op(_RETURN, EPERM)]
    # clone3 hides its flags in memory, where no filter can look. ENOSYS makes the C library fall back to clone.
    program += [_op(_EQUAL, _known(CLONE3[column]), no=1), _op(_RETURN, ENOSYS)]
    program += [_op(_EQUAL, _known(CLONE[column]), no=4), _op(_LOAD, _ARG0), _op(_ANY_BIT, NEW_NAMESPACE, no=1), _op(_RETURN, EPERM)]
    program += [_op(_RETURN, ALLOW)]
    families = sorted(FAMILIES.values())
    program += [_op(_EQUAL, _known(SOCKET[column]), no=len(families) + 2), _op(_LOAD, _ARG0)]
    program += [_op(_EQUAL, family, yes=len(families) - i) for i, family in enumerate(families)]
    program += [_op(_RETURN, EPERM), _op(_RETURN, ALLOW)]
    return b"".join(program)


def write_filters(folder: Path = FOLDER) -> None:
    """Write the filter of every architecture."""
    for architecture in get_args(Architecture):
        (folder / f"{architecture}.bpf").write_bytes(filter_bytes(architecture))


def filter_path(machine: str | None = None) -> Path:
    """Return the checked-in filter of this machine's architecture.

    Raises: TierMissing where there is none.
    """
    machine = machine or platform.machine()
    path = FOLDER / f"{_OTHER_NAMES.get(machine, machine)}.bpf"
    if not path.is_file():
        raise TierMissing(
            tier="T1", problem=t("no seccomp filter for {machine}", "没有适用于 {machine} 的 seccomp 过滤器", machine=machine)
        )
    return path


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """Return one struct sock_filter; `yes` and `no` are the instructions to skip."""
    return struct.pack("<HBBI", code, yes, no, value)


def _known(number: int | None) -> int:
    assert number is not None  # noqa: S101  clone, clone3 and socket exist everywhere
    return number
