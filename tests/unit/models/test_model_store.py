"""The store: content decides the name of a folder, and a changed byte is found."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from ringfence.core import text
from ringfence.core.errors import ModelBroken, ModelUnknown, ModelUnsupported, NoModelStore, UnsafeFile
from ringfence.models import store
from tests.unit.models.model_parts import safetensors, write_folder


@pytest.fixture(autouse=True)
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_a_registered_model_is_found_by_name_alias_digest_and_path(tmp_path):
    folder = write_folder(tmp_path / "m")
    entry = store.register(folder, "tiny", licence="apache-2.0", aliases=("org/tiny",))
    for name in ("tiny", "org/tiny", entry.digest):
        assert store.find(name) == entry
    assert store.find(str(folder)).digest == entry.digest
    assert entry.open().parameters == 12
    assert sorted(path.name for path in entry.path.iterdir()) == [file.name for file in entry.files]


def test_an_unknown_name_says_what_is_known(tmp_path):
    with pytest.raises(ModelUnknown):
        store.find("gpt-5")
    store.register(write_folder(tmp_path / "m"), "tiny")
    with pytest.raises(ModelUnknown) as caught:
        store.find("gpt-5")
    assert caught.value.facts["known"] == "tiny"


def test_equal_content_is_stored_once_and_other_content_takes_the_name(tmp_path, where):
    first = store.register(write_folder(tmp_path / "a"), "tiny")
    assert store.register(write_folder(tmp_path / "b"), "tiny").digest == first.digest
    other = store.register(write_folder(tmp_path / "c", LICENSE=b"other"), "tiny")
    assert store.find("tiny").digest == other.digest != first.digest
    assert store.find(first.digest).name != "tiny"
    assert len(store.listing()) == 2
    assert not list(where.glob(".*.tmp"))


def test_an_alias_means_the_newest_import_that_has_it(tmp_path):
    first = store.register(write_folder(tmp_path / "a"), "one", aliases=("org/one", "org/both"))
    other = store.register(write_folder(tmp_path / "b", LICENSE=b"other"), "two", aliases=("org/both",))
    assert store.find("org/both") == other
    assert store.find("org/one").digest == store.find("one").digest == first.digest
    again = store.register(tmp_path / "a", "one", aliases=("org/more",))
    assert again.aliases == ("org/one", "org/more")
    assert store.find(str(tmp_path / "a")) == again  # who names the folder changes nothing
    for bad in ("org one", "../x", "", "x" * 129, "http://hub/x"):
        with pytest.raises(ModelUnsupported, match="alias"):
            store.register(tmp_path / "a", "one", aliases=(bad,))
    with pytest.raises(ModelUnknown, match="--alias Qwen/Qwen3-4B"):
        store.find("Qwen/Qwen3-4B")


@pytest.mark.parametrize("fault", ["changed", "shorter", "added", "removed", "link"])
def test_verify_finds_every_change(tmp_path, fault):
    entry = store.register(write_folder(tmp_path / "m"), "tiny")
    assert store.verify("tiny") == entry
    path = entry.path / "model.safetensors"
    data = path.read_bytes()
    if fault == "changed":
        path.write_bytes(data[:-1] + b"x")
    elif fault == "shorter":
        path.write_bytes(data[:-1])
    elif fault == "added":
        (entry.path / "modeling.py").write_text("")
    elif fault == "removed":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelBroken):
        store.verify("tiny")


def test_a_changed_entry_is_found(tmp_path, where):
    entry = store.register(write_folder(tmp_path / "m"), "tiny")
    path = where / f"{entry.digest}.json"
    row = json.loads(path.read_bytes())
    row["files"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(row, sort_keys=True, separators=(",", ":")))
    with pytest.raises(ModelBroken):
        store.find("tiny")


def test_a_refused_folder_leaves_nothing(tmp_path, where):
    with pytest.raises(UnsafeFile):
        store.register(write_folder(tmp_path / "m", x__pkl=b""), "tiny")
    with pytest.raises(ModelUnsupported):
        store.register(write_folder(tmp_path / "n"), "no/such name")
    assert not where.exists() or not list(where.iterdir())


def test_weights_that_lie_outside_are_never_copied(tmp_path, where):
    folder = write_folder(tmp_path / "m")
    (tmp_path / "secret").write_bytes(safetensors({"a": ("U8", [1], 1)}))
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeFile):
        store.register(folder, "tiny")


def test_a_relative_store_is_the_same_folder_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGFENCE_MODELS", "models")
    entry = store.register(write_folder(tmp_path / "m"), "tiny")
    assert entry.path == tmp_path / "models" / entry.digest  # a path that a sandbox can be given


def test_a_store_that_cannot_be_made_is_said_to_be_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "file" / "store"))
    with pytest.raises(NoModelStore):
        store.register(write_folder(tmp_path / "m"), "tiny")
    assert store.listing() == []


@pytest.fixture
def open_folder():
    """A folder that other accounts may look into; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0o000, 0o500])
@pytest.mark.parametrize("name", ["theirs", "theirs/store"])
def test_a_store_of_somebody_else_is_said_to_be_so(monkeypatch, open_folder, mode, name):
    if os.geteuid():
        pytest.skip("this machine runs us without root, which acting as another account takes")
    model = write_folder(open_folder / "m")
    model.chmod(0o755)
    (open_folder / "theirs").mkdir(mode=mode)
    monkeypatch.setenv("RINGFENCE_MODELS", str(open_folder / name))
    os.seteuid(65534)
    try:
        assert os.access(model, os.R_OK | os.X_OK, effective_ids=True)
        with pytest.raises(NoModelStore):
            store.register(model, "tiny")
        if name == "theirs/store":  # not even its existence can be seen
            with pytest.raises(NoModelStore):
                store.listing()
    finally:
        os.seteuid(0)


def test_a_name_that_cannot_be_is_refused_in_the_readers_language(tmp_path):
    text.choose("zh")
    with pytest.raises(ModelUnsupported) as caught:
        store.register(write_folder(tmp_path / "m"), "no/such name")
    assert "模型名称" in caught.value.facts["problem"]
