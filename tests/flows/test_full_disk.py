"""A disk that fills up under an arrow: a coded error, nothing half made, and the arrow succeeds once there is room."""

from __future__ import annotations

import os
import shutil

import pytest

from ringfence.workspace.fsck import fsck
from tests.flows.conftest import notes, reopen, write_rows

PAGE = 4096  # bytes; a tmpfs hands out whole pages
FULL = {(20, "RF-VAULT-005"), (20, "RF-LEDGER-002")}


def fill(disk, *, but):
    """Leave so many bytes free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * PAGE)
        except OSError:
            file.truncate(max(0, filler.stat().st_size - but))
    return filler


def test_a_full_disk_leaves_nothing_behind(cli, small_disk, tmp_path, model_store):
    disk = small_disk(3 << 20)
    assert cli("init", disk / "ws", "--solo")[0] == 0
    path = write_rows(tmp_path / "big.jsonl", [{"prompt": f"{i} " + os.urandom(2000).hex(), "completion": "a"} for i in range(2000)])
    code, answer = cli("import", path, "--name", "big", workspace=disk / "ws")
    assert (code, answer["error"]["code"]) in FULL
    space = reopen(disk / "ws")
    assert not space.state.things
    assert space.store.slots() == []
    report = fsck(space)
    assert report.broken == []
    small = write_rows(tmp_path / "small.jsonl", notes(3))
    assert cli("import", small, "--name", "small", workspace=disk / "ws")[0] == 0


@pytest.mark.parametrize("arrow", [pytest.param("train", marks=pytest.mark.full), pytest.param("release", marks=pytest.mark.full)])
def test_an_arrow_on_a_disk_that_fills_up(cli, small_disk, finished, recipe, arrow):
    """With more and more room: it is refused before it begins, fails somewhere in the middle, and succeeds; nothing is ever half made."""
    disk = small_disk(8 << 20)
    path = shutil.copytree(finished[0], disk / "ws")
    command = ["train", recipe(save_steps=2)] if arrow == "train" else ["release", finished[1], "--name", "second"]
    codes, begun = [], []
    for free in (0, 2, 4, 8, 16, 32, 64, 128, 256):
        filler = fill(disk, but=free * PAGE)
        before = len(reopen(path).state.runs)
        code, answer = cli(*command, workspace=path)
        codes.append((code, answer.get("error", {}).get("code", "")))
        filler.unlink()
        space = reopen(path)
        begun.append(len(space.state.runs) - before)
        assert fsck(space).broken == []
        assert {run.state for run in space.state.runs.values()} <= {"done", "failed", "interrupted"}
        named = {thing.made.slot for thing in space.state.live().values()}
        assert named == set(space.keys.slots()) == set(space.store.slots())
        assert cli("log", "verify", workspace=path)[0] == 0
        if code == 0:
            break
    assert codes[-1] == (0, "")
    assert set(codes[:-1]) <= FULL
    assert begun[0] == 0
    assert begun.count(1) >= 3  # that is, at least two that had begun, and the last
