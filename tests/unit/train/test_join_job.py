"""The child half of join, on sealed sets in a folder: rows as they are, one set after the other, and one person is one unit."""

from __future__ import annotations

import pytest

from ringfence.core.lineage import numbered
from ringfence.core.order import Child, Keys, Order
from ringfence.core.records import Record
from ringfence.train.join import run
from ringfence.train.settings import JoinFigures, JoinSettings
from ringfence.vault.index import units_together
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.deid.test_deid_job import CONTENT, TENANT, Host, new_key, new_slot, stored

ROWS = [
    [Record(f"{n:032x}", f"{n // 2:032x}", "clinic", "pair", ("user", "assistant"), (f"p{n}", f"c{n}"), {"ward": n}) for n in range(5)],
    [Record(f"{n + 50:032x}", f"{n % 2 + 2:032x}", "ward", "text", ("text",), (f"t{n}",)) for n in range(3)],
    [],
    [Record(f"{0:032x}", f"{9:032x}", "lab", "text", ("text",), ("last",))],
]


def sealed(folder, rows, key, *, unit=True):
    slot = new_slot(folder, "set")
    with SetWriter(slot, key, CONTENT, unit_table=unit) as writer:
        for record in rows:
            writer.write(record)
    return stored(slot)


def joined(folder, sets, *, units=()):
    """Join the sets and return (figures, reader of the result, readers of the sources)."""
    keys = [new_key() for _ in range(len(sets) + 1)]
    slots = [sealed(folder, rows, key, unit=n not in units) for n, (rows, key) in enumerate(zip(sets, keys, strict=False))]
    output = new_slot(folder, "set")
    order = Order(
        job="join.v1",
        run="join-" + "0" * 12,
        tenant=TENANT,
        settings=JoinSettings(names=tuple(f"s{n}" for n in range(len(sets)))),
        inputs=dict(sorted((numbered("set", n), slot) for n, slot in enumerate(slots))),
        outputs={"set": output},
    )
    data = {slot.slot: key for slot, key in zip((*slots, output), keys, strict=True)}
    figures = run(Child(order, Keys(data, {"content": CONTENT}), Host()))
    return figures, SetReader(stored(output), keys[-1]), [SetReader(slot, key) for slot, key in zip(slots, keys, strict=False)]


def test_rows_stand_as_they_were_one_set_after_the_other(tmp_path):
    figures, made, sources = joined(tmp_path, ROWS)
    assert list(made) == [record for rows in ROWS for record in rows]
    assert figures == JoinFigures(rows=9)
    assert JoinFigures.public() == {"rows"}
    assert made.index.content_hmacs.tolist() == [row for one in sources if len(one) for row in one.index.content_hmacs.tolist()]


def test_who_has_rows_in_two_sets_is_one_unit(tmp_path):
    _, made, sources = joined(tmp_path, ROWS)
    assert made.index.units() == 5  # 0, 1, 2, 3 and 9; the third patient of the first set is in the second, too
    assert units_together(made.index) == units_together(*(one.index for one in sources)) == (5, 3)
    ids, counts = made.index.unit_table
    assert {bytes(unit)[-1]: int(count) for unit, count in zip(ids, counts, strict=True)} == {0: 2, 1: 2, 2: 3, 3: 1, 9: 1}


def test_more_sets_than_digits_come_in_order(tmp_path):
    many = [[Record(f"{n:032x}", f"{n:032x}", "s", "text", ("text",), (f"t{n}",))] for n in range(12)]
    _, made, _ = joined(tmp_path, many)
    assert [record.texts[0] for record in made] == [f"t{n}" for n in range(12)]


@pytest.mark.parametrize("units", [(0,), (0, 1)])
def test_without_a_unit_in_every_set_there_is_no_table_of_units(tmp_path, units):
    _, made, _ = joined(tmp_path, ROWS[:2], units=units)
    assert made.index.unit_table is None
