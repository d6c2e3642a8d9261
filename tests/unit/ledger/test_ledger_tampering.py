"""Nobody changes a byte, a file or the order of entries of a log without `verify_log` or opening it saying so."""

from __future__ import annotations

import random
import shutil

import pytest

from ringfence.core.errors import LedgerBroken
from ringfence.ledger.log import verify_log
from ringfence.ledger.tiles import pack, unpack


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def verdict(make, folder):
    """Return what verify_log says, or None if it finds nothing."""
    try:
        verify_log(folder, make.origin, make.public)
    except LedgerBroken as error:
        return str(error)
    return None


def test_every_flip_of_every_byte_is_found_and_the_file_is_named(make):
    log = make.log(batches=(1, 2, 1))
    cases = 0
    for path in files(log.folder):
        data, name = path.read_bytes(), path.relative_to(log.folder).as_posix()
        for at in range(len(data)):
            for mask in (0x01, 0x20, 0x80) if name == "checkpoint" else (1 << at % 8,):
                path.write_bytes(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
                said = verdict(make, log.folder)
                assert said is not None, (name, at, mask)
                assert name in said or "signature on checkpoint" in said, (name, at, said)
                cases += 1
        path.write_bytes(data)
    assert cases > 1_000
    assert verdict(make, log.folder) is None


def test_opening_finds_every_flip_of_what_it_answers_from(make):
    log = make.log(batches=(2, 2))
    for path in (log.folder / "checkpoint", log.folder / "tile/entries/000.p/4"):
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            with pytest.raises(LedgerBroken):
                make.open()
        path.write_bytes(data)
    assert make.open().size == 4


@pytest.mark.full
@pytest.mark.timeout(1200)  # 60 CPU s, many more on a shared machine
def test_ten_thousand_flips_of_a_log_with_full_tiles_are_found(make):
    flips(make, 10_000)


def test_random_flips_of_a_log_with_full_tiles_are_found(make):
    flips(make, 200)


def flips(make, count):
    log = make.log(batches=(250, 3, 60, 300, 1, 1))
    rng = random.Random(7)
    paths = files(log.folder)
    for case in range(count):
        path = paths[case % len(paths)]
        data = path.read_bytes()
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :])
        assert verdict(make, log.folder) is not None, (path.name, at)
        path.write_bytes(data)
    assert verdict(make, log.folder) is None


def test_every_truncation_and_extension_is_found(make):
    log = make.log(batches=(1, 2))
    for path in files(log.folder):
        data = path.read_bytes()
        for wrong in [data[:at] for at in range(len(data))] + [data + b"\0", data + data, data + b"\n", data + bytes(32)]:
            path.write_bytes(wrong)
            assert verdict(make, log.folder) is not None, (path.name, len(wrong))
        path.write_bytes(data)


def test_every_file_that_is_removed_is_missed_unless_the_format_lets_it_go(make):
    log = make.log(batches=(1, 2, 300, 1))
    needed = files(log.folder)
    for path in needed:
        data = path.read_bytes()
        path.unlink()
        is_old_partial = path.name == "47"  # 303 entries; the log now has 304
        assert (verdict(make, log.folder) is None) == is_old_partial, path
        path.write_bytes(data)


def test_every_file_that_does_not_belong_is_found(make):
    log = make.log(batches=(3,))
    for name in ("notes.txt", "tile/0/000.p/3.bak", "tile/0/0", "tile/0/000.p/x", "tile/junk/000", "tile/entries/000.p/03", ".checkpoint"):
        path = log.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        assert name in verdict(make, log.folder)
        path.unlink()


def test_links_pipes_and_folders_in_place_of_files_are_found(make):
    log = make.log(batches=(3,))
    outside = make.folder / "outside"
    for name in ("checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"):
        path = log.folder / name
        path.rename(outside)
        path.symlink_to(outside)
        assert verdict(make, log.folder) is not None
        path.unlink()
        path.mkdir()
        assert verdict(make, log.folder) is not None
        path.rmdir()
        import os

        os.mkfifo(path)
        assert verdict(make, log.folder) is not None
        path.unlink()
        outside.rename(path)
    (log.folder / "more").symlink_to(make.folder)
    assert "more" in verdict(make, log.folder)


CHANGES = {
    "dropped first": lambda e: e[1:],
    "dropped last": lambda e: e[:-1],
    "dropped middle": lambda e: e[:2] + e[3:],
    "duplicated": lambda e: e[:2] + e[1:],
    "replaced": lambda e: [*e[:2], e[0], *e[3:]],
    "swapped": lambda e: [e[1], e[0], *e[2:]],
    "reversed": lambda e: e[::-1],
    "appended": lambda e: [*e, e[0]],
    "respelled": lambda e: [e[0].replace(b",", b", "), *e[1:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_dropped_duplicated_and_reordered_entries_are_found(make, change):
    log = make.log(batches=(5,))
    path = log.folder / "tile/entries/000.p/5"
    path.write_bytes(pack(CHANGES[change](unpack(path.read_bytes(), 5))))
    assert verdict(make, log.folder) is not None
    with pytest.raises(LedgerBroken):
        make.open()
    with pytest.raises(LedgerBroken):
        log.raw(1)
    with pytest.raises(LedgerBroken):
        list(log.entries())


def test_an_entry_changed_together_with_its_hash_is_found(make):
    log = make.log(batches=(5,))
    fork = make.log("fork")
    fork.record_many([{"n": "forged"}] * 5)
    for name in ("tile/entries/000.p/5", "tile/0/000.p/5"):
        shutil.copy(fork.folder / name, log.folder / name)
    assert "signed root" in verdict(make, log.folder)


def test_files_of_another_log_under_the_same_key_are_found(make):
    log, other = make.log(batches=(5,)), make.log("other")
    other.record_many([{"n": n, "other": True} for n in range(5)])
    shutil.copy(other.folder / "checkpoint", log.folder / "checkpoint")
    assert verdict(make, log.folder) is not None
    with pytest.raises(LedgerBroken):
        make.open()


def test_leftovers_past_the_checkpoint_are_no_fault(make):
    log = make.log(batches=(3,))
    for name in ("tile/0/000.p/4", "tile/entries/000.p/9", "tile/1/000.p/1", "tile/0/000", ".checkpoint.0a1b2c3d.tmp"):
        path = log.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert verdict(make, log.folder) is None
    again = make.open(writable=True)
    assert again.record({"n": 3}) == 3
    assert not (log.folder / ".checkpoint.0a1b2c3d.tmp").exists()
    again.record_many([{"n": n} for n in range(4, 300)])
    assert verdict(make, log.folder) is None
    assert [entry["n"] for _, entry in make.open().entries()] == list(range(300))
