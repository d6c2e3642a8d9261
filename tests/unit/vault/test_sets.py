from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.digest import keyed
from ringfence.core.errors import ObjectBroken, StorageFull
from ringfence.core.order import StoredFile
from ringfence.core.records import Record
from ringfence.vault.index import RowIndex
from ringfence.vault.sets import SHARD_BYTES, SetReader, SetWriter, shard_name
from ringfence.vault.streams import INDEX, ObjectStreams
from tests.unit.vault.vault_tools import OTHER, flipped, new_key, new_slot, quick, record

CONTENT = bytes(range(32))
HEX = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")
TEXT = st.text(max_size=40)
FIELDS = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT, max_size=3)
RECORDS = st.builds(lambda i, u, s, t, f: Record(i, u, s, "text", ("text",), (t,), f), HEX, HEX, TEXT, TEXT, FIELDS)
BIG = "lorem ipsum " * 170_000  # about 2 MB: three rows make one shard


def write(slot, key, records, content=CONTENT, **options):
    with SetWriter(slot, key, content, **options) as writer:
        for one in records:
            writer.write(one)
    return slot


def write_lines(slot, key, lines):
    with SetWriter(slot, key) as writer:
        for line, content in lines:
            writer.write_line(line, record_id=bytes(16), unit_id=bytes(16), content_hmac=content)


def listed(slot):
    """The slot as the host would order it: with its files."""
    names = sorted((path.name for path in Path(slot.path).iterdir()), key=lambda name: (name == INDEX, name))
    files = tuple(StoredFile(name=name, size=Path(slot.path, name).stat().st_size, sha256="0" * 64) for name in names)
    return slot.model_copy(update={"files": files})


@quick
@given(records=st.lists(RECORDS, max_size=12))
def test_records_come_back(tmp_path, records):
    key = new_key()
    slot = write(new_slot(tmp_path), key, records)
    for known in (slot, listed(slot)):
        reader = SetReader(known, key)
        assert list(reader) == records
        assert list(reader.lines()) == [one.to_line() for one in records]
        assert len(reader) == len(records)
        if records:
            assert [bytes(value) for value in reader.index.content_hmacs] == [keyed(CONTENT, one.content()) for one in records]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A set of three shards: its folder, key and records."""
    folder, key = tmp_path_factory.mktemp("large"), new_key()
    records = [record(i, BIG if i % 3 == 0 else "short", a=i) for i in range(20)]
    return listed(write(new_slot(folder), key, records)), key, records


@pytest.fixture
def copied(large, tmp_path):
    """A copy of the large set that a test may break."""
    slot, key, records = large
    folder = tmp_path / "copy"
    shutil.copytree(slot.path, folder)
    return slot.model_copy(update={"path": str(folder)}), key, records


def test_shards_are_cut_at_about_4_mb(large):
    slot, key, records = large
    reader = SetReader(slot, key)
    assert [file.name for file in slot.files] == [*map(shard_name, range(len(slot.files) - 1)), INDEX]
    assert len(reader.index.shard_rows) >= 3
    assert sum(reader.index.shard_rows) == len(records)
    assert all(SHARD_BYTES < file.size < 2 * SHARD_BYTES for file in slot.files[:-2])


@quick
@given(start=st.integers(-25, 25), stop=st.integers(-25, 25))
def test_any_range_of_rows_is_the_slice(large, start, stop):
    slot, key, records = large
    assert list(SetReader(slot, key).rows(start, stop)) == records[start:stop]


def test_single_rows_in_any_order(large):
    slot, key, records = large
    reader = SetReader(slot, key)
    for i in random.Random(1).sample(range(len(records)), 8):
        assert list(reader.rows(i, i + 1)) == [records[i]]


def test_lines_that_span_several_blocks(tmp_path, key):
    records = [record(i, "x" * size) for i, size in enumerate([1, (1 << 17) - 130, 1 << 17, 300_000, 2_000_000, 0])]
    assert list(SetReader(write(new_slot(tmp_path), key, records), key)) == records


def test_lines_copied_from_a_reader_give_the_same_index(large, tmp_path):
    slot, key, _ = large
    reader, copy = SetReader(slot, key), new_slot(tmp_path)
    with SetWriter(copy, key) as writer:
        ids, units, hmacs = reader.index.record_ids, reader.index.unit_ids, reader.index.content_hmacs
        for line, one, unit, content in zip(reader.lines(), ids, units, hmacs, strict=True):
            writer.write_line(line, record_id=one.tobytes(), unit_id=unit.tobytes(), content_hmac=content.tobytes())
    again = SetReader(copy, key)
    assert (again.index.content_hmacs == hmacs).all()
    assert again.index.shard_rows == reader.index.shard_rows
    assert again.index.content_hmac is None  # no key, no HMAC over the set


def test_the_index_while_rows_are_written(slot, key):
    with SetWriter(slot, key, CONTENT, unit_table=True) as writer:
        assert len(writer.index) == 0
        for i in (0, 1, 2, 2):
            writer.write(record(i))
        assert writer.index.duplicates() == 1
        assert writer.index.units() == 2
        writer.write(record(9))
    ids, rows = SetReader(slot, key).index.unit_table
    assert [int(n) for n in rows] == [2, 2, 1]
    assert len(ids) == 3


def test_no_plaintext_on_the_disk(tmp_path, key):
    slot = write(new_slot(tmp_path), key, [record(i, "a very secret sentence", secret_column="张三") for i in range(2_000)])
    list(SetReader(slot, key))
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for needle in (b"very secret", "张三".encode(), b"secret_column", b"question", b"file.jsonl", (1999).to_bytes(16, "big")):
        assert needle not in held
    assert {path.stat().st_mode & 0o777 for path in Path(slot.path).iterdir()} == {0o600}


def test_an_exception_leaves_no_index(slot, key):
    with pytest.raises(ZeroDivisionError), SetWriter(slot, key) as writer:
        writer.write(record(1 // len(writer.index)))
    assert not Path(slot.path, INDEX).exists()
    with pytest.raises(ObjectBroken):
        SetReader(slot, key)


def test_a_closed_set_takes_no_row(slot, key):
    with SetWriter(slot, key) as writer:
        writer.write(record(1))
    with pytest.raises(ValueError, match="closed"):
        writer.write(record(2))


@pytest.mark.parametrize("line", [b"", b"{}", b"{}\n{}\n", b"\n\n"])
def test_a_line_has_one_newline_at_its_end(slot, key, line):
    with pytest.raises(ValueError, match="newline"):
        write_lines(slot, key, [(b"{}\n", None), (line, None)])
    assert not list(Path(slot.path).iterdir())


def test_some_rows_with_hmac_and_some_without_are_refused(slot, key):
    with pytest.raises(ValueError, match="either all"):
        write_lines(slot, key, [(b"{}\n", None), (b"{}\n", bytes(16))])


def broken(slot, key):
    """Read everything; return the number of the file that failed."""
    with pytest.raises(ObjectBroken) as caught:
        list(SetReader(slot, key))
    return caught.value.facts["file"]


def swap(slot, one, other):
    a, b = Path(slot.path, one), Path(slot.path, other)
    held = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(held)


def unlisted(slot):
    return slot.model_copy(update={"files": ()})


@pytest.mark.parametrize("known", [listed, unlisted])
def test_shards_swapped(copied, known):
    slot, key, _ = copied
    swap(slot, shard_name(0), shard_name(1))
    assert broken(known(slot), key) == 0


@pytest.mark.parametrize("known", [listed, unlisted])
@pytest.mark.parametrize("name", [shard_name(0), shard_name(2), INDEX, "last"])
def test_a_file_dropped(copied, known, name):
    slot, key, _ = copied
    shards = sorted(Path(slot.path).glob("*.shard"))
    gone = shards[-1] if name == "last" else Path(slot.path, name)
    gone.unlink()
    assert broken(known(slot), key) == {INDEX: -1, "last": len(shards) - 1}.get(name, int(name[:6]) if name[0] == "0" else None)


def test_the_last_shard_and_its_index_row_dropped(copied):
    """Even a forged count does not hide a lost last shard: the one before it was not sealed as the last."""
    slot, key, _ = copied
    reader = SetReader(unlisted(slot), key)
    index = reader.index
    keep = len(index.shard_rows) - 1
    forged = new_slot(Path(slot.path).parent)
    rows = sum(index.shard_rows[:keep])
    with SetWriter(forged, key) as writer:
        for i in range(rows):
            writer.index.add([index.record_ids[i].tobytes()], [index.unit_ids[i].tobytes()], None)
        writer.index.shard_rows = index.shard_rows[:keep]
    Path(slot.path, INDEX).unlink()
    streams = ObjectStreams(slot, key)
    streams.seal(INDEX, writer.index.blocks(), position=INDEX, last=True)
    assert broken(unlisted(slot), key) == keep - 1


@pytest.mark.parametrize("name", [shard_name(1), INDEX])
def test_a_file_of_another_object_under_the_same_key(copied, tmp_path, name):
    slot, key, records = copied
    foreign = write(new_slot(tmp_path), key, records)
    shutil.copy(Path(foreign.path, name), Path(slot.path, name))
    assert broken(listed(slot), key) == (-1 if name == INDEX else 1)


@pytest.mark.parametrize("change", [{"version": 2}, {"tenant": OTHER}, {"slot": OTHER}])
def test_another_version_workspace_or_object(large, change):
    slot, key, _ = large
    assert broken(slot.model_copy(update=change), key) == -1


def test_another_key(large):
    slot, _, _ = large
    assert broken(slot, new_key()) == -1


def test_the_order_lists_other_files(large):
    slot, key, _ = large
    files = slot.files
    for wrong in (files[1:], files[:-1], files[::-1], (*files, files[0]), (files[1], files[0], *files[2:])):
        broken(slot.model_copy(update={"files": wrong}), key)
    resized = files[0].model_copy(update={"size": files[0].size + 1})
    assert broken(slot.model_copy(update={"files": (resized, *files[1:])}), key) == 0


def test_flips_in_every_file(copied):
    slot, key, _ = copied
    for i, file in enumerate(slot.files):
        path = Path(slot.path, file.name)
        data = path.read_bytes()
        for at in [0, 1, 20, 39, 40, len(data) // 2, len(data) - 17, len(data) - 1]:
            path.write_bytes(flipped(data, at, at % 8))
            assert broken(slot, key) == (i if file.name != INDEX else -1)
        path.write_bytes(data)
    assert sum(1 for _ in SetReader(slot, key)) == 20


@pytest.mark.parametrize(("data", "rows"), [(b"{}\n{}\n", 1), (b"{}\n", 2), (b"{}", 1), (b"{}\n{}", 1), (b"", 1)])
def test_a_count_that_is_not_the_shards_own(slot, key, data, rows):
    """A job that writes shards and index by itself cannot make rows that the index does not know."""
    index, streams = RowIndex(), ObjectStreams(slot, key)
    index.add([bytes(16)] * rows, [bytes(16)] * rows, None)
    index.shard_rows = [rows]
    streams.seal(shard_name(0), [data], position="0", last=True)
    streams.seal(INDEX, index.blocks(), position=INDEX, last=True)
    with pytest.raises(ObjectBroken) as caught:
        list(SetReader(slot, key).lines())
    assert caught.value.facts == {"file": 0}


@pytest.mark.parametrize("line", [b"not json, but secret\n", b"[]\n", b'{"id":1}\n', b'"secret"\n', b"[" * 100_000 + b"\n"])
def test_a_row_that_is_no_record_is_named_without_its_text(slot, key, line):
    with SetWriter(slot, key) as writer:
        writer.write_line(line, record_id=bytes(16), unit_id=bytes(16))
    with pytest.raises(ObjectBroken) as caught:
        list(SetReader(slot, key))
    assert caught.value.__cause__ is None
    assert caught.value.facts == {"file": 0}
    assert "secret" not in str(caught.value)


def test_a_full_disk(small_disk, key):
    slot = new_slot(small_disk(6 << 20))
    with pytest.raises(StorageFull):
        write(slot, key, (record(i, os.urandom(500_000).hex()) for i in range(20)))
    assert [path.name for path in Path(slot.path).iterdir()] == [shard_name(0)]


def test_a_disk_that_fills_up_at_the_index(small_disk, key):
    slot = new_slot(small_disk(64 << 10))
    with pytest.raises(StorageFull):  # 6 kB of lines, 96 kB of index
        write_lines(slot, key, [(b"{}\n", bytes(16))] * 2_000)
    assert [path.name for path in Path(slot.path).iterdir()] == [shard_name(0)]
