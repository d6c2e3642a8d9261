"""`ringfence recipe preset` as it is typed: the table, the recipe that it writes, what it refuses; and every preset trains."""

from __future__ import annotations

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.flows.policy import set_policy
from ringfence.flows.train import train
from ringfence.recipe.presets import filled, presets
from ringfence.recipe.read import load, read
from tests.flows.conftest import masked, ungated
from tests.flows.test_preference import compared


def test_presets_are_listed_with_their_figures(cli):
    code, answer = cli("recipe", "preset")
    assert code == 0
    assert [one["name"] for one in answer["presets"]] == [one.name for one in presets()]
    assert all(one["for"] and one["figures"]["seconds"] > 0 for one in answer["presets"])


def test_people_see_a_table_in_their_language(capsys):
    assert run(["recipe", "preset"]) == 0
    english = capsys.readouterr().out
    assert "Where to begin" in english
    assert "held-out loss" in english
    assert "Measured by ringfence train" in english
    assert run(["--lang", "zh", "recipe", "preset"]) == 0
    chinese = capsys.readouterr().out
    assert "留出集损失" in chinese
    assert "Where to begin" not in chinese


def test_a_preset_is_written_as_a_recipe_that_is_read(cli, tmp_path):
    out = tmp_path / "clinic.yaml"
    code, answer = cli("recipe", "preset", "sft-lora", "--model", "tiny", "--dataset", "ward", "--out", out)
    assert (code, answer["written"], answer["recipe"]) == (0, str(out), load(out))
    assert (read(out).model, read(out).datasets) == ("tiny", ("ward",))
    assert cli("recipe", "check", out)[0] == 0


def test_without_out_the_recipe_is_printed_and_nothing_else(capsys):
    assert run(["recipe", "preset", "grpo", "--dataset", "ward"]) == 0
    shown = capsys.readouterr().out
    (grpo,) = (one for one in presets() if one.name == "grpo")
    assert shown == filled(grpo, dataset="ward")


def test_no_file_is_overwritten(cli, tmp_path):
    out = tmp_path / "clinic.yaml"
    out.write_text("mine")
    code, answer = cli("recipe", "preset", "sft-lora", "--out", out)
    assert (code, answer["error"]["code"]) == (2, "RF-WORKSPACE-002")
    assert out.read_text() == "mine"


def test_an_unknown_name_is_refused_with_the_nearest_and_writes_nothing(cli, tmp_path):
    out = tmp_path / "clinic.yaml"
    code, answer = cli("recipe", "preset", "dpo_lora", "--out", out)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-001")
    assert "dpo-lora, " in answer["error"]["remedy"]
    assert not out.exists()


@pytest.mark.parametrize("option", ["--model", "--dataset", "--out"])
def test_an_option_without_a_preset_is_refused(cli, tmp_path, option):
    code, answer = cli("recipe", "preset", option, tmp_path / "x")
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert not (tmp_path / "x").exists()


@pytest.mark.full
@pytest.mark.parametrize("one", presets(), ids=lambda one: one.name)
def test_every_preset_trains(one, space, tmp_path):
    """As it stands but for the model, two steps, and more canaries than so small a set should bear."""
    masked(space, tmp_path, compared() if one.name.startswith("dpo") else None)
    set_policy(space, ungated())
    document = yaml.safe_load(filled(one, model="tiny", dataset="clinic")) | {"max_steps": 2}
    if "audit" in document:
        document["audit"] |= {"exceed_cap": True}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    found = train(space, read(path)).figures
    assert found.steps == 2
    assert bool(found.eval_rows) is ("val_size" in document)
