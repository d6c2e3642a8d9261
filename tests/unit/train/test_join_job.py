"""The child half of join, on sealed sets in a folder: rows as they are, one set after the other, and one person is one unit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringfence.core.lineage import numbered
from ringfence.core.order import Child, Keys, Order
from ringfence.core.records import Record
from ringfence.train.join import mixed, run
from ringfence.train.settings import Cut, JoinFigures, JoinSettings
from ringfence.vault.index import units_together
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.deid.test_deid_job import CONTENT, TENANT, Host, new_key, new_slot, stored

ROWS = [
    [Record(f"{n:032x}", f"{n // 2:032x}", "clinic", "pair", ("user", "assistant"), (f"p{n}", f"c{n}"), {"ward": n}) for n in range(5)],
    [Record(f"{n + 50:032x}", f"{n % 2 + 2:032x}", "ward", "text", ("text",), (f"t{n}",)) for n in range(3)],
    [],
    [Record(f"{0:032x}", f"{9:032x}", "lab", "text", ("text",), ("last",))],
]

WHOLE = Cut()


def sealed(folder, rows, key, *, unit=True):
    slot = new_slot(folder, "set")
    with SetWriter(slot, key, CONTENT, unit_table=unit) as writer:
        for record in rows:
            writer.write(record)
    return stored(slot)


def joined(folder, sets, *, units=(), cut=WHOLE):
    """Join the sets and return (figures, reader of the result, readers of the sources); with rows held out, their reader is the last of the sources."""
    keys = [new_key() for _ in range(len(sets) + 2)]
    slots = [sealed(folder, rows, key, unit=n not in units) for n, (rows, key) in enumerate(zip(sets, keys, strict=False))]
    outputs = {role: new_slot(folder, "set") for role in ("set", "evaluation") if role == "set" or cut.held_out}
    order = Order(
        job="join.v1",
        run="join-" + "0" * 12,
        tenant=TENANT,
        settings=JoinSettings(names=tuple(f"s{n}" for n in range(len(sets))), cut=cut),
        inputs=dict(sorted((numbered("set", n), slot) for n, slot in enumerate(slots))),
        outputs=outputs,
    )
    of_slot = dict(zip([slot.slot for slot in (*slots, *outputs.values())], keys, strict=False))
    figures = run(Child(order, Keys(of_slot, {"content": CONTENT}), Host()))
    made, *held_out = [SetReader(stored(slot), of_slot[slot.slot]) for slot in outputs.values()]
    return figures, made, [*(SetReader(slot, of_slot[slot.slot]) for slot in slots), *held_out]


def test_rows_stand_as_they_were_one_set_after_the_other(tmp_path):
    figures, made, sources = joined(tmp_path, ROWS)
    assert list(made) == [record for rows in ROWS for record in rows]
    assert figures == JoinFigures(rows=9)
    assert JoinFigures.public() == {"rows", "held_out"}
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


def test_of_each_set_the_first_rows_are_taken(tmp_path):
    figures, made, _ = joined(tmp_path, ROWS, cut=Cut(most=2))
    assert [record.texts[0] for record in made] == ["p0", "p1", "t0", "t1", "last"]
    assert figures == JoinFigures(rows=5)
    assert [len(one) for one in made.index.unit_table] == [4, 4]  # two rows of the first set are one person's


@pytest.mark.parametrize(("held_out", "least", "most"), [(0.5, 4, 5), (3, 2, 3), (0.01, 1, 1), (8, 7, 8)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_of_a_person_are_held_out_together_and_none_is_lost(tmp_path, held_out, least, most, seed):
    figures, made, (*_, evaluation) = joined(tmp_path, ROWS, cut=Cut(held_out=held_out, seed=seed))
    assert sorted(record.id for one in (made, evaluation) for record in one) == sorted(record.id for rows in ROWS for record in rows)
    assert not {record.unit for record in made} & {record.unit for record in evaluation}
    assert figures == JoinFigures(rows=len(made), held_out=len(evaluation))
    assert least <= len(evaluation) <= most
    assert len(made)


def test_the_seed_draws_who_is_held_out(tmp_path):
    drawn = []
    for seed in (1, 1, 2, 3, 4):
        folder = tmp_path / str(len(drawn))
        folder.mkdir()
        drawn.append(frozenset(record.unit for record in joined(folder, ROWS, cut=Cut(held_out=3, seed=seed))[2][-1]))
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("seed", range(6))
def test_somebody_with_most_of_the_rows_is_learned_from_and_where_all_have_too_many_the_smallest_is_held_out(tmp_path, seed):
    big = [Record(f"{n:032x}", f"{0 if n < 36 else n:032x}", "s", "text", ("text",), (f"t{n}",)) for n in range(40)]
    figures, _, _ = joined(tmp_path, [big], cut=Cut(held_out=0.1, seed=seed))
    assert figures == JoinFigures(rows=36, held_out=4)
    folder = tmp_path / "two"
    folder.mkdir()
    figures, _, _ = joined(folder, [big[:36] + [replace(one, unit="f" * 32) for one in big[36:]]], cut=Cut(held_out=1, seed=seed))
    assert figures == JoinFigures(rows=36, held_out=4)


MIXES = [  # sets' lengths, shares, seed, rows of each: what datasets 5.2 takes (tests/oracles/test_interleave.py)
    ((3, 4, 5), (), 42, [3, 3, 3]),
    ((3, 4, 5), (0.7, 0.2, 0.1), 42, [3, 2, 0]),
    ((40, 1, 9), (0.5, 0.0, 0.5), 7, [8, 0, 9]),
    ((3_000, 2_000, 1_500), (0.7, 0.2, 0.1), 42, [3_000, 847, 435]),
]


@pytest.mark.parametrize(("lengths", "shares", "seed", "taken"), MIXES, ids=str)
def test_a_mix_ends_with_the_first_set_that_does(lengths, shares, seed, taken):
    assert mixed(lengths, Cut(is_mixed=True, shares=shares, seed=seed)) == taken


def test_a_mix_takes_the_first_rows_of_each_set(tmp_path):
    figures, made, _ = joined(tmp_path, ROWS[:2], cut=Cut(is_mixed=True))
    assert list(made) == [*ROWS[0][:3], *ROWS[1][:3]]
    assert figures == JoinFigures(rows=6)
    few = joined(tmp_path, ROWS[:2], cut=Cut(is_mixed=True, most=2))[1]
    assert list(few) == [*ROWS[0][:2], *ROWS[1][:2]]
    assert not Cut(is_mixed=True).is_whole
    assert not len(joined(tmp_path, [ROWS[0], ROWS[2]], cut=Cut(is_mixed=True, shares=(0.5, 0.5)))[1])
