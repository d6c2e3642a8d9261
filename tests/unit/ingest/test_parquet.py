"""A Parquet file gives the records that the same rows give as JSON Lines; whatever is wrong with it has its error, with numbers and no text."""

import datetime as dt
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import BadEncoding, EmptyFile, ParquetBroken, ParquetColumn, ParquetMissing, RingfenceError, RowsRefused
from ringfence.ingest import parquet as reading
from ringfence.ingest.readers import read, sniff
from tests.unit.ingest.ingest_tools import SECRET, imported

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def as_parquet(rows, schema=None, **options):
    out = io.BytesIO()
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, out, **options)
    return out.getvalue()


def rows_of(data, limit=16 << 20):
    file = io.BytesIO(data)
    return list(read(file, sniff(file, "rows.parquet"), limit=limit))


NOTES = [{"prompt": f"第{n}例：咳嗽", "completion": f"rest {n}", "patient_id": f"P{n // 2}", "age": n, "ok": n % 2 == 0} for n in range(50)]
TALKS = [{"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}", "name": None}]} for n in range(9)]


@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 7}, {"compression": "zstd", "use_dictionary": False}, {"data_page_version": "2.0"}]
)
@pytest.mark.parametrize(("rows", "asked"), [(NOTES, {"unit": "patient_id"}), (TALKS, {})])
def test_the_same_rows_give_the_same_records(rows, asked, options):
    want, figures = imported(rows, **asked)
    got, more = imported(as_parquet(rows, **options), name="notes.parquet", **asked)
    assert [r.content() for r in got] == [r.content() for r in want]
    assert [(r.id, r.unit, r.fields) for r in got] == [(r.id, r.unit, r.fields) for r in want] or asked == {}
    assert more.model_copy(update={"format": "jsonl"}) == figures
    assert more.format == "parquet"


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.none()), min_size=1, max_size=30),
    group=st.integers(1, 9),
)
def test_texts_come_back_as_they_were(values, group):
    rows = [{"text": value, "n": n} for n, value in enumerate(values)]
    data = as_parquet(rows, pa.schema([("text", pa.string()), ("n", pa.int64())]), row_group_size=group)
    assert [row.value for row in rows_of(data)] == rows
    assert [row.number for row in rows_of(data)] == list(range(1, len(rows) + 1))


def test_types_become_what_json_lines_would_hold():
    time = dt.datetime.fromisoformat("2024-05-06T07:08:09.123456")
    table = pa.table(
        {
            "text": pa.array(["甲", "乙"]).dictionary_encode(),
            "day": pa.array([dt.date(2024, 1, 2), None]),
            "naive": pa.array([time, None], pa.timestamp("ns")),
            "zoned": pa.array([time, None], pa.timestamp("us", "Asia/Shanghai")),
            "price": pa.array(["1.50", None]).cast(pa.decimal128(9, 2)),
            "weight": pa.array([1.5, float("nan")]),
            "tags": pa.array([["a", "b"], []]),
            "by": pa.array([[("x", 1)], []], pa.map_(pa.string(), pa.int64())),
            "in": pa.array([{"p": "a", "q": None}, None]),
        }
    )
    first, second = (row.value for row in rows_of(as_parquet(table)))
    assert first == {
        "text": "甲",
        "day": "2024-01-02",
        "naive": "2024-05-06T07:08:09.123456",
        "zoned": "2024-05-06T07:08:09.123456Z",
        "price": 1.5,
        "weight": 1.5,
        "tags": ["a", "b"],
        "by": {"x": 1},
        "in": {"p": "a"},
    }
    assert second == {
        "text": "乙",
        "day": None,
        "naive": None,
        "zoned": None,
        "price": None,
        "weight": None,
        "tags": [],
        "by": [],
        "in": None,
    }
    json.dumps([first, second])


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.duration("s"),
        pa.list_(pa.binary()),
        pa.struct([("at", pa.timestamp("us", "UTC"))]),
        pa.list_(pa.timestamp("ns")),
        pa.time64("us"),
    ],
)
def test_a_column_that_no_record_can_hold_is_named_by_its_number(kind):
    table = pa.table({"text": [SECRET], "other": pa.array([None], kind)})
    with pytest.raises(ParquetColumn) as caught:
        rows_of(as_parquet(table))
    assert caught.value.facts == {"column": 2}


@pytest.mark.parametrize("keep", [4, 20, 400, 0.5, 0.99, -1])
def test_a_file_that_is_cut_off(keep):
    data = as_parquet(NOTES)
    with pytest.raises(ParquetBroken) as caught:
        rows_of(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    assert caught.value.facts == {"first": 1}
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_damage_in_the_middle_is_found_where_it_is():
    data = bytearray(
        as_parquet([{"text": SECRET + str(n) * 50} for n in range(3_000)], row_group_size=1_000, compression="snappy", use_dictionary=False)
    )
    start = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 60] = bytes(60)
    with pytest.raises(ParquetBroken) as caught:
        rows_of(bytes(data))
    assert caught.value.facts == {"first": 1_001}
    assert SECRET not in repr(caught.value)


@settings(max_examples=150, deadline=None)
@given(cuts=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_damage_is_an_error_or_rows(cuts):
    data = bytearray(as_parquet(NOTES[:20], row_group_size=5))
    for place, value in cuts:
        data[int(place * len(data))] = value
    try:
        rows = rows_of(bytes(data))
    except (RingfenceError, MemoryError):
        return
    assert all(row.problem is not None or isinstance(row.value, dict) for row in rows)


def test_two_columns_of_one_name():
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(ParquetBroken):
        rows_of(as_parquet(table))


def test_bytes_that_are_no_text_cost_their_row_alone():
    good, bad = b"fine", b"\xff\xfe" + SECRET.encode()
    column = pa.Array.from_buffers(pa.string(), 3, pa.array([good, bad, good], pa.binary()).buffers())
    data = as_parquet(pa.table({"text": column}))
    assert [(row.number, row.problem) for row in rows_of(data)] == [(1, None), (2, "bad-encoding"), (3, None)]
    with pytest.raises(BadEncoding):
        imported(data, name="a.parquet")
    records, figures = imported(data, name="a.parquet", skip_bad=True)
    assert (len(records), figures.refused) == (2, 1)


def test_infinite_numbers_and_long_rows_are_refused():
    rows = [{"text": "a", "n": 1.0}, {"text": "b", "n": float("inf")}, {"text": "c" * 100, "n": 2.0}]
    assert [row.problem for row in rows_of(as_parquet(rows), limit=60)] == [None, "broken-json", "too-long"]
    with pytest.raises(RowsRefused):
        imported(as_parquet(rows), name="a.parquet")


def test_the_file_says_what_it_is_whatever_it_is_called():
    assert sniff(io.BytesIO(as_parquet(NOTES)), "rows") == "parquet"
    assert sniff(io.BytesIO(as_parquet(NOTES)), "rows.json") == "parquet"


def test_no_rows():
    with pytest.raises(EmptyFile):
        imported(as_parquet([], pa.schema([("text", pa.string())])), name="a.parquet")


def test_without_the_library(monkeypatch):
    monkeypatch.setattr(reading, "find_spec", lambda _name: None)
    with pytest.raises(ParquetMissing):
        rows_of(as_parquet(NOTES))


def test_rows_are_decoded_a_few_megabytes_at_a_time(monkeypatch):
    """One row group of 60 MB: what Arrow holds at once is a fraction of it."""
    rows = [{"text": f"{n}" + "长" * 2_000} for n in range(10_000)]
    data = as_parquet(rows, use_dictionary=False, compression="none", row_group_size=10_000)
    del rows
    before, most = pa.total_allocated_bytes(), 0
    for n, row in enumerate(read(io.BytesIO(data), "parquet")):
        if n % 100 == 0:
            most = max(most, pa.total_allocated_bytes() - before)
        assert row.problem is None
    assert n == 9_999
    assert most < 24 << 20
