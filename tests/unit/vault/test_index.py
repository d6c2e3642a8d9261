from __future__ import annotations

import hmac
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.digest import canonical, keyed
from ringfence.core.errors import NotCanonical, ObjectBroken
from ringfence.vault.index import RowIndex, read_index, row_hmac, units_together
from ringfence.vault.streams import INDEX, ObjectStreams
from tests.unit.vault.vault_tools import quick

# few different ids, some that end in zeros or differ only there
IDS = st.builds(lambda a, b: bytes([a]) + bytes(14) + bytes([b]), st.integers(0, 3), st.integers(0, 2))
ROWS = st.lists(st.tuples(IDS, IDS, IDS), max_size=40)


def filled(rows, *, with_units=True, key=b"k" * 32):
    index = RowIndex()
    if rows:
        index.add(*([row[i] for row in rows] for i in range(3)))
    index.shard_rows = [len(rows)] if rows else []
    index.finish(key, with_units=with_units)
    return index


@given(key=st.binary(max_size=100), data=st.binary(max_size=300))
def test_row_hmac_is_the_keyed_digest(key, data):
    digest = row_hmac(key)
    assert digest(data) == keyed(key, data)
    assert digest(data) == keyed(key, data)  # the prepared state was not used up


@quick
@given(rows=ROWS, with_units=st.booleans())
def test_what_was_written_is_read(rows, with_units):
    written = filled(rows, with_units=with_units)
    index = RowIndex.from_bytes(b"".join(written.blocks()))
    assert len(index) == len(rows)
    assert index.shard_rows == written.shard_rows
    assert [bytes(value) for value in index.record_ids] == [row[0] for row in rows]
    assert [bytes(value) for value in index.unit_ids] == [row[1] for row in rows]
    assert [bytes(value) for value in (index.content_hmacs if rows else [])] == [row[2] for row in rows]
    assert index.content_hmac == hmac.digest(b"k" * 32, b"".join(row[2] for row in rows), "sha256")
    if with_units:
        ids, counts = index.unit_table
        assert {bytes(unit): int(count) for unit, count in zip(ids, counts, strict=True)} == Counter(row[1] for row in rows)
    else:
        assert index.unit_table is None


def test_former_units_are_read_back_and_an_index_without_any_is_written_as_ever():
    rows, former = [(bytes(16), bytes(16), bytes(16))] * 2, bytes([1] * 16 + [2] * 16)
    for with_units in (True, False):
        index = filled(rows, with_units=with_units)
        before = b"".join(index.blocks())
        assert b"former" not in before
        assert bytes(RowIndex.from_bytes(before).former_units) == b""
        index.former_units = former
        found = RowIndex.from_bytes(b"".join(index.blocks()))
        assert bytes(found.former_units) == former
        assert bytes(found.unit_ids) == bytes(32)
        with pytest.raises(ValueError, match="do not fit"):
            RowIndex.from_bytes(b"".join(index.blocks())[:-1])


@quick
@given(rows=ROWS, more=ROWS)
def test_counts_agree_with_the_naive_ones(rows, more):
    index = filled(rows)
    assert index.duplicates() == len(rows) - len({row[0] for row in rows})
    assert index.units() == len({row[1] for row in rows})
    for others in ([], [more], [more, rows]):  # rows of one unit in several sets are one unit's
        counts = Counter(row[1] for some in (rows, *others) for row in some)
        assert units_together(index, *map(filled, others)) == (len(counts), max(counts.values(), default=0))


def test_a_set_without_content_key_has_no_hmacs():
    index = RowIndex()
    index.add([bytes(16)], [bytes(16)], None)
    index.shard_rows = [1]
    index.finish(None, with_units=False)
    read = RowIndex.from_bytes(b"".join(index.blocks()))
    assert read.content_hmacs is None
    assert read.content_hmac is None
    with pytest.raises(ValueError, match="either all rows"):
        index.add([bytes(16)], [bytes(16)], [bytes(16)])
    with pytest.raises(ValueError, match="does not grow"):
        read.add([bytes(16)], [bytes(16)], None)


@pytest.mark.parametrize("widths", [(15, 16, 16), (16, 17, 16), (16, 16, 32)])
def test_values_of_another_width_are_refused(widths):
    with pytest.raises(ValueError, match="16 bytes"):
        RowIndex().add(*([bytes(width)] for width in widths))


def test_rows_cost_48_bytes():
    rows, step = 100_000, 5_000
    tracemalloc.start()
    index = RowIndex()
    for start in range(0, rows, step):
        ids = [i.to_bytes(16, "big") for i in range(start, start + step)]
        index.add(ids, ids, ids)
    del ids
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    index.duplicates()
    index.shard_rows = [rows]
    assert sum(len(block) for block in index.blocks()) < 48.1 * rows
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 56 * rows
    assert peak < 75 * rows  # sorting a copy of one column


GOOD = b"".join(filled([(bytes(16), bytes(16), bytes(16))]).blocks())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        GOOD[:-1],
        GOOD + b"\0",
        GOOD.replace(b"index/1", b"index/2"),
        GOOD.replace(b'"shards":[1]', b'"shards":[-1]'),
        GOOD.replace(b'"shards":[1]', b'"shards":[2]'),
        GOOD.replace(b'"shards":[1]', b'"shards": [1]'),
        GOOD.replace(b'{"', b'{"a":1,"'),
        canonical({"format": "ringfence.names/1", "names": []}),
    ],
)
def test_other_bytes_are_refused(data, slot, key):
    with pytest.raises((ValueError, NotCanonical)):
        RowIndex.from_bytes(data)
    ObjectStreams(slot, key).seal(INDEX, [data], position=INDEX, last=True)
    with pytest.raises(ObjectBroken) as caught:
        read_index(slot, key)
    assert caught.value.facts == {"file": -1}
