"""Several commands on one workspace at the same time: both succeed, or one is told why; nothing is half done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ringfence.flows.runs import details
from ringfence.workspace.control import ask
from ringfence.workspace.fsck import fsck
from ringfence.workspace.space import Workspace
from tests.flows.conftest import PASSPHRASE, RECIPE, notes, reopen, write_rows


@pytest.fixture
def begin(finished, tmp_path):
    """A workspace with a finished, released run, and a function that begins a command in it, in a process of its own."""
    path = Path(shutil.copytree(finished[0], tmp_path / "ws"))
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    front = [sys.executable, "-m", "ringfence", "--json", "--passphrase-file", word, "-w", path]

    begun = []

    def call(*arguments):
        begun.append(subprocess.Popen([*map(str, (*front, *arguments))], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        return begun[-1]

    call.path, call.run, call.front = path, finished[1], front
    yield call
    for process in begun:  # still there when the test failed
        process.kill()
        process.wait()
    assert fsck(reopen(path)).broken == []


def ends(*processes):
    """Return (exit code, error code or "") of each process, sorted."""
    told = []
    for process in processes:
        out, _ = process.communicate(timeout=120)
        told.append((process.returncode, json.loads(out).get("error", {}).get("code", "")))
    return sorted(told)


def write_recipe(folder, **changes):
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}))
    return path


def test_two_imports_both_succeed(begin, tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", notes(20))
    assert ends(*(begin("import", path, "--name", name) for name in ("a", "b"))) == [(0, ""), (0, "")]
    assert {"a", "b"} <= {thing.made.name for thing in reopen(begin.path).state.live().values()}


@pytest.mark.full
def test_two_trainings_on_one_set_both_succeed_and_learn_the_same(begin, tmp_path):
    recipe = write_recipe(tmp_path, save_steps=2)
    assert ends(*(begin("train", recipe) for _ in range(2))) == [(0, ""), (0, "")]
    space = reopen(begin.path)
    runs = [run.id for run in space.state.runs.values() if run.intent.arrow == "train"]
    losses = [details(space, run)["figures"]["losses"] for run in runs]
    assert len(runs) == 3
    assert losses[1] == losses[2] == losses[0]


@pytest.mark.full
def test_of_two_releases_under_one_name_one_is_made(begin):
    with reopen(begin.path).locked():
        both = [begin("release", begin.run, "--name", "second") for _ in range(2)]
        time.sleep(5)  # by now each has seen that the name is free, and waits to write its intent
    assert ends(*both) == [(0, ""), (2, "RF-WORKSPACE-002")]
    verify = [*begin.front[:3], "--json", "verify", begin.path / "releases" / "second", "--keys", begin.path / "keys" / "public.json"]
    assert subprocess.run([*map(str, verify)], capture_output=True, check=False).returncode == 0


@pytest.mark.full
def test_what_a_training_reads_cannot_be_deleted_under_it(begin, tmp_path):
    training = begin("train", write_recipe(tmp_path, max_steps=5000))
    watched = Workspace.open(begin.path)
    while True:
        runs = [run for run in watched.refresh().runs.values() if run.intent.arrow == "train" and run.state == "open"]
        if runs and (ask(begin.path / "runs" / runs[0].id, "status") or {}).get("done"):
            break
        assert training.poll() is None
        time.sleep(0.05)
    assert ends(begin("data", "delete", "clinic", "--yes")) == [(1, "RF-WORKSPACE-003")]
    assert ends(begin("run", "stop", runs[0].id)) == [(0, "")]
    assert ends(training) == [(130, "RF-CORE-005")]
    assert ends(begin("data", "delete", "clinic", "--yes")) == [(0, "")]
    after = reopen(begin.path)
    assert after.state.runs[runs[0].id].state == "failed"
    assert not [thing for thing in after.state.live().values() if thing.made.kind == "checkpoint"]
