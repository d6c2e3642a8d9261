"""A hostile job tries every way out that we know, in one child."""

import json
import os
import platform
import runpy
import secrets
import socket
import sys
from pathlib import Path

import pytest

from ringfence.sandbox.cage import Mounts
from ringfence.sandbox.python import own
from tests.unit.sandbox.sandbox_cages import INSIDE, caged, heard, needs_bwrap

needs_bwrap()
HOSTILE = runpy.run_path(str(INSIDE / "hostile.py"))  # only its tables are used here
NAMES = [*HOSTILE["PROBES"], *HOSTILE["SYSCALLS"]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    (folder / "input").mkdir()
    (folder / "input" / "row").write_text("x")
    (folder / "input" / "link").symlink_to("/etc/shadow")
    (folder / "secret").write_text("a secret of the host")
    abstract = f"ringfence-{secrets.token_hex(8)}"
    bound = [*own().roots, INSIDE, own().binary, Path(sys.base_prefix)]
    top = {path.parts[1] for path in bound}  # the parents of what is bound exist, empty but for it
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as named:
        unix.bind("\0" + abstract)
        unix.listen()
        named.bind(str(folder / "named"))
        named.listen()
        told = {
            "port": tcp.getsockname()[1],
            "abstract": abstract,
            "named": str(folder / "named"),
            "secret": str(folder / "secret"),
            "host": os.getpid(),
            "root": ["bootstrap.py", "dev", "etc", "in", "lib", "lib64", "proc", "tmp", "usr", *top],
            "devices": "null zero full random urandom tty pts ptmx shm fd stdin stdout stderr core console".split(),
        }
        with caged("main", mounts=Mounts(read={"folder": folder / "input"})) as cage:
            cage.hand_over(json.dumps(told).encode(), b"")
            found = json.loads(heard(cage))
            assert cage.wait(10) == 0
        for listener in (tcp, unix, named):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
    return found


def test_every_probe_ran(outcomes):
    assert set(outcomes) == set(NAMES)
    assert len(NAMES) >= 100


@pytest.mark.parametrize("name", NAMES)
def test_is_held(outcomes, name):
    held = {"EPERM", "EACCES", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "ENOENT", "EROFS", "ESRCH", "ENXIO", "EINVAL", "EAFNOSUPPORT"}
    if name == "name lookup":  # getaddrinfo has numbers of its own, all negative
        assert outcomes[name].startswith("-")
    elif name == "clone3":
        assert outcomes[name] == "ENOSYS"
    elif name.startswith("syscall ") or name.endswith("by clone") or name in ("vsock", "kernel crypto socket", "bluetooth socket"):
        assert outcomes[name] == "EPERM"
    else:
        assert outcomes[name] in held


@pytest.mark.parametrize("name", ["tcp to another machine", "udp to another machine"])
def test_the_network_is_absent_and_not_only_refused(outcomes, name):
    assert outcomes[name] == "ENETUNREACH"


def test_the_probes_do_find_an_open_cage():
    """Outside the cage the same probes get out: a probe that cannot escape would prove nothing."""
    told = HOSTILE["TOLD"]
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        told["port"] = tcp.getsockname()[1]
        assert HOSTILE["outcome"](HOSTILE["PROBES"]["the host's loopback"]) == "ESCAPED"
    for name in ("accounts", "processes of the host", "the name of the host", "environment"):
        got = HOSTILE["outcome"](HOSTILE["PROBES"][name])
        assert got == "ESCAPED", name
    assert platform.machine() in ("x86_64", "aarch64")
