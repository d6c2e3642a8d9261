"""kill -9 at write-side system calls of every arrow: fsck completes or removes what is left, and the arrow then succeeds.

strace counts the calls of one undisturbed run, then sends SIGKILL at the start of the k-th call of one kind: the state that it finds is what
the calls before left. Twelve points here; `full` takes every point of every arrow and of fsck itself, and some thirty of each training and of an audit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import yaml

from ringfence.core.environment import cores
from ringfence.flows.init import init
from ringfence.flows.policy import read_policy
from ringfence.flows.runs import details
from ringfence.flows.scan import scan
from ringfence.ledger.dsse import ed25519_public
from ringfence.ledger.log import verify_log
from ringfence.scan.settings import ScanSettings
from ringfence.vault.keys import Passphrase
from ringfence.workspace.fsck import fsck
from ringfence.workspace.space import Workspace, policy_entry
from tests.flows.conftest import PASSPHRASE, RECIPE, import_notes, notes, reopen, write_rows
from tests.flows.kill_points import CTRL_C, KILLED, NEEDS_STRACE, counting, killing, points_of, renames_onto

QUICK = ("import", "delete")
TRAININGS = ("train", "resume")
COSTLY = ("audit", *TRAININGS)  # each try starts torch
ARROWS = (*QUICK, "scan", "deid", "release", "keep", "policy", "plant", "audit", "fsck", *TRAININGS)
LEAST, LEAST_IN_TRAIN = 300, 20  # points that the full test promises
IN_COSTLY = 30  # points tried in each of these
pytestmark = NEEDS_STRACE


class Bench:
    """Fresh copies of a workspace in the state just before each arrow."""

    def __init__(self, folder, finished):
        self.folder = folder
        self.word = folder / "word"
        self.word.write_text(PASSPHRASE)
        self.rows = write_rows(folder / "more.jsonl", notes(12))
        self.recipe = self.write_recipe(max_steps=6, save_steps=2)  # the second checkpoint replaces the first, the outcome the second
        self.planting = self.write_recipe(max_steps=2, audit={"secrets": 4, "in_out": 6, "exceed_cap": True})
        self.finished, self.run_id = finished[0], finished[1]
        self.early = folder / "early"
        import_notes(init(self.early, Passphrase(PASSPHRASE.encode())), folder, notes(12))
        self.policy = folder / "policy.yaml"
        self.policy.write_text("version: 1\ntrain: {ordinary: refuse}\n")
        self.resumable = ""  # a run of the workspace that `interrupt` prepares
        self.audited = ""  # a run of the workspace that `plant` prepares
        self.prepared = {}  # workspaces that only one arrow starts from, by arrow
        self.outcomes = {}  # by arrow: the point just before its last entry counts
        self.points = {}  # by arrow: every (call, k) that an undisturbed run makes, in order of time
        self.losses = []  # of the undisturbed training

    def write_recipe(self, **changes):
        path = self.new("recipe") / "recipe.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, **changes}))
        return path

    def new(self, name):
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def command(self, arrow):
        return {
            "import": ["import", self.rows, "--name", "more"],
            "scan": ["scan", "clinic"],
            "keep": ["scan", "clinic", "--keep"],
            "policy": ["policy", "set", self.policy],
            "deid": ["deid", "clinic"],
            "train": ["train", self.recipe],
            "release": ["release", self.run_id, "--name", "second"],
            "delete": ["data", "delete", "clinic@sealed", "--yes"],
            "resume": ["run", "resume", self.resumable],
            "plant": ["train", self.planting],  # its first half
            "audit": ["audit", self.audited],
            "fsck": ["fsck"],
        }[arrow]

    def copy(self, arrow):
        source = self.early if arrow in ("import", "scan", "deid", "policy") else self.finished
        prepare = {"fsck": self.crash, "keep": self.flag, "resume": self.interrupt, "audit": self.plant}.get(arrow)
        if prepare:
            source = self.prepared[arrow] = self.prepared.get(arrow) or prepare()
        return Path(shutil.copytree(source, self.new(arrow) / "ws"))

    def crash(self, arrow="deid"):
        """Return a workspace in which an arrow was killed just before its outcome: slots, keys, manifests and statement are there."""
        space = self.copy(arrow)
        self.measure(arrow)
        assert self.kill(arrow, space, *self.outcomes[arrow]).returncode in KILLED
        return space

    def interrupt(self):
        """Return a workspace in which a training was killed after its last checkpoint."""
        space = self.crash("train")
        assert fsck(reopen(space)).broken == []
        run = self.trained(reopen(space))
        assert run.state == "interrupted"
        self.resumable = run.id
        return space

    def plant(self):
        """Return a workspace with a run that read a planted set."""
        space = self.copy("train")
        done = self.run(space, *self.command("plant"))
        assert done.returncode == 0, done.stderr
        self.audited = self.trained(reopen(space)).id
        return space

    def flag(self):
        """Return a workspace in which a scan has put a row into quarantine."""
        folder, rows = self.new("flagged"), notes(12)
        rows[3]["prompt"] += " \U000e0041\U000e0042\u202e"
        space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
        import_notes(space, folder, rows)
        assert scan(space, "clinic", settings=ScanSettings())[1].flagged == 1
        return folder / "ws"

    def run(self, space, *command, trace=()):
        front = [sys.executable, "-m", "ringfence", "--quiet", "--passphrase-file", self.word, "-w", space]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([*map(str, (*trace, *front, *command))], env=environment, capture_output=True, timeout=280, check=False)

    def measure(self, arrow):
        """Run the arrow undisturbed and return its points."""
        if arrow not in self.points:
            space = self.copy(arrow)
            log = space.parent / "strace"
            done = self.run(space, *self.command(arrow), trace=counting(log))
            assert done.returncode == 0, done.stderr
            points, entries = points_of(log), renames_onto(space / "ledger" / "checkpoint", log)
            self.outcomes[arrow] = entries[
                1 if arrow == "plant" else -1
            ]  # of planting: what was intended, what came of it, then the training
            self.points[arrow] = points[: points.index(self.outcomes[arrow]) + 1] if arrow == "plant" else points
            if arrow in TRAININGS:
                losses = self.losses_of(reopen(space))
                self.losses = self.losses or losses
                assert losses == self.losses
        return self.points[arrow]

    def losses_of(self, opened):
        run = self.trained(opened)
        assert run.state == "done"
        return details(opened, run.id)["figures"]["losses"]

    def trained(self, opened):
        """Return the last training, and None when there is none but the one of the fixture."""
        runs = [run for run in opened.refresh().runs.values() if run.intent.arrow == "train" and run.id != self.run_id]
        return runs[-1] if runs else None

    def kill(self, arrow, space, call, k, *, signal="SIGKILL"):
        return self.run(space, *self.command(arrow), trace=killing(call, k, signal=signal))

    def killed(self, arrow, call, k):
        """Kill the arrow at one point, mend the workspace and let the arrow succeed; return False when it ended before that point."""
        space, point = self.copy(arrow), (arrow, call, k)
        done = self.kill(arrow, space, call, k)
        if done.returncode == 0:
            return False
        assert done.returncode in KILLED, (point, done.returncode, done.stderr)
        opened = reopen(space)
        first = fsck(opened)
        assert first.broken == [], point
        assert verify_log(space / "ledger", opened.public.origin, ed25519_public(opened.public.ledger)) == opened.ledger.size
        self.is_sound(opened, point)
        self.succeeds(arrow, space, opened, point)
        self.is_sound(reopen(space), point)
        assert list((space / "ledger").glob("*.tmp")) == [], point  # the next append removes what the killed one left
        shutil.rmtree(space.parent)
        return True

    def interrupted(self, arrow, call, k):
        """Press Ctrl-C at one point: nothing is left to mend, and the arrow then succeeds; return False when it came too late."""
        space, point = self.copy(arrow), (arrow, call, k)
        done = self.kill(arrow, space, call, k, signal="SIGINT")
        assert done.returncode in (0, CTRL_C), (point, done.returncode, done.stderr)
        assert b"Traceback" not in done.stderr, point
        opened = reopen(space)
        if arrow == "fsck":  # it is what was interrupted
            assert fsck(opened).broken == [], point
        elif arrow == "plant":  # whatever is done by then, the training after it does not begin
            assert done.returncode == CTRL_C, point
            assert self.trained(opened) is None, point
        elif call != "write":  # the last ones print, when all is done
            assert (done.returncode == CTRL_C) != self.is_made(arrow, opened), point
        self.is_sound(opened, point)
        self.succeeds(arrow, space, opened, point)
        self.is_sound(reopen(space), point)
        shutil.rmtree(space.parent)
        return done.returncode == CTRL_C

    def is_sound(self, opened, point):
        again = fsck(opened)
        assert (again.broken, again.mended) == ([], []), point
        leftovers = [path for path in opened.path.rglob("*.tmp") if path.parent.name != "ledger"]
        assert leftovers == [], point
        state = opened.state
        assert {run.state for run in state.runs.values()} <= {"done", "failed", "interrupted"}, point
        assert {thing.deletion for thing in state.things.values()} <= {"none", "finished"}, point
        named = {thing.made.slot for thing in state.live().values()}  # whatever fsck says of itself, we look at the disk
        assert named == set(opened.keys.slots()) == set(opened.store.slots()), point

    def succeeds(self, arrow, space, opened, point):
        """Do the arrow again, or go on with it, unless it was done already."""
        command = self.command("deid" if arrow == "fsck" else arrow)
        if arrow == "release" and self.is_made(arrow, opened):
            assert (space / "releases" / "second").is_dir(), point
        if arrow in ("release", "delete", "keep") and self.is_made(arrow, opened):
            return  # none of them can be done twice
        if arrow in TRAININGS:
            run = self.trained(opened)
            if run and run.state != "done":
                assert run.state == ("interrupted" if run.checkpoint else "failed"), point
            if run and run.state == "interrupted":
                command = ["run", "resume", run.id]
            if run is None or run.state != "done":
                done = self.run(space, *command)
                assert done.returncode == 0, (point, done.stderr)
            assert self.losses_of(opened) == self.losses, point
            return
        done = self.run(space, *command)
        assert done.returncode == 0, (point, done.stderr)
        assert arrow in ("fsck", *TRAININGS) or self.is_made(arrow, reopen(space)), point

    def is_made(self, arrow, opened):
        """Return whether the ledger says that the arrow has done what it was begun for."""
        state = opened.state
        if arrow == "policy":
            return state.policy.digest == policy_entry(read_policy(self.policy)).digest
        if arrow == "release":
            return "second" in state.releases
        if arrow == "delete":
            return not any(thing.made.stage == "sealed" for thing in state.live().values())
        return any(run.state == "done" and run.intent.arrow == arrow and run.id != self.run_id for run in self.new_runs(arrow, state))

    def new_runs(self, arrow, state):
        known = reopen(self.prepared.get(arrow, self.early)).state.runs
        return [run for run in state.runs.values() if run.id not in known]

    def try_all(self, arrow, points, how):
        """Kill or interrupt the arrow at each of the points, one process a core; return how many were reached, and what failed."""
        with ProcessPoolExecutor(cores(), mp_context=get_context("fork")) as pool:
            tries = [pool.submit(how, arrow, call, k) for call, k in points]
        failed = [error for error in (one.exception() for one in tries) if error]
        return sum(one.result() for one in tries if not one.exception()), failed


@pytest.fixture(scope="session")
def bench(tmp_path_factory, finished):
    return Bench(tmp_path_factory.mktemp("kill"), finished)


@pytest.mark.parametrize("arrow", QUICK)
def test_killed_where_it_hurts_most(bench, arrow):
    """Just before its outcome counts, and at the fsync halfway."""
    fsyncs = [p for p in bench.measure(arrow) if p[0] == "fsync"]
    for call, k in (bench.outcomes[arrow], fsyncs[len(fsyncs) // 2]):
        assert bench.killed(arrow, call, k)


@pytest.mark.full
@pytest.mark.parametrize("arrow", ["train", "plant", "audit", "resume"])
def test_what_trains_or_audits_killed_just_before_its_outcome(bench, arrow):
    """What it made and its key are there, the ledger does not say so: a run goes on from its last checkpoint, the rest is done again."""
    bench.measure(arrow)
    assert bench.killed(arrow, *bench.outcomes[arrow])


@pytest.mark.full
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
    saved, seen = space / "runs" / run.id / "order.json", []
    before = saved.stat().st_ino
    resumed = resume(opened, run, started=lambda _: seen.append(saved.stat().st_ino)).figures
    assert seen == [before]  # a resumed run writes nothing of its own before it works: a kill there would leave it
    whole = train(opened, read(recipe)).figures
    assert resumed.resumed_from == run.step >= 6
    assert resumed.losses == whole.losses
    assert len(whole.losses) == 30
    assert fsck(opened).broken == []


MORE = [pytest.param(arrow, True, marks=pytest.mark.full) for arrow in ("deid", "release", "plant", "audit")]


@pytest.mark.parametrize(("arrow", "stops"), [("delete", False), *MORE])
def test_ctrl_c_on_the_way(bench, arrow, stops):
    """What is being made is given up, early on; a deletion that has begun is finished."""
    fsyncs = [p for p in bench.measure(arrow) if p[0] == "fsync"]
    assert bench.interrupted(arrow, *fsyncs[len(fsyncs) // (4 if stops else 2)]) == stops


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_ctrl_c_anywhere(bench, capsys):
    """Some fifteen points of every arrow but the trainings, where Ctrl-C asks for a checkpoint (test_runs.py)."""
    reached, failures = {}, []
    for arrow in ARROWS:
        if arrow not in TRAININGS:
            points = bench.measure(arrow)
            reached[arrow], failed = bench.try_all(arrow, points[:: max(1, len(points) // 15)], bench.interrupted)
            failures += failed
    with capsys.disabled():
        print(f"\n  Ctrl-C points: {reached}, {sum(reached.values())} in all")
    assert not failures, "\n\n".join(map(str, failures[:10]))
    assert all(reached[arrow] for arrow in ("import", "scan", "deid", "release", "keep"))


@pytest.mark.full
@pytest.mark.timeout(6 * 3600)
def test_killed_anywhere(bench, capsys):
    """Every point, and of a training and a resume thirty spread over each. All are tried before any failure is told."""
    reached, failures = {}, []
    for arrow in ARROWS:
        began, points = time.monotonic(), bench.measure(arrow)
        chosen = points if arrow not in COSTLY else points[:: max(1, len(points) // IN_COSTLY)]
        reached[arrow], failed = bench.try_all(arrow, chosen, bench.killed)
        failures += failed
        with capsys.disabled():
            print(
                f"\n  {arrow}: killed at {reached[arrow]} of {len(points)} points, {time.monotonic() - began:.0f} s, {len(failed)} failed"
            )
    with capsys.disabled():
        print(f"\n  kill points: {reached}, {sum(reached.values())} in all")
    assert not failures, "\n\n".join(map(str, failures[:10]))
    assert sum(reached.values()) >= LEAST
    assert reached["train"] >= LEAST_IN_TRAIN
