"""The other side of an oracle: a script of this folder in an environment of its own, without ringfence, offline. Only files pass between them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_DISABLED": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture
def say(capsys):
    """Return a function that prints a figure past pytest's capture."""

    def show(line):
        with capsys.disabled():
            print(f"\n  {line}")

    return show


@pytest.fixture
def other_side(tmp_path, say):
    """Return a function that runs a script of this folder in an environment of .cache; without that environment the test is skipped."""

    def run(environment, script, **facts):
        python = CACHE / environment / "bin" / "python"
        if not python.exists():
            reason = f".cache/{environment} is not there: tests/environments.sh builds it"
            say(f"skipped: {reason}")
            pytest.skip(reason)
        order = tmp_path / "order.json"
        order.write_text(json.dumps(facts, default=str))
        quiet = {**os.environ, **OFFLINE, "HF_HOME": str(tmp_path / "hub")}
        command = [python, "-I", HERE / script, order]  # -I: neither PYTHONPATH nor this checkout can be imported
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture(autouse=True)
def _one_thread():
    """Both sides add in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def trl_templates():
    """The chat templates that TRL carries, as files; without its environment the test is skipped."""
    found = sorted((CACHE / "trl-venv").glob("lib/python*/site-packages/trl/chat_templates/*.jinja"))
    if not found:
        pytest.skip("no .cache/trl-venv: run tests/environments.sh")
    return found


@pytest.fixture
def llamafactory():
    """The folder of LLaMA-Factory's package; without its environment the test is skipped."""
    found = next((CACHE / "llamafactory-venv").glob("lib/python*/site-packages/llamafactory"), None)
    if found is None:
        pytest.skip("no .cache/llamafactory-venv: run tests/environments.sh")
    return found
