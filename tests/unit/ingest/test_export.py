"""What an export writes is read back as the same records, in either format and every layout."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import ObjectBroken
from ringfence.core.records import Record
from ringfence.ingest.ids import IdKeys, exported_unit, unit_id
from ringfence.ingest.job import export
from ringfence.ingest.job import run as import_run
from ringfence.ingest.settings import ExportSettings, ImportSettings
from ringfence.ingest.writers import WRITERS, columns
from tests.unit.ingest.ingest_tools import KEYS, child, imported, made

pytest.importorskip("pyarrow")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TURN = st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), ANY)
CALL = ANY.map(lambda text: {"role": "function_call", "content": json.dumps({"name": "f", "arguments": {"x": text}})})
LAYOUTS = {
    "text": st.fixed_dictionaries({"text": TEXT}),
    "pair": st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}, optional={"system": ANY}),
    "preference": st.fixed_dictionaries(
        {"prompt": TEXT, "chosen": TEXT, "rejected": TEXT},
        optional={"input": ANY, "system": ANY, "history": st.lists(st.tuples(ANY, ANY).map(list), max_size=3)},
    ),
    "feedback": st.fixed_dictionaries(
        {"prompt": TEXT, "completion": TEXT, "label": st.booleans()},
        optional={"system": ANY, "history": st.lists(st.tuples(ANY, ANY).map(list), max_size=3)},
    ),
    "feedback-messages": st.tuples(st.lists(TURN, max_size=3), st.booleans()).map(
        lambda drawn: {
            "messages": [{"role": role, "content": text} for role, text in [("user", "甲"), *drawn[0], ("assistant", "x")]],
            "label": drawn[1],
        }
    ),
    "alpaca": st.fixed_dictionaries(
        {"instruction": TEXT, "output": TEXT},
        optional={"input": ANY, "system": ANY, "history": st.lists(st.tuples(ANY, ANY).map(list), max_size=3)},
    ),
    "preference of calls": st.fixed_dictionaries({"prompt": TEXT, "chosen": CALL, "rejected": TEXT | CALL}),
    "feedback-messages on a call": st.tuples(CALL, st.booleans()).map(
        lambda drawn: {"messages": [{"role": "user", "content": "甲"}, drawn[0]], "label": drawn[1]}
    ),
    "messages with tools": st.tuples(st.lists(TURN, max_size=2), st.lists(ANY, min_size=1, max_size=2), st.none() | TEXT).map(
        lambda drawn: {
            "messages": [
                *({"role": role, "content": text} for role, text in [("user", "甲"), *drawn[0]]),
                {
                    "role": "assistant",
                    "content": drawn[2],
                    "tool_calls": [{"function": {"name": "f", "arguments": {"x": text}}} for text in drawn[1]],
                },
                {"role": "tool", "content": "丙"},
                {"role": "assistant", "content": "x"},
            ],
            "tools": [{"name": text} for text in drawn[1]],
        }
    ),
    "messages": st.lists(TURN, max_size=4).map(
        lambda turns: {
            "messages": [
                {"role": role, "content": text} for role, text in [("system", ""), ("user", "甲"), *turns, ("tool", ""), ("assistant", "x")]
            ]
        }
    ),
}


def written(records, layout, file_format):
    parts = []
    WRITERS[file_format]((columns(record, layout) for record in records), layout, parts.append, unit=False)
    return b"".join(parts)


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_records_come_back_as_they_were(layout, file_format, data):
    rows = data.draw(st.lists(LAYOUTS[layout], min_size=1, max_size=6))
    layout, *_ = layout.split()
    records, _ = imported(rows, layout=layout)
    named = layout if layout.startswith("feedback") else "auto"  # whether a column called label judges answers, a person must say
    again, figures = imported(written(records, layout, file_format), name=f"x.{file_format}", layout=named)
    assert figures.layout == layout
    assert [record.content() for record in again] == [record.content() for record in records]
    assert [(r.kind, r.roles, r.texts) for r in again] == [(r.kind, r.roles, r.texts) for r in records]


def test_a_record_of_another_layout_is_not_bent_into_one():
    record = Record("0" * 32, "1" * 32, "s", "messages", ("user", "assistant", "tool"), ("a", "b", "c"))
    with pytest.raises(ValueError, match="layout"):
        columns(record, "pair")


# ── units ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
def test_a_unit_is_known_again_by_its_own_workspace_alone(unit, salt):
    told = exported_unit(KEYS, unit.hex(), salt=salt.hex())
    assert unit_id(KEYS, told) == unit.hex()
    assert unit.hex() not in told
    stranger = IdKeys(record=b"r" * 32, unit=b"v" * 32)
    assert unit_id(stranger, told) not in (unit.hex(), told)
    changed = told[:-1] + ("0" if told[-1] != "0" else "1")
    assert unit_id(KEYS, changed) != unit.hex()
    assert exported_unit(KEYS, unit.hex(), salt="0" * 16) != exported_unit(KEYS, unit.hex(), salt="1" * 16)


# ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS = [{"prompt": f"第{n}例\n咳嗽", "completion": f"rest {n}", "patient_id": f"P{n // 3}", "ward": "东区"} for n in range(40)]


class Ear:
    def __init__(self):
        self.parts, self.said = [], []

    def progress(self, progress):
        self.said.append(progress)

    def say(self, text):
        assert len(text) < 1 << 20
        self.parts.append(base64.b64decode(json.loads(text)["data"]))


def sealed(tmp_path, rows, *, unit="patient_id", layout="auto", name="notes.jsonl", data=None):
    source = tmp_path / name
    source.write_bytes(data if data is not None else b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    job = child("import.v1", ImportSettings(source=name, unit=unit, layout=layout), tmp_path, files={"source": str(source)})
    import_run(job)
    return made(job, "set")


def exported(tmp_path, thing, **changes):
    job = child("export.v1", ExportSettings(**{"format": "jsonl", "layout": "pair"} | changes), tmp_path, inputs={"set": thing}, outputs=())
    ear = Ear()
    object.__setattr__(job, "channel", ear)
    figures = export(job)
    data = b"".join(ear.parts)
    assert figures.bytes == len(data)
    return data, figures, ear


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_units_are_the_same_ones_after_a_second_import(tmp_path, file_format):
    from ringfence.vault.sets import SetReader

    first = sealed(tmp_path, ROWS)
    data, figures, ear = exported(tmp_path, first, format=file_format)
    assert (figures.rows, figures.has_unit) == (40, True)
    assert ear.said[0].phase == "write"
    assert b"P0" not in data
    assert "东区".encode() not in data  # other columns stay sealed
    again = sealed(tmp_path, None, unit="unit", name=f"again.{file_format}", data=data)
    before, after = (list(SetReader(*thing)) for thing in (first, again))
    assert [(r.unit, r.texts) for r in after] == [(r.unit, r.texts) for r in before]
    assert len({r.unit for r in after}) == 14


def test_without_units_rows_do_not_say_what_belongs_together(tmp_path):
    thing = sealed(tmp_path, ROWS)
    data, figures, _ = exported(tmp_path, thing, unit=False)
    assert not figures.has_unit
    assert json.loads(data.splitlines()[0]) == {"prompt": "第0例\n咳嗽", "completion": "rest 0"}
    _, figures, _ = exported(tmp_path, sealed(tmp_path, ROWS, unit=None))
    assert not figures.has_unit  # nobody chose one


def test_two_exports_do_not_tell_that_they_speak_of_the_same_people(tmp_path):
    thing = sealed(tmp_path, ROWS)
    one, two = ({json.loads(line)["unit"] for line in exported(tmp_path, thing)[0].splitlines()} for _ in range(2))
    assert len(one) == len(two) == 14
    assert not one & two


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_large_set_is_said_in_parts_and_in_groups(tmp_path, file_format):
    rows = [{"text": f"{n} " + "长" * 4_000} for n in range(1_000)]
    data, _, ear = exported(tmp_path, sealed(tmp_path, rows, unit=None), layout="text", format=file_format)
    again, _ = imported(data, name=f"x.{file_format}")
    assert [r.texts[0] for r in again] == [row["text"] for row in rows]
    assert len(ear.parts) > 1 or file_format == "parquet"
    if file_format == "parquet":
        import io

        from pyarrow import parquet

        assert parquet.ParquetFile(io.BytesIO(data)).num_row_groups == 2


def test_a_broken_set_is_no_file(tmp_path):
    slot, key = sealed(tmp_path, ROWS)
    shard = next(path for path in sorted((tmp_path / slot.slot).iterdir()) if path.name.endswith(".shard"))
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ObjectBroken):
        exported(tmp_path, (slot, key))
