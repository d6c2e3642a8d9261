"""Things in groups, and the lines of a table that lies in blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.batches import batches
from ringfence.deid.table import FILE, table_lines
from ringfence.vault.files import write_files
from tests.unit.deid.test_deid_job import new_key, new_slot, stored


@given(st.lists(st.text("ab", max_size=9)), st.integers(1, 20))
def test_groups_keep_the_order_and_end_as_soon_as_they_are_large_enough(items, enough):
    found = list(batches(items, len, enough=enough))
    assert [item for group in found for item in group] == items
    sizes = [sum(map(len, group)) for group in found]
    assert all(size >= enough for size in sizes[:-1])
    assert all(sum(map(len, group[:-1])) < enough for group in found)
    assert [] not in found


@pytest.mark.parametrize("data", [b"", b"a\n", b"a\nb", b"\n" + b"x" * 300_000 + b"\ny\n"])
def test_lines_of_a_table_are_those_of_the_file(tmp_path, data):
    slot, key = new_slot(tmp_path, "spans"), new_key()
    write_files(slot, key, {FILE: data})
    assert list(table_lines(stored(slot), key)) == data.removesuffix(b"\n").split(b"\n") * bool(data)
