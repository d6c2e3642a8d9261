"""Errors say a run's state in the language that is asked for, and which extra is missing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ringfence.core.errors import (
    RUN_STATES,
    ExtraMissing,
    NotReleasable,
    NotResumable,
    RunNotRunning,
    ServeError,
    ServerMissing,
    error_classes,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("cls", [NotReleasable, NotResumable, RunNotRunning])
@pytest.mark.parametrize("state", RUN_STATES)
def test_a_state_is_a_word_of_the_readers_language(cls, state):
    error = cls(run="train-1", state=state)
    assert error.sentences("en")[0].endswith(f": it is {state}")
    assert error.sentences("zh")[0].endswith(f"，状态：{RUN_STATES[state].zh}")
    assert error.facts["state"] == state


def test_other_words_stay():
    assert "some other reason" in NotResumable(run="train-1", state="some other reason").sentences("zh")[0]


EXTRAS = {  # by code: what each error is raised with, the extra that mends it, and how its command ends
    "RF-INGEST-012": ({}, "parquet", 2),
    "RF-DEID-060": ({"part": "lac.v1", "libraries": "onnx", "extra": "deid"}, "deid", 2),
    "RF-TRAIN-011": ({"part": "use_galore", "libraries": "galore_torch"}, "low-memory", 2),
    "RF-TRAIN-013": ({"part": "stage: grpo", "libraries": "trl, datasets"}, "rl", 2),
    "RF-SERVE-009": ({}, "server", 20),
}


def test_what_an_extra_brings_is_said_with_its_name():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {cls.code for cls in ExtraMissing.__subclasses__()} == EXTRAS.keys()
    for cls in ExtraMissing.__subclasses__():
        facts, extra, exit_code = EXTRAS[cls.code]
        error = cls(**facts)
        assert extra in known
        assert cls.exit_code == exit_code
        for language in ("en", "zh"):
            what, remedy = error.sentences(language)
            assert f"`.venv/bin/pip install -c constraints.txt -e '.[{extra}]'`" in remedy
            assert all(str(value) in what for key, value in facts.items() if key != "extra")
    assert [cls.__name__ for cls in error_classes()].count("ServerMissing") == 1  # of two families, and one error
    assert issubclass(ServerMissing, ServeError)
