"""Files are whole or not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ringfence.core.durable import write_all, write_atomic
from ringfence.core.errors import StorageFull


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "x"
    write_atomic(path, b"old")
    write_atomic(path, b"new", mode=0o644)
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, small_disk):
    disk = small_disk(64 << 10)
    path = disk / "x"
    write_atomic(path, b"old")
    with pytest.raises(StorageFull):
        write_atomic(path, b"n" * (1 << 20))
    assert path.read_bytes() == b"old"
    assert [p.name for p in disk.iterdir()] == ["x"]


def test_short_writes_are_continued(monkeypatch, tmp_path):
    import os

    real, calls = os.write, []

    def short(handle, data):
        calls.append(len(data))
        return real(handle, bytes(data)[:3])

    monkeypatch.setattr(os, "write", short)
    with (tmp_path / "x").open("wb") as file:
        write_all(file.fileno(), b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"
    assert calls == [10, 7, 4, 1]


def test_killed_in_the_middle_the_old_bytes_stay(tmp_path):
    path = tmp_path / "x"
    write_atomic(path, b"old")
    code = (
        "import os,signal,sys;from pathlib import Path;from ringfence.core import durable;"
        "Path.replace=lambda *a: os.kill(os.getpid(),signal.SIGKILL);"
        f"durable.write_atomic(Path({str(path)!r}),b'new')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.read_bytes() == b"old"
