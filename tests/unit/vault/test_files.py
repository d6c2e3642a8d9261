from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.digest import canonical
from ringfence.core.errors import ObjectBroken
from ringfence.core.order import StoredFile
from ringfence.vault.files import file_names, read_blocks, read_file, write_files
from ringfence.vault.streams import INDEX, ObjectStreams
from tests.unit.vault.vault_tools import new_key, new_slot, quick

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True)
ADAPTER = {"adapter_model.safetensors": bytes(3 << 20), "adapter_config.json": b'{"secret": "value"}', "figures.json": b"{}"}


@pytest.fixture
def adapter(tmp_path, key):
    slot = new_slot(tmp_path, kind="adapter")
    write_files(slot, key, ADAPTER)
    return slot


@quick
@given(files=st.dictionaries(NAMES, st.binary(max_size=300), max_size=5))
def test_files_come_back_in_their_order(tmp_path, files):
    slot, key = new_slot(tmp_path, kind="checkpoint"), new_key()
    write_files(slot, key, {name: iter([data, data]) for name, data in files.items()})
    assert file_names(slot, key) == tuple(files)
    for name, data in files.items():
        assert read_file(slot, key, name) == data * 2


def test_large_files_come_in_blocks(adapter, key):
    blocks = list(read_blocks(adapter, key, "adapter_model.safetensors"))
    assert b"".join(blocks) == bytes(3 << 20)
    assert max(map(len, blocks)) <= 1 << 20


def test_names_and_content_are_sealed(adapter):
    names = sorted(path.name for path in Path(adapter.path).iterdir())
    assert names == ["000000.file", "000001.file", "000002.file", INDEX]
    held = b"".join(path.read_bytes() for path in Path(adapter.path).iterdir())
    assert b"adapter" not in held
    assert b"secret" not in held


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "x" * 129, "名"])
def test_names_that_are_no_plain_file_names_are_refused(tmp_path, key, name):
    slot = new_slot(tmp_path, kind="adapter")
    with pytest.raises(ValueError, match="plain name"):
        write_files(slot, key, {"good": b"", name: b""})
    assert not list(Path(slot.path).iterdir())


@pytest.mark.parametrize("index", [b"", b"{}", canonical({"format": "ringfence.names/1", "names": ["../x"]}), b'{"names":["a"]} '])
def test_an_index_with_such_names_is_broken(tmp_path, key, index):
    slot = new_slot(tmp_path, kind="adapter")
    ObjectStreams(slot, key).seal(INDEX, [index], position=INDEX, last=True)
    with pytest.raises(ObjectBroken):
        file_names(slot, key)


def test_an_absent_file_is_broken(adapter, key):
    with pytest.raises(ObjectBroken):
        read_file(adapter, key, "optimizer.safetensors")


def test_swapped_dropped_foreign_and_extra_files(adapter, key, tmp_path):
    folder = Path(adapter.path)
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    files = tuple(StoredFile(name=name, size=len(data), sha256="0" * 64) for name, data in sorted(held.items()))
    assert read_file(adapter.model_copy(update={"files": files}), key, "figures.json") == b"{}"
    with pytest.raises(ObjectBroken):
        file_names(adapter.model_copy(update={"files": files[1:]}), key)
    (folder / "000001.file").write_bytes(held["000002.file"])
    with pytest.raises(ObjectBroken) as caught:
        read_file(adapter, key, "adapter_config.json")
    assert caught.value.facts == {"file": 1}
    (folder / "000001.file").unlink()
    with pytest.raises(ObjectBroken):
        read_file(adapter, key, "figures.json")
    other = new_slot(tmp_path, kind="adapter")
    write_files(other, key, ADAPTER)
    shutil.copy(Path(other.path, "000001.file"), folder)
    with pytest.raises(ObjectBroken):
        read_file(adapter, key, "adapter_config.json")
