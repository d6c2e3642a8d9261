from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ringfence.core.errors import JobMisbehaved, NoSuchObject, ObjectBroken, StorageFull
from ringfence.vault.sets import SetReader, SetWriter
from ringfence.vault.store import Store, _copy
from tests.unit.vault.vault_tools import new_slot, record

RUN, OTHER_RUN = "scan-0123456789ab", "train-0123456789ab"
SLOT, OTHER_SLOT = "ab" * 16, "cd" * 16
PLAIN = {"000000.shard": b"zero", "000001.shard": b"one", "index": b"index"}


def fill(folder, files=PLAIN):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_an_object_on_its_way(store):
    folder = fill(store.incoming(RUN, SLOT))
    files = store.collect(folder)
    assert [(file.name, file.size, file.sha256) for file in files] == [
        (name, len(data), hashlib.sha256(data).hexdigest()) for name, data in PLAIN.items()
    ]
    assert store.slots() == []
    assert store.incoming_runs() == [RUN]
    assert store.commit(RUN, SLOT) == store.path(SLOT)
    assert not folder.exists()
    assert store.slots() == [SLOT]
    assert store.check(files, SLOT) == []
    store.clear_incoming(RUN)
    store.clear_incoming(RUN)
    assert store.incoming_runs() == []
    store.remove(SLOT)
    store.remove(SLOT)
    assert store.slots() == []
    assert store.check(files, SLOT) == list(PLAIN)


def test_an_empty_store_has_nothing(tmp_path):
    store = Store(tmp_path / "vault")
    assert store.slots() == store.incoming_runs() == []
    store.remove(SLOT)
    store.clear_incoming(RUN)


def test_folders_are_private(store):
    folder = store.incoming(RUN, SLOT)
    for path in (folder, folder.parent, folder.parent.parent):
        assert path.stat().st_mode & 0o777 == 0o700


def test_shards_are_ordered_by_number(store):
    names = [f"{i:06}.shard" for i in range(12)]
    folder = fill(store.incoming(RUN, SLOT), dict.fromkeys([*reversed(names), "index"], b"x"))
    assert [file.name for file in store.collect(folder)] == [*names, "index"]


def test_an_object_of_named_files_and_an_empty_set(store):
    assert len(store.collect(fill(store.incoming(RUN, SLOT), {"000000.file": b"a", "index": b"i"}))) == 2
    assert [file.name for file in store.collect(fill(store.incoming(RUN, OTHER_SLOT), {"index": b"i"}))] == ["index"]


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["000000.shard"],
        ["000001.shard", "index"],
        ["000000.shard", "000002.shard", "index"],
        ["000000.shard", "000001.file", "index"],
        ["000000.shard", "0000001.shard", "index"],
        ["000000.shard", "index", "notes.txt"],
        ["000000.shard", "index", ".hidden"],
        ["000000.shard", "index", "０00001.shard"],
        ["000000.shard", "index", "index\n"],
    ],
)
def test_unexpected_names_are_refused(store, names):
    folder = fill(store.incoming(RUN, SLOT), dict.fromkeys(names, b"x"))
    with pytest.raises(JobMisbehaved) as caught:
        store.collect(folder)
    assert caught.value.facts["job"] == RUN


def link(path, outside):
    path.symlink_to(outside)


def second_name(path, outside):
    os.link(outside, path)


def pipe(path, outside):
    os.mkfifo(path)


def folder(path, outside):
    path.mkdir()


@pytest.mark.parametrize("make", [link, second_name, pipe, folder])
@pytest.mark.parametrize("name", ["000001.shard", "index"])
def test_what_is_not_a_plain_file_is_refused(store, tmp_path, make, name):
    outside = tmp_path / "outside"
    outside.write_bytes(b"another object's bytes")
    path = fill(store.incoming(RUN, SLOT))
    (path / name).unlink()
    make(path / name, outside)
    with pytest.raises(JobMisbehaved):
        store.collect(path)
    with pytest.raises(JobMisbehaved):
        store.adopt(RUN, SLOT)
    assert store.slots() == []


def test_removing_follows_no_link(store, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"x")
    (store.incoming(RUN, SLOT) / "link").symlink_to(tmp_path / "precious")
    store.clear_incoming(RUN)
    assert (tmp_path / "precious" / "file").exists()


@pytest.mark.parametrize("bad", ["", ".", "..", "../..", "AB" * 16, "ab" * 15, "ab" * 16 + "\n", "/etc"])
def test_ids_are_no_paths(store, bad):
    for call in (store.path, store.remove, lambda slot: store.incoming(RUN, slot), lambda slot: store.commit(RUN, slot)):
        with pytest.raises(NoSuchObject):
            call(bad)
    for call in (store.clear_incoming, lambda run: store.incoming(run, SLOT), lambda run: store.commit(run, SLOT)):
        with pytest.raises(NoSuchObject):
            call(bad)


def test_commit_moves_once(store):
    with pytest.raises(NoSuchObject):
        store.commit(RUN, SLOT)
    fill(store.incoming(RUN, SLOT))
    store.commit(RUN, SLOT)
    fill(store.incoming(OTHER_RUN, SLOT), {"index": b"other"})
    with pytest.raises(FileExistsError):
        store.commit(OTHER_RUN, SLOT)
    assert (store.path(SLOT) / "index").read_bytes() == b"index"


def test_commit_does_not_replace_an_empty_folder(store):
    fill(store.incoming(RUN, OTHER_SLOT))
    store.commit(RUN, OTHER_SLOT)
    store.path(SLOT).mkdir()
    fill(store.incoming(RUN, SLOT))
    with pytest.raises(FileExistsError):
        store.commit(RUN, SLOT)


def test_check_names_every_difference(store):
    files = store.collect(fill(store.incoming(RUN, SLOT)))
    folder = store.commit(RUN, SLOT)
    (folder / "000000.shard").write_bytes(b"zerO")
    (folder / "000001.shard").unlink()
    (folder / "extra").write_bytes(b"")
    assert store.check(files, SLOT) == ["000000.shard", "000001.shard", "extra"]


def test_what_is_adopted_changes_no_more(store):
    folder = fill(store.incoming(RUN, SLOT))
    with (folder / "000000.shard").open("r+b") as held:  # as a live job may
        files = store.adopt(RUN, SLOT)
        held.write(b"EVIL")
    assert store.check(files, SLOT) == []
    assert (store.path(SLOT) / "000000.shard").read_bytes() == b"zero"
    assert not folder.exists()
    assert {path.stat().st_mode & 0o777 for path in store.path(SLOT).iterdir()} == {0o600}


@pytest.mark.parametrize("make", [link, folder, pipe])
def test_a_live_job_that_exchanges_a_file_while_it_is_copied(tmp_path, make):
    """The moment between listing and copying, as the copy sees it."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"another object's bytes")
    source = tmp_path / RUN / SLOT / "index"
    source.parent.mkdir(parents=True)
    make(source, outside)
    if make is pipe:  # read as empty; the copy's own digest is what counts
        _copy(source, tmp_path / "copy", size=10)
        assert (tmp_path / "copy").read_bytes() == b""
    else:
        with pytest.raises(JobMisbehaved):
            _copy(source, tmp_path / "copy", size=10)


def test_a_copy_ends_at_the_size_that_was_listed(tmp_path):
    (tmp_path / "growing").write_bytes(b"listed, and then more")
    _copy(tmp_path / "growing", tmp_path / "copy", size=6)
    assert (tmp_path / "copy").read_bytes() == b"listed"


def test_a_full_disk(small_disk):
    store = Store(small_disk(64 << 10) / "vault")
    fill(store.incoming(RUN, SLOT), {"index": bytes(40 << 10)})
    with pytest.raises(StorageFull):
        store.adopt(RUN, SLOT)


def test_two_workspaces_cannot_read_each_other(tmp_path, key):
    """An object copied in is read under the slot's own tenant, whoever has the key."""
    theirs = new_slot(tmp_path / "theirs", tenant="cd" * 16)
    with SetWriter(theirs, key) as writer:
        writer.write(record(1))
    ours = theirs.model_copy(update={"tenant": "ab" * 16})
    assert len(SetReader(theirs, key)) == 1
    with pytest.raises(ObjectBroken):
        SetReader(ours, key)
    assert Path(ours.path).is_dir()
