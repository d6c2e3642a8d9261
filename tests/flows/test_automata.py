"""A job in the real sandbox loads the automata that the host told it of, and no others."""

from __future__ import annotations

import importlib.util

import pytest

from ringfence.core.digest import sha256
from ringfence.core.errors import AutomatonChanged
from ringfence.deid import compiled, engine
from ringfence.deid.profile import settings_for
from ringfence.flows.deid import deidentify
from tests.flows.conftest import import_notes, notes, reopen

pytestmark = pytest.mark.skipif(importlib.util.find_spec("hyperscan") is None, reason="there is no hyperscan wheel here")
SETTINGS = settings_for("default", without=("en-names.v1", "zh-names.v1")).model_copy(update={"plant": 0})


@pytest.fixture
def account(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def exchanged(account, monkeypatch):
    """Have somebody exchange the files after the host has looked at them: for bytes that are whole by their own digest."""
    keep = compiled.keep

    def kept(each):
        made = keep(each)
        for path in made.folder.iterdir():
            path.write_bytes(sha256(b"evil").encode() + b"evil")
        return made

    monkeypatch.setattr(engine.compiled, "keep", kept)


def test_a_job_with_the_announced_automata_runs(account, space, tmp_path):
    import_notes(space, tmp_path, notes(6))
    committed, figures = deidentify(space, "clinic", settings=SETTINGS)
    assert (figures.spans["CN_MOBILE"], figures.spans["EMAIL"]) == (6, 6)
    assert committed.things["set"].made.stage == "masked"


def test_a_job_whose_automata_were_exchanged_refuses_to_start_and_leaves_no_set(exchanged, space, tmp_path):
    import_notes(space, tmp_path, notes(6))
    with pytest.raises(AutomatonChanged):
        deidentify(space, "clinic", settings=SETTINGS)
    state = reopen(space.path).state
    assert not [thing for thing in state.live().values() if thing.made.stage == "masked"]


def test_the_command_says_so(exchanged, space, tmp_path, cli):
    import_notes(space, tmp_path, notes(6))
    code, answer = cli("deid", "clinic", "--without", "zh-names.v1", "--without", "en-names.v1", workspace=space.path)
    assert (code, answer["error"]["code"]) == (12, "RF-DEID-055")
