"""The filter, checked by an interpreter of its own."""

import platform
import re
import struct
from pathlib import Path
from typing import get_args

import pytest

from ringfence.core.errors import TierMissing
from ringfence.sandbox import seccomp
from ringfence.sandbox.seccomp import ALLOW, DENIED, ENOSYS, EPERM, FOLDER, KILL, filter_bytes, filter_path, write_filters

ARCHITECTURES = get_args(seccomp.Architecture)
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
ALLOWED = {  # what a training run needs, as (x86_64, aarch64)
    "read": (0, 63), "write": (1, 64), "openat": (257, 56), "close": (3, 57), "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226),
    "futex": (202, 98), "execve": (59, 221), "exit_group": (231, 94), "wait4": (61, 260), "ioctl": (16, 29), "connect": (42, 203),
    "sendmsg": (46, 211), "recvmsg": (47, 212), "socketpair": (53, 199), "getrandom": (318, 278), "sched_setaffinity": (203, 122),
    "mbind": (237, 235), "madvise": (28, 233), "clock_gettime": (228, 113), "prctl": (157, 167), "memfd_create": (319, 279),
    "rseq": (334, 293), "statx": (332, 291), "utimensat": (280, 88), "renameat2": (316, 276), "fsync": (74, 82), "shmget": (29, 194),
    "landlock_restrict_self": (446, 446), "pidfd_open": (434, 434), "openat2": (437, 437),
}  # fmt: skip


def run(program, *, arch, nr, args=(0,) * 6):
    """Interpret classic BPF over one struct seccomp_data; return what the filter says."""
    data = struct.pack("<iIQ6Q", nr if nr < 1 << 31 else nr - (1 << 32), arch, 0, *args)
    instructions = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x06:
            return value
        else:
            test = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += yes if test else no


@pytest.fixture(params=ARCHITECTURES)
def machine(request):
    name = request.param
    program = (FOLDER / f"{name}.bpf").read_bytes()
    column = ARCHITECTURES.index(name)
    return lambda numbers, *args: run(program, arch=AUDIT[name], nr=numbers[column], args=(*args, *(0,) * (6 - len(args))))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_checked_in_filter_is_the_generated_one(name, tmp_path):
    write_filters(tmp_path)
    assert (tmp_path / f"{name}.bpf").read_bytes() == (FOLDER / f"{name}.bpf").read_bytes() == filter_bytes(name)


@pytest.mark.parametrize("name", DENIED)
def test_is_denied(machine, name):
    numbers = DENIED[name]
    got = {machine(tuple(n if n is not None else 0xFFFF for n in numbers)) for _ in range(1)}
    assert got <= {EPERM, ALLOW}
    assert got == {EPERM} or None in numbers


@pytest.mark.parametrize("name", [n for n, numbers in DENIED.items() if None in numbers])
def test_what_exists_on_x86_alone_is_denied_there(name):
    assert DENIED[name].aarch64 is None
    assert run(filter_bytes("x86_64"), arch=AUDIT["x86_64"], nr=DENIED[name].x86_64) == EPERM


@pytest.mark.parametrize("name", ALLOWED)
def test_is_allowed(machine, name):
    assert machine(ALLOWED[name]) == ALLOW


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_other_number_is_allowed(name):
    program, column = filter_bytes(name), ARCHITECTURES.index(name)
    special = {n[column] for n in (*DENIED.values(), seccomp.CLONE3, seccomp.SOCKET)}
    got = {nr for nr in range(600) if run(program, arch=AUDIT[name], nr=nr) != ALLOW}
    assert got == special - {None}


def test_namespaces_by_clone(machine):
    assert machine(seccomp.CLONE3) == ENOSYS
    threads = 0x3D0F00  # what pthread_create asks for
    for flags in (17, threads, 0x01200011):
        assert machine(seccomp.CLONE, flags) == ALLOW
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert machine(seccomp.CLONE, 17 | bit) == EPERM
        assert machine(seccomp.CLONE, threads | bit | 1 << 40) == EPERM


def test_socket_families(machine):
    got = {family for family in range(64) if machine(seccomp.SOCKET, family) == ALLOW}
    assert got == {1, 2, 10, 16}
    assert machine(seccomp.SOCKET, 17 | 1 << 32) == EPERM  # the kernel reads 32 bits


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("nr", [0, 1, 59, 101])
def test_another_architecture_is_killed(name, nr):
    assert run(filter_bytes(name), arch=I386, nr=nr) == KILL


@pytest.mark.parametrize("nr", [0x40000000, 0x40000000 | 101, 0x40000000 | 1, 0xFFFFFFFF])
def test_x32_is_refused(nr):
    assert run(filter_bytes("x86_64"), arch=AUDIT["x86_64"], nr=nr) == EPERM


@pytest.mark.parametrize(("header", "column", "pattern"), [
    ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0, r"#define __NR_(\w+)\s+(\d+)"),
    ("/usr/include/asm-generic/unistd.h", 1, r"#define __NR_(\w+)\s+(\d+)"),
])  # fmt: skip
def test_the_numbers_are_the_kernels(header, column, pattern):
    if not Path(header).is_file():
        pytest.skip(f"this machine has no {header}")
    known = {m[1]: int(m[2]) for m in re.finditer(pattern, Path(header).read_text())}
    ours = {**DENIED, "clone": seccomp.CLONE, "clone3": seccomp.CLONE3, "socket": seccomp.SOCKET}
    newer = {"open_tree_attr", "statmount", "listmount", "fchmodat2"}  # than some headers
    for name, numbers in ours.items():
        assert known.get(name, numbers[column] if name in newer else None) == numbers[column], name


def test_an_architecture_without_a_filter_is_a_missing_tier():
    assert filter_path("amd64") == filter_path("x86_64")
    assert filter_path().stem in (platform.machine(), "x86_64", "aarch64")
    with pytest.raises(TierMissing):
        filter_path("riscv64")
