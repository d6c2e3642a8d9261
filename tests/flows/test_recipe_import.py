"""`ringfence recipe import` as it is typed: what is written, what is not, and what a script reads."""

from __future__ import annotations

import json

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.recipe.read import read

CONFIG = {
    "base_model": "tiny",
    "datasets": [{"path": "teknium/GPT4-LLM-Cleaned", "type": "alpaca"}],
    "adapter": "lora",
    "lora_r": 4,
    "sequence_len": 256,
    "micro_batch_size": 2,
    "learning_rate": 1.0e-3,
    "optimizer": "adamw_torch_fused",
    "wandb_project": None,
}


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a config and returns its path."""

    def write(**changes):
        path = tmp_path / "lora.yml"
        path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
        return path

    return write


def test_a_config_becomes_a_recipe_that_is_read(cli, config, tmp_path):
    out = tmp_path / "clinic.yaml"
    code, answer = cli("recipe", "import", config(), "--dataset", "clinic", "--out", out)
    assert (code, answer["ok"], answer["written"]) == (0, True, str(out))
    assert {line["key"]: line["treatment"] for line in answer["keys"]}["wandb_project"] == "noted"
    assert {"lora_rank": 4} in [line["recipe"] for line in answer["keys"]]
    found = read(out)
    assert (found.datasets, found.order.train.lora_rank, found.order.train.per_device_train_batch_size) == (("clinic",), 4, 2)
    assert yaml.safe_load(out.read_text()) == answer["recipe"]
    assert cli("recipe", "check", out)[0] == 0


def test_held_out_sets_are_named_as_well(cli, config):
    path = config(test_datasets=[{"path": "me/held-out"}])
    assert cli("recipe", "import", path, "--dataset", "clinic")[0] == 2
    code, answer = cli("recipe", "import", path, "--dataset", "clinic", "--eval-dataset", "ward")
    assert (code, answer["recipe"]["eval_dataset"]) == (0, "ward")


def test_what_is_refused_leaves_no_file(cli, config, tmp_path):
    out = tmp_path / "clinic.yaml"
    code, answer = cli("recipe", "import", config(sample_packing=True), "--out", out)
    assert (code, answer["ok"], answer["recipe"], answer["written"]) == (2, False, None, None)
    assert [line["key"] for line in answer["keys"] if line["treatment"] == "refused"] == ["datasets[0].path", "sample_packing"]
    assert not out.exists()
    code, answer = cli("recipe", "import", config(lora_rr=8), "--dataset", "clinic", "--out", out)
    assert (code, answer["error"]["code"]) == (2, "RF-RECIPE-001")
    assert "lora_r" in answer["error"]["remedy"]
    assert not out.exists()


def test_no_file_is_overwritten(cli, config, tmp_path):
    out = tmp_path / "clinic.yaml"
    out.write_text("mine")
    code, answer = cli("recipe", "import", config(), "--dataset", "clinic", "--out", out)
    assert (code, answer["error"]["code"]) == (2, "RF-WORKSPACE-002")
    assert out.read_text() == "mine"


def test_people_see_a_table_and_the_recipe(config, capsys):
    path = config(gradient_checkpointing="offload")
    assert run(["recipe", "import", str(path), "--dataset", "clinic"]) == 0
    shown = capsys.readouterr().out
    assert "lora_rank: 4" in shown
    assert "computed again" in shown
    assert "\ndataset: clinic\n" in shown
    path = config(lora_target_modules="layers.[/x].q_proj")
    assert run(["--lang", "zh", "recipe", "import", str(path), "--dataset", "clinic"]) == 2
    assert "layers.[/x].q_proj" in capsys.readouterr().out.replace("\n", "")


def test_the_keys_of_services_are_not_printed(cli, config):
    code, answer = cli("recipe", "import", config(comet_api_key="s3cr3t"), "--dataset", "clinic")
    assert code == 2
    assert "s3cr3t" not in json.dumps(answer)
