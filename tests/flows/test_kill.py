"""kill -9 at write-side system calls of every arrow: fsck completes or removes what is left, and the arrow then succeeds.

strace counts the calls of one undisturbed run, then sends SIGKILL at the k-th call of one kind. Two points an arrow here; `full` takes all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import count

import pytest
import yaml

from ringfence.flows.init import init
from ringfence.ledger.dsse import ed25519_public
from ringfence.ledger.log import verify_log
from ringfence.vault.keys import Passphrase
from ringfence.workspace.fsck import fsck
from ringfence.workspace.space import Workspace
from tests.flows.conftest import PASSPHRASE, RECIPE, import_notes, notes, reopen, write_rows

CALLS = ("fsync", "rename", "mkdir", "unlink", "rmdir", "write", "ftruncate", "link", "renameat2", "unlinkat", "fdatasync")
ARROWS = ("import", "scan", "deid", "train", "release", "delete")
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (Debian: apt-get install strace)")


class Bench:
    """Fresh copies of a workspace in the state just before each arrow."""

    def __init__(self, folder, finished):
        self.folder, self.number = folder, count()
        self.word = folder / "word"
        self.word.write_text(PASSPHRASE)
        self.rows = write_rows(folder / "more.jsonl", notes(12))
        self.recipe = self.write_recipe(max_steps=4, save_steps=2)
        self.finished, self.run_id = finished[0], finished[1]
        self.early = folder / "early"
        import_notes(init(self.early, Passphrase(PASSPHRASE.encode())), folder, notes(12))
        self._points = {}

    def write_recipe(self, **changes):
        path = self.folder / f"recipe{next(self.number)}.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, **changes}))
        return path

    def command(self, arrow):
        return {
            "import": ["import", self.rows, "--name", "more"],
            "scan": ["scan", "clinic"],
            "deid": ["deid", "clinic"],
            "train": ["train", self.recipe],
            "release": ["release", self.run_id, "--name", "second"],
            "delete": ["data", "delete", "clinic@sealed", "--yes"],
        }[arrow]

    def copy(self, arrow):
        source = self.early if arrow in ("import", "scan", "deid") else self.finished
        target = self.folder / f"copy{next(self.number)}"
        shutil.copytree(source, target)
        return target

    def run(self, arrow, space, *, trace=()):
        command = [sys.executable, "-m", "ringfence", "--quiet", "--passphrase-file", self.word, "-w", space, *self.command(arrow)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([*trace, *map(str, command)], env=environment, capture_output=True, timeout=280, check=False)

    def points(self, arrow):
        """Every (call, k) that an undisturbed run of the arrow makes."""
        if arrow not in self._points:
            log = self.folder / f"{arrow}.strace"
            done = self.run(arrow, self.copy(arrow), trace=["strace", "-qq", "-e", f"trace={','.join(CALLS)}", "-o", log])
            assert done.returncode == 0, done.stderr
            names = re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE)
            self._points[arrow] = [(name, k + 1) for name, total in Counter(names).items() for k in range(total)]
        return self._points[arrow]

    def killed(self, arrow, call, k):
        """Kill the arrow at one point, mend the workspace, and let the arrow succeed."""
        space = self.copy(arrow)
        trace = ["strace", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={k}"]
        done = self.run(arrow, space, trace=trace)
        assert done.returncode in (-9, 137, 0), (arrow, call, k, done.stderr)
        opened = reopen(space)
        first = fsck(opened)
        assert first.broken == [], (arrow, call, k)
        assert verify_log(space / "ledger", opened.public.origin, ed25519_public(opened.public.ledger)) == opened.ledger.size
        again = fsck(reopen(space))
        assert (again.broken, again.mended) == ([], []), (arrow, call, k)
        assert not list(space.rglob("*.tmp")), (arrow, call, k)
        state = reopen(space).state
        if arrow == "release" and "second" in state.releases:
            assert (space / "releases" / "second").is_dir()
            return
        if arrow == "delete" and not any(t.made.stage == "sealed" for t in state.live().values()):
            return
        if arrow == "train":  # another training would take long; what is left must be a run that is done, closed or can be resumed
            assert {run.state for run in state.runs.values()} <= {"done", "failed", "interrupted"}
            return
        rerun = self.run(arrow, space)
        assert rerun.returncode == 0, (arrow, call, k, rerun.stderr)
        shutil.rmtree(space)


@pytest.fixture(scope="session")
def bench(tmp_path_factory, finished):
    return Bench(tmp_path_factory.mktemp("kill"), finished)


@pytest.mark.parametrize("arrow", [a for a in ARROWS if a != "train"])
def test_killed_where_it_hurts_most(bench, arrow):
    """Just before the last rename (the checkpoint of the ledger), and at the fsync halfway."""
    points = bench.points(arrow)
    renames = [p for p in points if p[0] == "rename"]
    fsyncs = [p for p in points if p[0] == "fsync"]
    for call, k in (renames[-1], fsyncs[len(fsyncs) // 2]):
        bench.killed(arrow, call, k)


def test_a_training_killed_after_a_checkpoint_resumes_to_the_same_losses(bench):
    from ringfence.flows.train import resume, train
    from ringfence.recipe.read import read

    space = bench.copy("train")
    recipe = bench.write_recipe(max_steps=30, save_steps=3)
    command = [sys.executable, "-m", "ringfence", "--quiet", "--passphrase-file", bench.word, "-w", space, "train", recipe]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = Workspace.open(space)
    while process.poll() is None and not any(run.step >= 6 for run in watched.refresh().runs.values()):
        pass
    process.kill()
    assert process.wait() == -9
    opened = reopen(space)
    assert fsck(opened).broken == []
    run = [run for run in opened.state.runs.values() if run.intent.arrow == "train"][-1]
    assert run.state == "interrupted"
    resumed = resume(opened, run).figures
    whole = train(opened, read(recipe)).figures
    assert resumed.resumed_from == run.step >= 6
    assert resumed.losses == whole.losses
    assert len(whole.losses) == 30
    assert fsck(opened).broken == []


@pytest.mark.full
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("arrow", ARROWS)
def test_killed_anywhere(bench, arrow):
    """Every point of the quick arrows; of train, thirty spread over all."""
    points = bench.points(arrow)
    chosen = points if arrow != "train" else points[:: max(1, len(points) // 30)]
    print(f"{arrow}: {len(chosen)} of {len(points)} points")
    for call, k in chosen:
        bench.killed(arrow, call, k)
