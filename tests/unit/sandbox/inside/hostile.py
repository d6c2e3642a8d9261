"""What a hostile job tries. Runs in the cage; each probe succeeds only by getting out, and raises OSError when it is held."""

# ruff: noqa: SIM115 - a probe says what it tries in the words of the system call

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import sys
import time

from ringfence.sandbox.seccomp import CLONE, CLONE3, DENIED, NEW_NAMESPACE

LIBC = ctypes.CDLL(None, use_errno=True)
COLUMN = 0 if platform.machine() == "x86_64" else 1
TOLD = {}


def held(condition, why):
    if condition:
        raise PermissionError(errno.EPERM, why)


def call(number, *arguments):
    result = LIBC.syscall(number, *(ctypes.c_long(a) for a in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def connect(family, kind, address):
    with socket.socket(family, kind) as end:
        end.settimeout(1.0)
        end.connect(address)
        end.send(b"record text")


def send_to(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        end.sendto(b"record text", address)


def open_socket(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()


def write(path):
    with open(path, "r+b" if os.path.exists(path) else "wb") as handle:
        handle.write(b"x")


def open_to_write(path):
    """Open and go no further: were the cage open, a write would change the machine of whoever runs the tests."""
    os.close(os.open(path, os.O_WRONLY))


def only_these(folder, allowed):
    held(set(os.listdir(folder)) <= set(allowed), "nothing else is there")


def make_namespace():
    pid = call(CLONE[COLUMN], 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)


def raise_limit():
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    except ValueError as cause:
        raise PermissionError(errno.EPERM, "cannot be raised") from cause


PROBES = {
    "tcp to another machine": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 443)),
    "tcp over ipv6": lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 443)),
    "cloud metadata": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
    "udp to another machine": lambda: send_to(socket.AF_INET, ("192.0.2.1", 53)),
    "udp over ipv6": lambda: send_to(socket.AF_INET6, ("2001:db8::1", 53)),
    "udp broadcast": lambda: send_to(socket.AF_INET, ("255.255.255.255", 9)),
    "name lookup": lambda: socket.getaddrinfo("example.org", 443),
    "the host's loopback": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", TOLD["port"])),
    "an abstract socket of the host": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + TOLD["abstract"]),
    "a named socket of the host": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, TOLD["named"]),
    "raw socket": lambda: open_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet socket": lambda: open_socket(17, socket.SOCK_RAW),
    "vsock": lambda: open_socket(40, socket.SOCK_STREAM),
    "kernel crypto socket": lambda: open_socket(38, socket.SOCK_SEQPACKET),
    "bluetooth socket": lambda: open_socket(31, socket.SOCK_RAW),
    "password hashes": lambda: open("/etc/shadow"),
    "accounts": lambda: open("/etc/passwd"),
    "homes": lambda: os.listdir("/home"),
    "a secret file of the host": lambda: open(TOLD["secret"]),
    "a link in an input to the host": lambda: open("/in/folder/link"),
    "the host's root by way of /proc": lambda: open("/proc/1/root/etc/shadow"),
    "other things in the root": lambda: only_these("/", TOLD["root"]),
    "other things in /etc": lambda: only_these("/etc", ["ld.so.cache"]),
    "other devices": lambda: only_these("/dev", TOLD["devices"]),
    "the disk": lambda: open("/dev/vda"),
    "memory": lambda: open("/dev/mem"),
    "an interpreter that can be written": lambda: held(os.statvfs(os.path.realpath(sys.executable)).f_flag & os.ST_RDONLY, "read-only"),
    "write its library": lambda: open_to_write(os.__file__),
    "write ringfence": lambda: open_to_write(sys.modules["ringfence.sandbox.seccomp"].__file__),
    "write the bootstrap": lambda: open_to_write("/bootstrap.py"),
    "write an input": lambda: write("/in/folder/row"),
    "write the root": lambda: write("/planted"),
    "fill the root of /dev": lambda: write("/dev/planted"),
    "write core_pattern": lambda: open_to_write("/proc/sys/kernel/core_pattern"),
    "write sysrq": lambda: open_to_write("/proc/sysrq-trigger"),
    "processes of the host": lambda: held(sum(name.isdigit() for name in os.listdir("/proc")) == 1, "alone"),
    "signal the host": lambda: os.kill(TOLD["host"], 0),
    "the name of the host": lambda: held(os.uname().nodename == "sandbox", "neutral"),
    "environment": lambda: held(set(os.environ) <= {"PWD", "LC_CTYPE"}, "empty"),
    "inherited descriptors": lambda: only_these("/proc/self/fd", ["0", "1", "2", str(TOLD["fd"]), str(max(TOLD["fd"], 2) + 1), "3"]),
    "become root": lambda: os.setuid(0),
    "join a group": lambda: os.setgid(0),
    "make a device": lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0)),
    "modes of the host's devices": lambda: os.chmod("/dev/null", 0o666),
    "the terminal": lambda: open("/dev/tty", "rb+"),
    "core dumps": lambda: held(resource.getrlimit(resource.RLIMIT_CORE) == (0, 0), "off"),
    "raise a limit": raise_limit,
    "be traced": lambda: held(LIBC.prctl(3, 0, 0, 0, 0) == 0, "not dumpable"),
    "new user namespace by clone": make_namespace,
    "any new namespace by clone": lambda: call(CLONE[COLUMN], NEW_NAMESPACE, 0, 0, 0, 0),
    "clone3": lambda: call(CLONE3[COLUMN], 0, 0),
    "a large /tmp": lambda: held(os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize <= 256 << 20, "bounded"),
    "a large /dev/shm": lambda: held(os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize <= 256 << 20, "bounded"),
}


SYSCALLS = {f"syscall {name}": numbers[COLUMN] for name, numbers in DENIED.items() if numbers[COLUMN] is not None}


def outcome(probe):
    try:
        probe()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    except BaseException as error:  # noqa: BLE001
        return f"broken probe: {type(error).__name__}"
    return "ESCAPED"


def main(order, keys, end):
    """Try everything and send what came of it."""
    TOLD.update(json.loads(order), fd=end.fileno())
    found = {name: outcome(probe) for name, probe in PROBES.items()}
    found |= {name: outcome(lambda n=number: call(n, 0, 0, 0, 0, 0)) for name, number in SYSCALLS.items()}
    end.sendall(json.dumps(found).encode())
    return 0


def echo(order, keys, end):
    """Send back what arrived, and leave the sum of its bytes as the exit status."""
    end.sendall(order + b"|" + keys)
    return (sum(order) + sum(keys)) % 256


def say_ready_and_wait(order, keys, end):
    """Hold the keys until the end of time."""
    end.sendall(b"ready")
    signal.pause()
    return 0


def fill_memory(order, keys, end):
    """Take private memory until refused."""
    taken = []
    try:
        while True:
            taken.append(bytearray(16 << 20))
    except MemoryError:
        end.sendall(str(len(taken) * 16).encode())
    return 3


def fill_shared_memory(order, keys, end):
    """Take shared memory, which RLIMIT_DATA does not count."""
    import mmap

    taken = []
    while True:
        piece = mmap.mmap(-1, 16 << 20)
        for page in range(0, 16 << 20, 4096):
            piece[page] = 1
        taken.append(piece)


def fork_bomb(order, keys, end):
    """Start processes until refused."""
    started = 0
    try:
        while started < 500:
            if os.fork() == 0:
                signal.pause()
            started += 1
    except OSError:
        end.sendall(str(started).encode())
        return 4
    end.sendall(b"unbounded")
    return 0


def leave_orphans(order, keys, end):
    """Start a grandchild in a session of its own and end."""
    ready, done = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(done, b"1")
        signal.pause()
    os.read(ready, 1)
    end.sendall(b"left")
    return 0


def burn(order, keys, end):
    """Use a little CPU time, half of it in a child."""
    pid = os.fork()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return 0


def abort(order, keys, end):
    """Die as a native library dies."""
    os.abort()


def write_out(order, keys, end):
    """Write where it may, read what it got."""
    with open(order.decode() + "/result", "w") as out, open(keys.decode()) as source:
        out.write(source.read())
    return 0
