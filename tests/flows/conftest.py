"""A workspace with a 2-layer model, and the whole chain made once for tests that only read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.core.policy import DEFAULT, Policy, Require, TrainRules
from ringfence.core.rules import ReleaseRules
from ringfence.deid.profile import settings_for
from ringfence.flows.deid import deidentify
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.scan import scan
from ringfence.flows.train import train
from ringfence.ingest.settings import ImportSettings
from ringfence.recipe.read import read
from ringfence.scan.settings import ScanSettings
from ringfence.vault.keys import Passphrase
from ringfence.vault.sets import SetReader
from ringfence.workspace.space import Workspace

PASSPHRASE = "correct horse battery staple"
RECIPE = {
    "model_name_or_path": "tiny",
    "stage": "sft",
    "finetuning_type": "lora",
    "lora_rank": 2,
    "dataset": "clinic",
    "cutoff_len": 256,
    "per_device_train_batch_size": 4,
    "learning_rate": 1.0e-3,
    "max_steps": 5,
}


def notes(count=40):
    """Rows with an identifier each; no two alike."""
    return [
        {
            "prompt": f"Patient {i}: cough for {i % 9 + 1} days, mail p{i}@clinic.internal, 手机1380013{8000 + i}",
            "completion": f"Rest, case {i}.",
            "patient_id": f"P{i // 2}",
        }
        for i in range(count)
    ]


def write_rows(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def space(tmp_path, model_store):
    return init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()))


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a recipe and returns its path."""

    def write(**changes):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, **changes}), encoding="utf-8")
        return path

    return write


def import_notes(space, folder, rows=None, *, name="clinic", label="sensitive"):
    path = write_rows(folder / f"{name}.jsonl", rows if rows is not None else notes())
    settings = ImportSettings(source=path.name, unit="patient_id")
    return import_file(space, path, name=name, settings=settings, label=label)


def masked(space, folder, rows=None, *, name="clinic"):
    import_notes(space, folder, rows, name=name)
    scan(space, name, settings=ScanSettings())
    return deidentify(space, name, settings=settings_for("default"))


def rows_of(space, name):
    """Return the records of a set, by its name or its digest."""
    source = space.input(space.state.resolve(name))
    return list(SetReader(source.slot, space.keys.data_key(source.slot.slot)))


def anything_goes():
    return Policy(train=TrainRules(require=Require()))


PRIVATE = {  # a run that the gate lets go after few steps: private, so that it needs no positive control
    "privacy": {"epsilon": 8, "delta": 1.0e-5, "unit": "patient_id"},
    "audit": {"secrets": 12, "in_out": 40, "exceed_cap": True},
}
FEW_CANARIES = {  # a policy that so few canaries can pass
    "version": 1,
    "budget": {"epsilon": 16, "delta": 1.0e-5},
    "release": {
        "secret_extraction": {"max_rate": 0.25},
        "membership": {"max_auc": 0.8},
        "epsilon_audit": {},
        "replay": {"max_rate": 0.1},
        "spans": {},
        "backdoor": {},
    },
}


def ungated():
    """The policy of a new workspace, without the gate on memorisation: for tests about everything else."""
    return DEFAULT.model_copy(update={"release": ReleaseRules()})


@pytest.fixture(scope="session")
def finished(tmp_path_factory, model_store):
    """A workspace with one finished, released chain: (folder, run id, bundle folder). Copy it before changing it."""
    folder = tmp_path_factory.mktemp("finished")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    masked(space, folder)
    set_policy(space, ungated())
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    trained = train(space, read(path))
    made = release(space, trained.committed.run, name="lora")
    return folder / "ws", trained.committed.run, made.path


@pytest.fixture
def copy(finished, tmp_path):
    """A private copy of the finished workspace."""
    folder, run_id, bundle = finished
    target = tmp_path / "copy"
    shutil.copytree(folder, target)
    return target, run_id, target / "releases" / bundle.name


def reopen(path):
    return Workspace.open(path, Passphrase(PASSPHRASE.encode()))


@pytest.fixture
def cli(tmp_path, capsys):
    """Return a function that runs one command line and returns (exit code, parsed JSON or error)."""
    word = tmp_path / "passphrase"
    word.write_text(PASSPHRASE)

    def call(*arguments, workspace=None, passphrase=word):
        capsys.readouterr()
        front = ["--json", "--passphrase-file", str(passphrase)]
        if workspace is not None:
            front += ["-w", str(workspace)]
        code = run([*front, *map(str, arguments)])
        out = capsys.readouterr().out
        return code, json.loads(out) if out.strip() else {}

    return call
