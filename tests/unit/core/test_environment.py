"""Where base models lie, whatever the environment says or leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.core.environment import model_store
from ringfence.core.errors import NoModelStore


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch, tmp_path):
    for name in ("RINGFENCE_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "home/.local/share/ringfence/models"),
        ({"HOME": "elsewhere"}, "elsewhere/.local/share/ringfence/models"),
        ({"XDG_DATA_HOME": "{here}/data"}, "data/ringfence/models"),
        ({"XDG_DATA_HOME": "data"}, "home/.local/share/ringfence/models"),  # the XDG specification has a relative value ignored
        ({"RINGFENCE_MODELS": "{here}/store", "XDG_DATA_HOME": "{here}/data"}, "store"),
        ({"RINGFENCE_MODELS": "store"}, "store"),
        ({"RINGFENCE_MODELS": ""}, "home/.local/share/ringfence/models"),
    ],
)
def test_the_folder_is_absolute(monkeypatch, tmp_path, variables, folder):
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(here=tmp_path))
    assert model_store() == tmp_path / folder


def test_an_account_without_a_home_is_told_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["nobody"])  # a number that the user database does not know
    with pytest.raises(NoModelStore) as caught:
        model_store()
    assert "RINGFENCE_MODELS" in caught.value.sentences()[1]
    monkeypatch.setenv("RINGFENCE_MODELS", "store")
    assert model_store() == Path(tmp_path / "store")
