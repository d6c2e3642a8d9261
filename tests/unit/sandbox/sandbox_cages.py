"""What the tests of this folder share: a cage around a function of inside/hostile.py."""

import os
import stat
from pathlib import Path

import pytest

from ringfence.core.errors import TierMissing
from ringfence.core.order import Limits
from ringfence.sandbox.cage import Mounts, open_cage
from ringfence.sandbox.python import own
from ringfence.sandbox.tiers import probe

INSIDE = Path(__file__).parent / "inside"


def needs_bwrap():
    """Skip where this machine has no working sandbox; a wheel's bwrap that alone fails is a failure, not a skip."""
    try:
        probe()
    except TierMissing as missing:
        pytest.skip(f"no sandbox on this machine: {missing.facts['problem']}", allow_module_level=True)


def needs_own_folder(folder):
    """Skip where others than root and we can write a folder above this one, or own it: what lies in it is then refused, and rightly."""
    for above in folder.resolve().parents:
        found = above.stat()
        if found.st_uid not in (0, os.geteuid()) or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
            pytest.skip(f"this machine has temporary files below {above}, which others can write")


def caged(function, *, tier="T1", mounts=None, memory=1 << 30, **options):
    return open_cage(
        tier=tier,
        mounts=mounts or Mounts(),
        limits=Limits(seconds=60, memory=memory),
        entry=f"hostile:{function}",
        import_roots=[*own().roots, INSIDE],
        **options,
    )


def heard(cage):
    """Return everything the child sends until it ends."""
    cage.socket.settimeout(20)
    pieces = []
    while piece := cage.socket.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)
