"""The disk fails or the writer dies: the log stays at the last checkpoint, and what was acknowledged is there."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess

import pytest

from ringfence.core.errors import LedgerUnavailable, StorageFull
from ringfence.ledger.log import Ledger, verify_log
from ringfence.ledger.store import TileStore


def verified(make, name="ledger"):
    return verify_log(make.folder / name, make.origin, make.public)


@contextlib.contextmanager
def files_no_larger_than(size):
    """The kernel then takes the first bytes of a larger write and refuses the rest, as a full disk does."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_short_write_at_any_length_leaves_the_old_log_usable(make):
    log = make.log(batches=(3,))
    before, refused = log.checkpoint(), 0
    for limit in range(0, 260, 7):
        with contextlib.suppress(LedgerUnavailable), files_no_larger_than(limit):
            log.record({"n": "x" * 30})
            continue
        refused += 1
        assert (log.size, log.checkpoint()) == (3, before)
        assert verified(make) == make.open().size == 3
        assert not (log.folder / "tile/entries/000.p/4").exists()
        if refused > 30:
            break
    assert refused > 20
    size = log.size
    assert log.record({"n": "after"}) == size
    assert verified(make) == size + 1


def test_a_checkpoint_that_cannot_be_written_commits_nothing(make):
    log = make.log(batches=(3,))
    tiles_only = len(log.checkpoint()) - 1  # the tiles of one short entry fit, the checkpoint does not
    assert tiles_only > 4 * 32
    with files_no_larger_than(tiles_only), pytest.raises(LedgerUnavailable):
        log.record({})
    assert {path.name for path in log.folder.iterdir()} == {"checkpoint", "tile"}
    assert verified(make) == log.size == 3
    assert log.record({}) == 3


def test_a_folder_in_the_way_commits_nothing_and_says_so(make):
    log = make.log(batches=(3,))
    (log.folder / "tile/0/000.p/4").mkdir()
    with pytest.raises(LedgerUnavailable):
        log.record({"n": 3})
    assert log.size == verified(make) == 3
    (log.folder / "tile/0/000.p/4").rmdir()
    assert log.record({"n": 3}) == 3


def test_a_log_whose_folder_is_gone_is_not_recreated(make):
    log = make.log(batches=(3,))
    shutil.rmtree(log.folder / "tile")
    (log.folder / "tile").write_bytes(b"")
    with pytest.raises(LedgerUnavailable):
        log.record({"n": 3})
    assert log.size == 3


def test_what_another_process_committed_is_never_withdrawn(make):
    log = make.log(batches=(3,))
    store, note = log._store, log.checkpoint()
    other = make.open(writable=True)
    other.record({"by": "other"})
    from ringfence.ledger.tiles import grown_tiles

    store.withdraw(grown_tiles(3, 4), failed=b"ours", note=note)
    assert verified(make) == 4


def test_a_commit_that_reached_the_disk_but_failed_is_taken_back(make):
    log = make.log(batches=(3,))
    note = log.checkpoint()
    make.open(writable=True).record({"n": 3})
    from ringfence.ledger.tiles import grown_tiles

    log._store.withdraw(grown_tiles(3, 4), failed=(log.folder / "checkpoint").read_bytes(), note=note)
    assert verified(make) == 3
    assert log.record({"n": "again"}) == 3


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine mounts no small tmpfs for us (it takes root); the tests above cut writes short with RLIMIT_FSIZE instead")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_stops_the_log_and_room_makes_it_go_on(make, small_disk):
    make.folder = small_disk
    log, acknowledged = make.log(), 0
    with contextlib.suppress(LedgerUnavailable):
        while True:
            acknowledged = log.record({"n": acknowledged, "text": "x" * 300}) + 1
    assert acknowledged > 2
    for _ in range(3):  # again and again: still full, still whole
        with pytest.raises(LedgerUnavailable):
            log.record({"n": acknowledged, "text": "x" * 3000})
        assert log.size == verified(make) == acknowledged
    (small_disk / "ledger/tile/entries/000.p/1").unlink()  # old partial files are the only ones that may go
    for width in range(2, acknowledged):
        (small_disk / f"ledger/tile/entries/000.p/{width}").unlink()
    assert log.record({"n": acknowledged}) == acknowledged
    assert [entry["n"] for _, entry in make.open().entries()] == list(range(acknowledged + 1))
    with pytest.raises(StorageFull):
        make_big(log).export(small_disk / "copy")
    assert not (small_disk / "copy").exists()


def make_big(log):
    with contextlib.suppress(LedgerUnavailable):
        while True:
            log.record({"text": "x" * 3000})
    return log


def test_an_existing_log_on_a_full_disk_opens(make, small_disk):
    make.folder = small_disk
    log = make_big(make.log(batches=(2,)))
    with contextlib.suppress(OSError), (small_disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    assert verified(make) == make.open().size == log.size
    with pytest.raises(LedgerUnavailable):
        make.log("second")


def write_until_killed(folder, origin, key, pipe, seed):
    """Append batches for ever and say after each one how many entries are acknowledged."""
    rng = random.Random(seed)
    log = Ledger.open(folder, origin=origin, public=key.public_key(), key=key)
    while True:
        batch = [{"n": log.size + i, "pad": "x" * rng.randrange(200)} for i in range(rng.choice((1, 1, 2, 3, 40)))]
        log.record_many(batch)
        os.write(pipe, log.size.to_bytes(8, "big"))


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.full)])
def test_no_acknowledged_entry_is_lost_when_the_writer_is_killed(make, kills):
    make.log()
    rng, acknowledged = random.Random(3), 0
    for seed in range(kills):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                write_until_killed(make.folder / "ledger", make.origin, make.key, theirs, seed)
            os._exit(1)
        os.close(theirs)
        for _ in range(rng.randrange(1, 12)):
            acknowledged = int.from_bytes(os.read(ours, 8), "big")
        for _ in range(rng.randrange(20_000)):  # die somewhere inside the next append, not always at its start
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(ours, "rb") as rest:
            said = rest.read()
        if said:
            acknowledged = int.from_bytes(said[-8:], "big")
        log = make.open(writable=True)
        assert log.size >= acknowledged
        assert [entry["n"] for _, entry in log.entries()] == list(range(log.size))
        assert verified(make) == log.size
    assert log.record({"n": log.size}) == log.size - 1


def test_a_writer_that_dies_after_any_file_leaves_the_old_log(make):
    """Rebuild the disk as it is after each step of an append: the first k files written, the next one cut."""
    log = make.log(batches=(254,))
    before = make.folder / "before"
    shutil.copytree(log.folder, before)
    log.record_many([{"n": 254 + n} for n in range(4)])
    new = [
        path.relative_to(log.folder)
        for path in log.folder.rglob("*")
        if path.is_file() and not (before / path.relative_to(log.folder)).exists()
    ]
    new = [path for path in new if path.name != "checkpoint"]
    assert len(new) == 5  # two full files, two partial ones, one hash on the level above
    for done in range(len(new) + 1):
        for cut in (0, 1, 100):
            state = make.folder / f"state-{done}-{cut}"
            shutil.copytree(before, state)
            for path in new[: done + 1]:
                (state / path).parent.mkdir(parents=True, exist_ok=True)
                data = (log.folder / path).read_bytes()
                (state / path).write_bytes(data if path in new[:done] else data[:cut])
            assert verified(make, state.name) == 254
            again = make.open(state.name, writable=True)
            assert again.record({"n": "again"}) == 254
            again.record_many([{"n": n} for n in range(10)])
            assert verified(make, state.name) == 265
            assert make.open(state.name).raw(254) == b'{"n":"again"}'


@pytest.mark.parametrize("is_in_place", [False, True])
def test_ctrl_c_does_not_take_back_a_checkpoint_that_a_reader_may_have_seen(make, monkeypatch, is_in_place):
    log = make.log(batches=(3,))
    commit = TileStore.commit

    def interrupted(store, note):
        if is_in_place:
            commit(store, note)
        raise KeyboardInterrupt

    monkeypatch.setattr(TileStore, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.record({"n": 3})
    monkeypatch.undo()
    size = 3 + is_in_place
    assert verified(make) == make.open().size == size
    log.refresh()
    assert log.size == size
    assert log.record({"n": size}) == size
    assert [entry["n"] for _, entry in make.open().entries()] == list(range(size + 1))
