"""Losses leave the vault as other tools read them, whole or not at all, and never those of a private run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
import yaml

from ringfence.core.errors import BadArgument, NotReleasable
from ringfence.flows import run_export
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.run_export import export_run
from ringfence.flows.train import train
from ringfence.recipe.read import read
from ringfence.report.training import log_of, picture
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes, reopen
from tests.flows.test_private import PRIVACY, open_policy

LOOKS = {"max_steps": 7, "logging_steps": 2, "val_size": 0.2, "eval_strategy": "steps", "eval_steps": 3, "lr_scheduler_type": "cosine"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory, model_store):
    """A workspace with a finished run, and its figures."""
    folder = tmp_path_factory.mktemp("ran")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder)
    set_policy(space, anything_goes())
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **LOOKS}))
    trained = train(space, read(path))
    return folder / "ws", trained.committed.run, trained.figures


def test_the_log_is_llama_factorys_and_the_state_transformers(ran, tmp_path):
    path, run, figures = ran
    names = export_run(reopen(path), run, tmp_path / "out")
    assert names[-3:] == ("trainer_log.jsonl", "trainer_state.json", "training_loss.svg")
    lines = [json.loads(line) for line in (tmp_path / "out" / "trainer_log.jsonl").read_text().splitlines()]
    assert [line["current_steps"] for line in lines] == [0, 2, 3, 4, 6, 7]
    assert [line["loss"] for line in lines if "loss" in line] == list(figures.losses)
    assert {line["current_steps"]: line["eval_loss"] for line in lines if "eval_loss" in line} == {
        0: figures.eval_before,
        **dict(zip(figures.eval_at, figures.eval_losses, strict=True)),
        7: figures.eval_after,
    }
    assert lines[-1]["percentage"] == 100.0
    assert lines[1]["lr"] > lines[-1]["lr"] > 0
    assert {"total_steps", "epoch", "elapsed_time", "remaining_time"} <= lines[0].keys()
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert state["global_step"] == 7
    assert sum("loss" in one for one in state["log_history"]) == len(figures.losses)
    assert sum("eval_loss" in one for one in state["log_history"]) == len(figures.eval_losses) + 2
    svg = (tmp_path / "out" / "training_loss.svg").read_text()
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert svg.count('class="held"') == len(figures.eval_losses) + 3  # with that of the legend


def test_tensorboard_reads_the_events(ran, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path, run, figures = ran
    names = export_run(reopen(path), run, tmp_path / "out")
    assert any("tfevents" in name for name in names)
    found = reading.EventAccumulator(str(tmp_path / "out")).Reload()
    assert [one.value for one in found.Scalars("train/loss")] == pytest.approx(list(figures.losses), rel=1e-6)
    assert [one.step for one in found.Scalars("eval/loss")] == [0, 3, 6, 7]
    times = [one.wall_time for one in found.Scalars("train/loss")]
    assert times == sorted(times)


def test_a_failure_leaves_no_half_of_a_folder_and_what_is_there_stays(ran, tmp_path, monkeypatch, cli):
    path, run, _ = ran
    monkeypatch.setattr(run_export, "picture", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_run(reopen(path), run, tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir() if "out" in one.name] == []
    monkeypatch.undo()
    code, told = cli("run", "export", run, tmp_path / "out", workspace=path)
    assert (code, "trainer_log.jsonl" in told["files"]) == (0, True)
    code, told = cli("run", "export", run, tmp_path / "out", workspace=path)
    assert (code, told["error"]["code"]) == (2, "RF-WORKSPACE-002")


@pytest.mark.full
def test_losses_of_private_rows_stay_inside(space, recipe, tmp_path):
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    run = train(space, read(recipe(privacy=PRIVACY, optim="sgd"))).committed.run
    with pytest.raises(BadArgument, match="no epsilon covers them"):
        export_run(space, run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    imported = next(one for one in space.state.runs if one.startswith("import"))
    with pytest.raises(NotReleasable):
        export_run(space, imported, tmp_path / "out")


def test_a_picture_of_one_step_or_of_equal_losses_can_be_drawn():
    for losses in ([1.5], [2.0] * 5, [0.0, 0.0], []):
        log = log_of(
            losses=losses,
            every=1,
            looks=[],
            rates=[1e-3] * max(1, len(losses)),
            steps=max(1, len(losses)),
            steps_per_epoch=2,
            seconds_per_step=0.1,
        )
        assert ET.fromstring(picture(log)).tag.endswith("svg")
        assert len(list(log.lines())) == len(losses)
