"""Bad input: each ends in a coded error with a remedy, before anything exists, and the workspace stays sound."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.flows.policy import set_policy
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes, notes, reopen, write_rows


@pytest.fixture
def ready(space, cli, tmp_path):
    """A workspace and a function that runs a command in it and returns (exit code, error code)."""

    def call(*arguments, **more):
        code, answer = cli(*arguments, workspace=space.path, **more)
        error = answer.get("error", {})
        if code:
            assert error["message"]
            assert error["remedy"]
            assert error["doc"].startswith("ringfence explain RF-")
        return code, error.get("code")

    yield call
    assert fsck(reopen(space.path)).broken == []


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


GOOD = {"prompt": "q", "completion": "a"}
FILES = [
    ("broken-line", b'{"prompt": "q", "completion": "a"}\n{"prompt": \n', (), (2, "RF-INGEST-001")),
    ("not-utf8", b'{"prompt": "\xff\xfe", "completion": "a"}\n', (), (2, "RF-INGEST-006")),
    ("empty", b"", (), (2, "RF-INGEST-002")),
    ("blank-lines", b"\n\n\n", (), (2, "RF-INGEST-002")),
    ("missing-column", lines(GOOD), ("--unit", "patient"), (2, "RF-INGEST-004")),
    ("missing-mapped-column", lines(GOOD), ("--map", "prompt=Q,completion=A"), (2, "RF-INGEST-004")),
    ("null-unit", lines({**GOOD, "p": "1"}, {**GOOD, "p": None}), ("--unit", "p"), (2, "RF-INGEST-001")),
    ("duplicate-ids", lines({**GOOD, "i": 1}, {"prompt": "x", "completion": "y", "i": 1}), ("--id", "i"), (2, "RF-INGEST-008")),
    ("unknown-layout", lines({"some": 1, "thing": 2}), (), (2, "RF-INGEST-003")),
    ("other-layout", lines(GOOD), ("--layout", "alpaca"), (2, "RF-INGEST-010")),
    ("bad-rows-option", lines(GOOD), ("--rows", "5:2"), (2, "RF-CORE-004")),
    ("bad-map-option", lines(GOOD), ("--map", "prompt"), (2, "RF-CORE-004")),
    ("bad-label", lines(GOOD), ("--label", "secret"), (2, "RF-CORE-004")),
]


@pytest.mark.parametrize("case", FILES, ids=[f[0] for f in FILES])
def test_files(ready, space, tmp_path, case):
    _, content, options, expected = case
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert ready("import", path, "--name", "x", *options) == expected
    assert not reopen(space.path).state.things


def test_a_layout_that_does_not_fit_is_told_by_its_columns(space, cli, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(GOOD))
    _, answer = cli("import", path, "--layout", "alpaca", workspace=space.path)
    assert "--layout alpaca: instruction, output" in answer["error"]["message"]
    assert "--map instruction=COLUMN,output=COLUMN" in answer["error"]["remedy"]


def test_a_spreadsheet_is_no_file_of_rows(ready, tmp_path):
    path = tmp_path / "notes.xlsx"
    path.write_bytes(b"PK\x03\x04" + bytes(60))
    assert ready("import", path, "--layout", "pair") == (2, "RF-INGEST-011")


def test_a_line_of_100_mb_is_refused_unread(ready, tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"prompt": "q", "completion": "' + b"a" * (100 << 20) + b'"}\n')
    assert ready("import", path, "--name", "x") == (2, "RF-INGEST-005")


def test_a_missing_file(ready, tmp_path):
    assert ready("import", tmp_path / "nowhere.jsonl") == (2, "RF-INGEST-007")


def test_good_rows_of_a_bad_file_are_imported_on_request(ready, cli, space, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(GOOD) + b"{broken\n" + lines({"prompt": "x", "completion": "y"}))
    assert ready("import", path, "--name", "x") == (2, "RF-INGEST-001")
    code, answer = cli("import", path, "--name", "x", "--skip-bad", workspace=space.path)
    assert (code, answer["rows"], answer["refused"]) == (0, 2, 1)


def test_a_wrong_passphrase(ready, tmp_path):
    word = tmp_path / "other"
    word.write_text("incorrect horse")
    assert ready("keys", "status", passphrase=word) == (4, "RF-VAULT-001")


def test_not_a_workspace(cli, tmp_path):
    code, answer = cli("data", "list", workspace=tmp_path)
    assert (code, answer["error"]["code"]) == (2, "RF-WORKSPACE-001")


def test_init_overwrites_nothing(cli, space):
    code, answer = cli("init", space.path, "--solo")
    assert (code, answer["error"]["code"]) == (2, "RF-WORKSPACE-002")


RECIPES = [
    ({"lora_rnak": 8}, "RF-RECIPE-001"),
    ({"push_to_hub": True}, "RF-RECIPE-003"),
    ({"report_to": "wandb"}, "RF-RECIPE-003"),
    ({"privacy": {"epsilon": 8}}, "RF-RECIPE-002"),
    ({"audit": {"secrets": -1}}, "RF-RECIPE-002"),
    ({"audit": {"canaries": 8}}, "RF-RECIPE-002"),
    ({"optim": ["sgd"]}, "RF-RECIPE-003"),
    ({"stage": "ppo"}, "RF-RECIPE-003"),
    ({"learning_rate": -1}, "RF-RECIPE-002"),
    ({"lora_rank": "many"}, "RF-RECIPE-002"),
    ({"bf16": "maybe"}, "RF-RECIPE-002"),
    ({"dataset": "a,,b"}, "RF-RECIPE-002"),
    ({"dataset": None}, "RF-RECIPE-002"),
]


@pytest.mark.parametrize(("change", "code"), RECIPES)
def test_recipes(ready, tmp_path, change, code):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **change}))
    assert ready("train", path) == (2, code)


def test_layers_that_the_model_lacks_refuse_a_dry_run_before_anything_is_timed(space, tmp_path, recipe, capsys):
    set_policy(space, anything_goes())
    import_notes(space, tmp_path, notes(4))
    (tmp_path / "word").write_text(PASSPHRASE)
    path = recipe(lora_target="q_proj,foo_proj")
    assert run(["--passphrase-file", str(tmp_path / "word"), "-w", str(space.path), "train", str(path), "--dry-run"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "RF-MODEL-009" in said
    assert "no linear layer called foo_proj; it has down_proj" in said
    assert "timing" not in said


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "a: 1\na: 2\n", "\x00"])
def test_unreadable_recipes(ready, tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    assert ready("train", path)[0] == 2


def test_an_unknown_set_or_model(ready, tmp_path, recipe):
    assert ready("train", recipe()) == (2, "RF-WORKSPACE-004")
    write_rows(tmp_path / "clinic.jsonl", notes(4))
    assert ready("import", tmp_path / "clinic.jsonl")[0] == 0
    assert ready("train", recipe(model_name_or_path="gpt-9")) == (2, "RF-MODEL-002")


POLICIES = [
    ("version: 1\nrelease: {membership: {max_auk: 0.6}}\n", "RF-POLICY-003"),
    ("version: 1\nrelease: {toxicity: {}}\n", "RF-POLICY-003"),
    ("version: 1\nrelease: {membership: {max_auc: 0.4}}\n", "RF-POLICY-002"),
    ("version: 1\nrelease: {secret_extraction: {max_rate: 0}}\n", "RF-POLICY-002"),
    ("version: 1\nrelease:\n  membership:\n", "RF-POLICY-002"),
    ("version: 1\nbudget: {epsilon: 16, unit: patient_id}\n", "RF-POLICY-003"),
    ("version: 1\nbudget: {epsilon: 0}\n", "RF-POLICY-002"),
    ("version: 1\nbudget: {delta: 1}\n", "RF-POLICY-002"),
    ("version: 1\ntrain: {max_epsilon: -1}\n", "RF-POLICY-002"),
    ("version: 1\nbudget:\n", "RF-POLICY-002"),
    ("version: 2\n", "RF-POLICY-002"),
    ("version: 1\ntrain: {ordinary: perhaps}\n", "RF-POLICY-002"),
    ("- a\n", "RF-POLICY-002"),
    ("a: [", "RF-POLICY-002"),
    ("version: 1\ntrain:\n  require:\n    scan:\n    deid:\n", "RF-POLICY-002"),
    ("version: 1\ntrain: {min_sandbox: T1}\ntrain: {min_sandbox: T0}\n", "RF-POLICY-002"),
]


@pytest.mark.parametrize(("text", "code"), POLICIES)
def test_policies(ready, space, tmp_path, text, code):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    before = space.refresh().policy.digest
    assert ready("policy", "set", path) == (2, code)
    assert space.refresh().policy.digest == before


def test_models_with_code_or_pickles_are_refused(cli, model_store, tmp_path):
    from ringfence.models.store import find

    for name, content in (("pytorch_model.bin", b"\x80\x04."), ("modeling_x.py", b"import os"), ("notes.exe", b"MZ")):
        folder = tmp_path / name.replace(".", "-")
        shutil.copytree(find("tiny").path, folder)
        (folder / name).write_bytes(content)
        code, answer = cli("model", "import", folder, "--name", "bad")
        assert (code, answer["error"]["code"]) == (2, "RF-MODEL-001")


def test_unknown_names(ready):
    assert ready("run", "show", "train-000000000000") == (2, "RF-TRAIN-002")
    assert ready("run", "stop", "train-000000000000") == (2, "RF-TRAIN-002")
    assert ready("scan", "nobody") == (2, "RF-WORKSPACE-004")
    assert ready("deid", "nobody", "--profile", "invented") == (2, "RF-DEID-001")
    assert ready("release", "train-0", "--name", "x") == (2, "RF-TRAIN-002")
    assert ready("explain", "RF-NOPE-999") == (2, "RF-CORE-001")


def test_without_a_sandbox_nothing_starts(space, tmp_path, model_store):
    """With no bwrap to be found the command ends with exit 20 and says what to install."""
    word = tmp_path / "word"
    word.write_text("correct horse battery staple")
    path = write_rows(tmp_path / "rows.jsonl", notes(3))
    code = (
        "import sys; from pathlib import Path; from ringfence.sandbox import tiers; from ringfence.core.errors import TierMissing\n"
        "def gone(*a, **k): raise TierMissing(tier='T1', problem='no bwrap')\n"
        "import ringfence.flows.gate as gate; gate.probe = gone\n"
        "from ringfence.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--passphrase-file", str(word), "-w", str(space.path), "import", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 20
    assert "bubblewrap" in done.stderr
    assert not Path(space.path, "vault", "objects").exists() or not any(Path(space.path, "vault", "objects").iterdir())
