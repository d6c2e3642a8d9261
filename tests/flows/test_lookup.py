"""A recipe of LLaMA-Factory and its `dataset_info.json`, as they are: the sets are imported, once, and what would be another set is refused."""

from __future__ import annotations

import json

import pytest
import yaml

from ringfence.core.errors import BadDatasetInfo, BadValue, LayersUnfit, RefusedKey, RowsRefused, UnknownName
from ringfence.flows.lookup import bring_in, refuse_absent, refuse_unprepared
from ringfence.flows.policy import set_policy
from ringfence.flows.train import model_of
from ringfence.models.tiny import write_tiny_model
from ringfence.recipe.read import read
from tests.flows.conftest import RECIPE, anything_goes, import_notes, reopen
from tests.unit.recipe.test_keys import EXAMPLE

ROWS = [{"instruction": f"What is {n}?", "input": "", "output": f"It is {n}."} for n in range(12)]
TALKS = [{"conversations": [{"from": "human", "value": f"hi {n}"}, {"from": "gpt", "value": f"hello {n}"}]} for n in range(6)]
THINKS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if enable_thinking is false %}<think></think>{% endif %}"
INFO = {
    "identity": {"file_name": "identity.json"},
    "talks": {"file_name": "talks.json", "formatting": "sharegpt"},
    "elsewhere": {"hf_hub_url": "org/elsewhere"},
    "clinic": {"file_name": "identity.json"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with `data/dataset_info.json` and two of its files, where a person stands."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "dataset_info.json").write_text(json.dumps(INFO))
    (data / "identity.json").write_text(json.dumps(ROWS))
    (data / "talks.json").write_text(json.dumps(TALKS))
    return data


def brought(space, path):
    return [(one.name, one.figures.rows) for one in bring_in(space, read(path))]


def test_what_only_the_file_knows_is_imported_once(space, recipe, folder):
    path = recipe(dataset="identity, talks", eval_dataset="talks")
    with pytest.raises(BadValue, match="--entry identity"):
        refuse_absent(space, read(path))
    assert brought(space, path) == [("identity", 12), ("talks", 6)]
    assert brought(space, path) == []
    refuse_absent(space, read(path))
    assert [space.state.resolve(name).made.stage for name in ("identity", "talks")] == ["sealed", "sealed"]


def test_a_name_that_is_nowhere_is_told_with_the_file_that_was_looked_into(space, recipe, folder, tmp_path):
    with pytest.raises(UnknownName, match=r"known names: -; data/dataset_info.json has no such entry"):
        refuse_absent(space, read(recipe(dataset="identiti")))
    (folder / "dataset_info.json").unlink()
    with pytest.raises(UnknownName, match=r"there is no data/dataset_info.json"):
        refuse_absent(space, read(recipe(dataset="identity")))


def test_sets_that_the_policy_lets_in_after_steps_alone_are_named_before_any_is_imported(cli, space, recipe, folder, tmp_path):
    import_notes(space, tmp_path, name="ward")
    path = recipe(dataset="identity, ward", eval_dataset="talks")
    size = space.ledger.size
    told = [cli("train", path, *more, workspace=space.path) for more in ([], ["--dry-run"])]
    assert told[0] == told[1]
    assert (told[0][0], told[0][1]["error"]["code"]) == (2, "RF-RECIPE-002")
    assert "asks for scan, deid, and identity, ward, talks did not" in told[0][1]["error"]["message"]
    assert "--entry NAME for each of identity, talks, then ringfence scan NAME, ringfence deid NAME" in told[0][1]["error"]["message"]
    assert reopen(space.path).ledger.size == size
    set_policy(space, anything_goes())
    refuse_unprepared(space, read(path))


def test_a_set_that_has_become_another_file_is_an_error_that_says_what_to_write(space, recipe, folder):
    path = recipe(dataset="identity")
    assert brought(space, path) == [("identity", 12)]
    (folder / "identity.json").write_text(json.dumps(ROWS[:5]))
    size = space.ledger.size
    with pytest.raises(BadValue, match="identity@sealed"):
        brought(space, path)
    assert space.ledger.size == size
    assert brought(space, recipe(dataset="identity@sealed")) == []
    assert brought(space, recipe(dataset="identity", dataset_dir="")) == []


def test_a_set_of_the_workspace_with_the_name_of_an_entry_is_ambiguous(space, recipe, folder, tmp_path):
    import_notes(space, tmp_path)
    with pytest.raises(BadValue, match="stands in the workspace"):
        brought(space, recipe(dataset="clinic"))
    assert brought(space, recipe(dataset="clinic", dataset_dir="nowhere")) == []


def test_an_entry_that_is_read_otherwise_now_is_another_set(space, recipe, folder):
    path = recipe(dataset="identity")
    assert brought(space, path) == [("identity", 12)]
    (folder / "dataset_info.json").write_text(
        json.dumps({**INFO, "identity": {**INFO["identity"], "columns": {"prompt": "output", "response": "instruction"}}})
    )
    with pytest.raises(BadValue, match="identity@sealed"):
        brought(space, path)


@pytest.mark.parametrize("text", ['{"citation": "", "features": {}}', "not JSON"])
def test_a_file_of_that_name_that_nobody_asked_for_is_nobodys_while_nothing_is_missing(space, recipe, folder, tmp_path, text):
    import_notes(space, tmp_path)
    (folder / "dataset_info.json").write_text(text)
    assert brought(space, recipe(dataset="clinic")) == []
    for keys in ({"dataset": "clinic", "dataset_dir": "data"}, {"dataset": "clinic,talks"}):
        with pytest.raises(BadDatasetInfo):
            brought(space, recipe(**keys))
    for path in (folder / "dataset_info.json", folder / "identity.json", folder / "talks.json"):
        path.unlink()
    folder.rmdir()
    folder.write_text("a file called data")
    assert brought(space, recipe(dataset="clinic")) == []


@pytest.mark.parametrize(
    ("keys", "error", "named"),
    [
        ({"dataset": "identity,elsewhere"}, BadDatasetInfo, "hf_hub_url"),
        ({"dataset": "identity", "dataset_dir": "ONLINE"}, BadValue, "dataset_dir"),
        ({"dataset": "identity", "dataset_dir": "REMOTE:org/sets"}, BadValue, "dataset_dir"),
        ({"dataset": "identity", "dataset_dir": 5}, BadValue, "dataset_dir"),
        ({"dataset": "identity", "push_to_hub": True}, RefusedKey, "push_to_hub"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_nothing_is_imported_before_everything_is_found_in_one_place(space, recipe, keys, error, named):
    size = space.ledger.size
    with pytest.raises(error, match=named):
        brought(space, recipe(**keys))
    assert space.ledger.size == size


def test_rows_that_break_the_order_of_roles_stop_it_and_are_in_no_message(space, recipe, folder):
    (folder / "talks.json").write_text(json.dumps([*TALKS, {"conversations": [{"from": "gpt", "value": "CANARY-7"}]}]))
    with pytest.raises(RowsRefused) as refused:
        brought(space, recipe(dataset="talks"))
    assert "CANARY-7" not in str(refused.value)


@pytest.mark.full
def test_the_two_files_alone_train(cli, space, folder, tmp_path):
    set_policy(space, anything_goes())
    path = tmp_path / "llama3_lora_sft.yaml"
    keys = {
        "trust_remote_code": True,
        "do_train": True,
        "lora_target": "all",
        "dataset": "identity,talks",
        "max_samples": 5,
        "overwrite_cache": True,
        "preprocessing_num_workers": 16,
        "dataloader_num_workers": 4,
        "output_dir": "saves/llama3-8b/lora/sft",
        "logging_steps": 1,
        "save_steps": 500,
        "plot_loss": True,
        "overwrite_output_dir": True,
        "save_only_model": False,
        "report_to": "none",
        "gradient_accumulation_steps": 1,
        "num_train_epochs": 3.0,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1,
        "bf16": False,
        "ddp_timeout": 180000000,
    }
    path.write_text(yaml.safe_dump({**RECIPE, **keys}))
    code, told = cli("train", path, "--dry-run", workspace=space.path)
    assert (code, told["error"]["code"]) == (2, "RF-RECIPE-002")
    code, told = cli("train", path, workspace=space.path)
    assert code == 0
    assert told["rows"] == 10
    again = reopen(space.path)
    assert {again.state.resolve(name).made.stage for name in ("identity", "talks")} == {"sealed"}


def test_a_recipe_names_a_model_as_a_hub_does(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "models"))
    path = tmp_path / "qwen3_lora_sft.yaml"
    path.write_text(EXAMPLE)
    code, told = cli("recipe", "check", path)
    assert (code, told["ok"]) == (0, True)
    code, told = cli("model", "import", write_tiny_model(tmp_path / "own"), "--name", "own", "--alias", read(path).model)
    assert (code, told["aliases"]) == (0, ["Qwen/Qwen3-4B-Instruct-2507"])
    assert model_of(read(path)).name == "own"
    path.write_text(EXAMPLE.replace("qwen3_nothink", "llama3"))
    with pytest.raises(BadValue, match="not llama3's"):
        model_of(read(path))
    hybrid = write_tiny_model(tmp_path / "hybrid")
    (hybrid / "chat_template.jinja").write_text(THINKS)
    assert cli("model", "import", hybrid, "--name", "hybrid")[0] == 0
    path.write_text(EXAMPLE.replace(read(path).model, "hybrid"))
    with pytest.raises(BadValue, match="enable_thinking: false"):
        model_of(read(path))
    assert model_of(read(path, {"enable_thinking": False})).name == "hybrid"
    path.write_text(EXAMPLE.replace("lora_target: all", "lora_target: q_proj,foo_proj"))
    with pytest.raises(LayersUnfit, match="no linear layer called foo_proj"):  # on the host, where a dry run asks first, too
        model_of(read(path))


def test_an_entry_is_imported_by_name(cli, space, folder):
    info = folder / "dataset_info.json"
    code, told = cli("import", info, "--entry", "talks", "--name", "chats", "--rows", "2:4", workspace=space.path)
    assert (code, told["set"], told["rows"], told["layout"]) == (0, "chats", 3, "messages")
    for arguments in ((info, "--entry", "nobody"), (folder / "identity.json", "--entry", "identity")):
        code, told = cli("import", *arguments, workspace=space.path)
        assert (code, told["error"]["code"]) == (2, "RF-CORE-004")
    code, told = cli("import", folder / "gone" / "dataset_info.json", "--entry", "talks", workspace=space.path)
    assert "no such entry" in told["error"]["message"]
    code, told = cli("import", info, "--entry", "elsewhere", workspace=space.path)
    assert (code, told["error"]["code"]) == (2, "RF-INGEST-016")
