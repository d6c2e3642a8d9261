"""Runs: in the background, watched, stopped, interrupted and resumed, as a user does it from two terminals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ringfence.workspace.fsck import fsck
from ringfence.workspace.space import Workspace
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes, reopen, write_rows
from tests.flows.conftest import notes as rows


@pytest.fixture
def terminal(space, tmp_path):
    """A workspace with a set, and a function that runs a command in a process of its own."""
    from ringfence.flows.policy import set_policy

    import_notes(space, tmp_path, rows(16))
    set_policy(space, anything_goes())
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    recipe = tmp_path / "long.yaml"
    recipe.write_text(yaml.safe_dump({**RECIPE, "max_steps": 5000}))
    front = [sys.executable, "-m", "ringfence", "--json", "--passphrase-file", str(word), "-w", str(space.path)]

    def call(*arguments, wait=True):
        command = [*front, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        if not wait:
            return process
        out, err = process.communicate(timeout=120)
        return process.returncode, json.loads(out) if out else err

    call.recipe, call.path, call.front = recipe, space.path, front
    return call


def state_of(path, run_id, wanted):
    """Read the ledger until the run is in one of the wanted states."""
    space = Workspace.open(path)
    while space.refresh().runs[run_id].state not in wanted:
        pass
    return space.state.runs[run_id]


def test_a_detached_run_is_watched_stopped_and_resumed(terminal):
    code, started = terminal("train", terminal.recipe, "--detach")
    assert code == 0
    run_id = started["run"]
    while True:  # loading takes a moment
        code, stopped = terminal("run", "stop", run_id)
        if code == 0:
            break
        assert stopped["error"]["code"] == "RF-TRAIN-006"
    assert stopped["stopping"] is True
    run = state_of(terminal.path, run_id, {"interrupted", "failed"})
    assert run.state == "interrupted"
    assert run.step >= 1
    assert terminal("run", "watch", run_id)[1]["state"] == "interrupted"
    assert fsck(reopen(terminal.path)).broken == []
    assert terminal("run", "stop", run_id)[1]["error"]["code"] == "RF-TRAIN-006"


@pytest.mark.full
def test_a_detached_run_outlives_its_terminal(terminal):
    """The command leads the session of a terminal of its own; its end hangs up on everything that is still in the session."""
    begun, master = pty.fork()
    if not begun:
        os.execvp(sys.executable, [*terminal.front, "train", str(terminal.recipe), "--detach"])
    told = b""
    with contextlib.suppress(OSError):  # EIO: the terminal has no other end any more
        while part := os.read(master, 4096):
            told += part
    os.close(master)
    assert os.waitpid(begun, 0)[1] == 0
    run_id = json.loads(told.decode().strip().splitlines()[-1])["run"]
    time.sleep(0.5)  # a hang-up would have arrived by now
    assert any(terminal("run", "stop", run_id)[0] == 0 for _ in range(40))  # loading takes a moment
    assert state_of(terminal.path, run_id, {"interrupted", "failed"}).state == "interrupted"


@pytest.mark.full
def test_ctrl_c_saves_a_checkpoint_and_says_so(terminal):
    process = terminal("train", terminal.recipe, wait=False)
    line = process.stderr.readline()
    run_id = next(word for word in line.split() if word.startswith("train-"))
    watched = Workspace.open(terminal.path)
    from ringfence.workspace.control import ask

    while not (ask(terminal.path / "runs" / run_id, "status") or {}).get("done"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to everything in the foreground
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "RF-CORE-005"
    run = watched.refresh().runs[run_id]
    assert (run.state, run.code) == ("interrupted", "RF-CORE-005")
    assert run.checkpoint is not None


@pytest.mark.full
def test_a_training_whose_child_is_killed_goes_on_from_its_checkpoint(terminal):
    code, whole = terminal("train", terminal.recipe, "max_steps=60")  # and 20 checkpoints below: it is still at work when it is killed
    assert code == 0
    process = terminal("train", terminal.recipe, "max_steps=60", "save_steps=3", wait=False)
    watched = Workspace.open(terminal.path)
    while not (saved := [run for run in watched.refresh().runs.values() if run.checkpoint]):
        assert process.poll() is None
    os.kill(child_of(process.pid), signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    killed = (20, "RF-SANDBOX-006")  # as the kernel kills what takes too much memory
    assert (process.returncode, json.loads(out)["error"]["code"]) == killed
    opened = reopen(terminal.path)
    assert opened.state.runs[saved[0].id].state == "interrupted"
    assert fsck(opened).broken == []
    code, resumed = terminal("run", "resume", saved[0].id)
    assert code == 0
    assert resumed["resumed_from"] >= 3
    assert resumed["losses"] == whole["losses"]


def child_of(pid):
    """Return the process, below bubblewrap, that does the work of a command."""
    command = pid
    while below := [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]:
        pid = below[-1]
    assert pid != command
    return pid


def test_a_detached_run_that_cannot_start_says_why_and_ends_with_its_exit_code(terminal, tmp_path):
    recipe = tmp_path / "train-of-thought.yaml"  # a path that looks like a run must not be taken for one
    recipe.write_text(yaml.safe_dump({**RECIPE, "dataset": "train-nothing"}))
    code, answer = terminal("--lang", "zh", "train", recipe, "--detach")
    assert (code, answer["error"]["code"]) == (2, "RF-WORKSPACE-004")
    assert "没有名为 train-nothing" in answer["error"]["message"]
    assert not [run for run in Workspace.open(terminal.path).state.runs.values() if run.intent.arrow == "train"]


def test_a_detached_run_that_is_killed_before_it_has_an_id_is_an_error(terminal, monkeypatch):
    import typer

    from ringfence.cli import training
    from ringfence.cli.context import Options
    from ringfence.core.errors import JobDied, OutOfMemory

    options = Options(workspace=str(terminal.path), passphrase_file=str(terminal.recipe.parent / "word"))
    monkeypatch.setattr("ringfence.cli.context._options", options)
    really = subprocess.Popen
    for number, error in ((signal.SIGKILL, OutOfMemory), (signal.SIGTERM, JobDied), (None, typer.Exit)):
        code = f"import os; os.kill(os.getpid(), {int(number)})" if number else "raise SystemExit(5)"
        monkeypatch.setattr(subprocess, "Popen", lambda _, code=code, **more: really([sys.executable, "-c", code], **more))
        with pytest.raises(error):
            training.launch(["train", "x"])


@pytest.mark.full
def test_a_detached_run_may_warn_first(terminal, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    monkeypatch.setenv("PYTHONDEVMODE", "1")  # the interpreter itself then warns on standard error
    code, started = terminal("train", terminal.recipe, "max_steps=1", "--detach")
    assert code == 0
    assert state_of(terminal.path, started["run"], {"done", "failed"}).state == "done"


@pytest.mark.parametrize("arrow", [pytest.param("import", marks=pytest.mark.full), pytest.param("scan", marks=pytest.mark.full), "deid"])
def test_ctrl_c_ends_an_arrow_and_leaves_nothing(terminal, tmp_path, arrow):
    path = write_rows(tmp_path / "many.jsonl", rows(200_000 if arrow == "import" else 2_000))
    command = ["import", path, "--name", "many"] if arrow == "import" else [arrow, "many"]
    if arrow != "import":
        assert terminal("import", path, "--name", "many")[0] == 0
    before = set(reopen(terminal.path).state.runs)
    process = terminal(*command, wait=False)
    watched = Workspace.open(terminal.path)
    while not set(watched.refresh().runs) - before:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, json.loads(out)["error"]["code"]) == (130, "RF-CORE-005")
    again = reopen(terminal.path)
    assert [run.state for run in again.state.runs.values() if run.id not in before] == ["failed"]
    assert {thing.made.name for thing in again.state.live().values()} == ({"clinic"} if arrow == "import" else {"clinic", "many"})
    assert {thing.made.stage for thing in again.state.live().values() if thing.made.kind == "set"} == {"sealed"}
    assert len(again.store.slots()) == len(again.state.live())
    assert again.store.incoming_runs() == []
    assert fsck(again).mended == []


@pytest.mark.full
def test_a_changed_checkpoint_is_not_resumed(terminal):
    code, started = terminal("train", terminal.recipe, "--detach")
    assert code == 0
    while terminal("run", "stop", started["run"])[0] != 0:
        pass
    run = state_of(terminal.path, started["run"], {"interrupted"})
    folder = reopen(terminal.path).store.path(run.checkpoint.slot)
    victim = folder / "000000.file"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    code, answer = terminal("run", "resume", run.id)
    assert (code, answer["error"]["code"]) == (12, "RF-VAULT-002")
    opened = reopen(terminal.path)
    assert opened.state.runs[run.id].state == "interrupted"
    assert len(fsck(opened).broken) == 1


def test_a_wrong_passphrase_is_an_error_before_anything_is_detached(terminal, tmp_path):
    other = tmp_path / "other"
    other.write_text("something else")
    code, answer = terminal("--passphrase-file", other, "train", terminal.recipe, "--detach")
    assert (code, answer["error"]["code"]) == (4, "RF-VAULT-001")


def test_a_finished_run_cannot_be_resumed(copy, cli):
    folder, run_id, _ = copy
    code, answer = cli("run", "resume", run_id, workspace=folder)
    assert (code, answer["error"]["code"]) == (2, "RF-TRAIN-003")


def test_the_figures_of_a_run_are_opened_on_record(copy, cli):
    folder, run_id, _ = copy
    before = reopen(folder).ledger.size
    code, shown = cli("run", "show", run_id[:10], workspace=folder)
    assert code == 0
    assert len(shown["figures"]["losses"]) == 5
    assert shown["sandbox"]["tier"] == "T1"
    assert reopen(folder).ledger.size == before + 1


@pytest.mark.full
def test_a_price_is_told_without_starting(terminal):
    before = Workspace.open(terminal.path).ledger.size
    code, told = terminal("train", terminal.recipe, "save_steps=9", "--dry-run")
    assert code == 0
    assert told["plan"]["steps"] == 5000
    assert told["plan"]["seconds"] > 0
    assert told["writes"] == ["adapter", "figures", "statement", "checkpoint"]
    assert Workspace.open(terminal.path).ledger.size == before
