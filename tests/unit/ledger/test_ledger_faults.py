"""strace makes one system call of an append fail, or kills the writer there: the log is whole and the next append works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ringfence.core.errors import LedgerBroken
from ringfence.ledger.log import verify_log

OLD, NEW = 254, 258  # the append crosses a tile: files of every kind are written and the partial ones removed
WRITER = f"""
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ringfence.core.errors import LedgerUnavailable
from ringfence.ledger.log import Ledger
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
log = Ledger.open(Path(sys.argv[1]), origin=sys.argv[2], public=key.public_key(), key=key)
try:
    log.record_many([{{"n": {OLD} + n}} for n in range({NEW - OLD})])
except LedgerUnavailable:
    sys.exit(20)
assert log.size == {NEW}
"""


def append(make, call, fault, *, at):
    """Return how the writer ended (0, 20 or killed) and whether the fault was injected at all."""
    trace = make.folder / "trace"
    which = f"inject={call}:{fault}:when={at}"
    command = ["strace", "-f", "-qq", "-o", trace, "-e", f"trace={call}", "-e", which, sys.executable, "-c", WRITER]
    done = subprocess.run([*command, make.folder / "ledger", make.origin], check=False, capture_output=True, text=True)
    if "attach" in done.stderr or "ptrace" in done.stderr.lower():
        pytest.skip("this machine does not let strace trace")
    return done.returncode, "INJECTED" in trace.read_text() or done.returncode < 0


def check_point(make, call, fault, *, at):
    """Return whether the point was reached."""
    log = make.log(batches=(2, OLD - 2))
    ended, was_hit = append(make, call, fault, at=at)
    size = verify_log(log.folder, make.origin, make.public)
    assert ended in (0, 20, -9), (call, fault, at, ended)
    if ended == 0:
        assert size == NEW
    if ended == 20:
        assert size == OLD
    again = make.open(writable=True)
    assert again.size == size in (OLD, NEW)
    assert again.record_many([{"n": size + n} for n in range(300)])[0] == size
    assert verify_log(log.folder, make.origin, make.public) == size + 300
    assert [entry["n"] for _, entry in again.entries()] == list(range(size + 300))
    return was_hit


@pytest.fixture(autouse=True)
def _strace():
    try:
        subprocess.run(["strace", "-V"], check=True, capture_output=True)
    except OSError:
        pytest.skip("strace is not installed; test_ledger_crashes.py cuts writes and kills writers without it")


@pytest.mark.parametrize(
    ("call", "fault", "at"),
    [("fsync", "error=EIO", 2), ("fsync", "error=EIO", 12), ("rename", "error=ENOSPC", 1), ("fsync", "signal=KILL", 11)],
)
def test_one_failing_call_leaves_a_whole_log(make, call, fault, at):
    assert check_point(make, call, fault, at=at)


@pytest.mark.full
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
@pytest.mark.parametrize("call", ["fsync", "write", "rename", "mkdir", "unlink", "rmdir"])
def test_every_failing_call_leaves_a_whole_log(make, call, fault):
    points, folder = 0, make.folder
    for at in range(1, 60):
        make.folder = folder / str(at)
        make.folder.mkdir()
        if not check_point(make, call, fault, at=at):
            break
        points += 1
    assert points > 0


def test_the_check_itself_finds_a_log_that_is_not_whole(make):
    log = make.log(batches=(OLD,))
    (log.folder / f"tile/0/000.p/{OLD}").unlink()
    with pytest.raises(LedgerBroken):
        verify_log(log.folder, make.origin, make.public)
