"""Ids, units, ranges, refusals and what crosses the sandbox."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import (
    BadEncoding,
    DuplicateIds,
    EmptyFile,
    IngestError,
    LineTooLong,
    MissingColumn,
    RowsRefused,
)
from ringfence.core.order import Failure
from ringfence.ingest.counts import repeats
from ringfence.ingest.ids import as_id, former_id, unit_id
from ringfence.ingest.importer import Importer
from ringfence.ingest.rows import Row
from ringfence.ingest.settings import REASONS, ImportSettings
from tests.unit.ingest.ingest_tools import KEYS, SECRET, imported

PAIR = {"prompt": "p", "completion": "c"}


def pairs(count, **extra):
    return [{"prompt": f"p{i}", "completion": "c", **{key: value(i) for key, value in extra.items()}} for i in range(count)]


def test_ids_are_hmacs_that_depend_on_row_number_and_content_alone():
    (one, two), _ = imported([PAIR, PAIR])
    assert re.fullmatch("[0-9a-f]{32}", one.id)
    assert one.id != two.id
    assert one.unit == two.unit  # copies are one unit
    assert (one.id, one.unit) == (imported([{**PAIR, "note": "other column"}])[0][0].id, one.unit)
    assert one.source == two.source != imported([PAIR], name="b.jsonl")[0][0].source


def test_explicit_ids_do_not_depend_on_the_row():
    (one, two), _ = imported([{**PAIR, "n": 7}, {**PAIR, "n": "8"}], id_column="n")
    (again,), _ = imported([{"prompt": "other", "completion": "c", "n": " 7 "}], id_column="n")
    (keyed,), _ = imported(json.dumps({"7": PAIR}).encode(), name="a.json")
    assert one.id == again.id == keyed.id != two.id


def test_a_unit_column_gathers_rows_and_stays_in_the_fields():
    records, figures = imported(pairs(7, patient=lambda i: f"P{i % 3}"), unit="patient")
    assert len({record.unit for record in records}) == figures.units == 3
    assert figures.max_rows_per_unit == 3
    assert records[0].unit == unit_id(KEYS, "P0")
    assert records[0].fields == {"patient": "P0"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, "1"),
        ("x ", "x"),
        ("\u00e9", "e\u0301"),
        (17, 17.0),
        ("17", 17.0),
        (17, " 17.0 "),
        ("17", "17.000"),
        (-3, -3.0),
        (0, -0.0),
        (2**53 - 1, float(2**53 - 1)),
    ],
)
def test_spellings_of_one_patient_are_one_unit(a, b):
    assert as_id(a) == as_id(b)
    assert unit_id(KEYS, as_id(a)) == unit_id(KEYS, as_id(b))


@pytest.mark.parametrize(
    "value", [1e16, float(2**53), "9007199254740992.0", 17.5, "017.0", "17.", ".0", "1.10", "1.0.0", "1,0", "17.0a", "9" * 5000 + ".0"]
)
def test_what_is_no_exact_whole_number_is_written_as_it_is(value):
    """Of floats from 2**53 on nobody can tell which whole number they were."""
    assert as_id(value) == str(value)
    assert former_id(value) is None


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_every_exact_float_is_its_whole_number(number):
    assert as_id(float(number)) == as_id(str(float(number))) == as_id(number) == str(number)
    assert former_id(float(number)) == former_id(str(float(number))) == str(float(number))
    assert former_id(number) is None


def test_units_that_earlier_versions_spelt_otherwise_are_known_by_both_spellings():
    importer = Importer(ImportSettings(source="a.jsonl", unit="u"), KEYS)
    units = [record.unit for record in importer.records(Row(n, {**PAIR, "u": value}) for n, value in enumerate((17, 17.0, 18.0, "x"), 1))]
    assert units == [unit_id(KEYS, one) for one in ("17", "17", "18", "x")]
    assert importer.former_units == b"".join(sorted(bytes.fromhex(unit_id(KEYS, one)) for one in ("17.0", "18.0")))


@pytest.mark.parametrize(
    ("value", "reason"), [(None, "null-unit"), ("", "null-unit"), ("  ", "null-unit"), (True, "wrong-type"), ([1], "wrong-type")]
)
def test_null_units_are_refused_at_import(value, reason):
    with pytest.raises(RowsRefused) as caught:
        imported([{**PAIR, "u": "a"}, {**PAIR, "u": value}], unit="u")
    assert caught.value.facts == {"rows": 2, "refused": 1, reason.replace("-", "_"): 1, f"rows_{reason.replace('-', '_')}": (2,)}


def test_a_row_without_unit_column_is_a_null_unit():
    assert imported([{**PAIR, "u": "a"}, PAIR], unit="u", skip_bad=True)[1].reasons == {"null-unit": 1}


@pytest.mark.parametrize(
    ("settings", "which", "option"),
    [({"mapping": {"prompt": "Q", "completion": "c"}}, 0, "--map"), ({"unit": "u"}, 1, "--unit"), ({"id_column": "i"}, 2, "--id")],
)
def test_a_column_that_is_nowhere_is_missing(settings, which, option):
    with pytest.raises(MissingColumn) as caught:
        imported([{"c": "x", **PAIR}], skip_bad=True, **settings)
    assert caught.value.facts == {"which": which}
    assert option in caught.value.sentences("en")[0]
    assert option in caught.value.sentences("zh")[1]


def test_duplicates_are_counted_and_duplicate_ids_refused():
    assert imported([PAIR, PAIR, {**PAIR, "prompt": "q"}])[1].duplicates == 1
    with pytest.raises(DuplicateIds) as caught:
        imported([{**PAIR, "n": 1}, {**PAIR, "n": 2}, {**PAIR, "n": 1}], id_column="n")
    assert caught.value.facts == {"count": 1}


@pytest.mark.parametrize(("rows", "wanted"), [("1:1", [0]), ("2:4", [1, 2, 3]), ("9:99", [8, 9])])
def test_rows_takes_both_ends(rows, wanted):
    records, figures = imported(pairs(10), rows=rows)
    assert [record.texts[0] for record in records] == [f"p{i}" for i in wanted]
    assert figures.rows == len(wanted)


def test_rows_outside_the_range_are_not_looked_at():
    bad = b"{broken\n"
    data = bad + json.dumps(PAIR).encode() + b"\n" + bad
    assert imported(data, rows="2:2")[1].refused == 0
    with pytest.raises(EmptyFile):
        imported(data, rows="4:9")


@pytest.mark.parametrize(("skip_bad", "yielded"), [(False, ["p1"]), (True, ["p1", "p3"])])
def test_nothing_is_yielded_after_a_refused_row_unless_it_is_skipped(skip_bad, yielded):
    importer = Importer(ImportSettings(source="a.jsonl", skip_bad=skip_bad), KEYS)
    rows = [Row(1, {**PAIR, "prompt": "p1"}), Row(2, problem="broken-json"), Row(3, {**PAIR, "prompt": "p3"})]
    assert [record.texts[0] for record in importer.records(rows)] == yielded


def test_refusals_are_counted_with_their_reasons():
    data = json.dumps(PAIR).encode() + b"\n{broken " + SECRET.encode() + b"\n[1]\n{broken\n" + json.dumps(PAIR).encode()
    with pytest.raises(RowsRefused) as caught:
        imported(data)
    counts = {"broken_json": 2, "rows_broken_json": (2, 4), "not_an_object": 1, "rows_not_an_object": (3,)}
    assert caught.value.facts == {"rows": 5, "refused": 3, **counts}
    what, _ = caught.value.sentences("en")
    assert "3 of 5 rows" in what
    assert "broken JSON (2: rows 2, 4); the row is not a JSON object (row 3)" in what
    assert "JSON 损坏（2 行：第 2、4 行）；该行不是 JSON 对象（第 3 行）" in caught.value.sentences("zh")[0]
    assert SECRET not in str(caught.value)


def test_ten_row_numbers_of_each_reason_are_told():
    with pytest.raises(RowsRefused) as caught:
        imported(b"{broken\n" * 12 + b"[1]\n" * 10)
    what, _ = caught.value.sentences("en")
    assert "broken JSON (12: rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …); the row" in what
    assert what.endswith("object (10: rows 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)")


def test_skip_bad_imports_the_others_on_record():
    data = json.dumps(PAIR).encode() + b"\n{broken\n" + "张".encode("gb18030") + b"\n" + json.dumps(PAIR).encode()
    records, figures = imported(data, skip_bad=True)
    assert [figures.rows, figures.refused, len(records)] == [2, 2, 2]
    assert figures.reasons == {"broken-json": 1, "bad-encoding": 1}
    assert figures.row_numbers == {"broken-json": (2,), "bad-encoding": (3,)}


def test_skip_bad_does_not_make_an_empty_set():
    with pytest.raises(RowsRefused):
        imported(b"{broken\n", skip_bad=True)


@pytest.mark.parametrize(("line", "error"), [("张".encode("gb18030"), BadEncoding), (b"x" * 101, LineTooLong)])
def test_encoding_and_length_have_errors_of_their_own(line, error):
    with pytest.raises(error) as caught:
        imported(json.dumps(PAIR).encode() + b"\n" + line, limit=100)
    assert caught.value.facts["first"] == 2


def test_only_shape_and_size_are_public():
    _, figures = imported([PAIR])
    assert figures.public() == {"rows", "refused", "units", "format", "layout"}
    assert type(figures).model_validate(figures.model_dump(), context={"vocabulary": REASONS}) == figures


def test_every_ingest_error_that_crosses_is_told_by_numbers_alone():
    facts = {
        "RowsRefused": {"rows": 9, "refused": 1, "empty": 1, "rows_empty": (3,)},
        "MissingColumn": {"which": 2},
        "LineTooLong": {"first": 1, "limit": 5},
        "BadEncoding": {"first": 1},
        "DuplicateIds": {"count": 2},
        "DocumentBroken": {"first": 4},
        "ParquetBroken": {"first": 4},
        "ParquetColumn": {"column": 2},
    }
    for cls in IngestError.__subclasses__():
        if cls.crosses:
            crossed = Failure(error=cls.__name__, at="ringfence.ingest.job:1", facts=facts.get(cls.__name__, {}))
            for language in ("en", "zh"):
                assert all(cls(**crossed.facts).sentences(language))


def test_a_hostile_fact_is_no_crash():
    assert all(RowsRefused(rows=1, refused=1, rows_nothing=(10**9,), empty=-1, rows_empty=7).sentences())


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=60), st.lists(st.integers(0, 5), max_size=60))
def test_repeats_agrees_with_counting(pool, picks):
    import numpy as np

    ids = pool + [pool[i] for i in picks if i < len(pool)]
    found = repeats(np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16))
    heads = [value[:8] for value in ids]
    assert found == (len(ids) - len(set(heads)), max(map(heads.count, heads), default=0))


def test_repeats_agrees_across_chunks(monkeypatch):
    import numpy as np

    from ringfence.ingest import counts

    monkeypatch.setattr(counts, "_CHUNK", 3)
    ids = np.repeat(np.arange(9, dtype=np.uint64), [1, 4, 1, 7, 2, 1, 1, 3, 8])
    wide = np.zeros((len(ids), 16), np.uint8)
    wide[:, :8] = ids[:, None].view(np.uint8)
    assert repeats(wide) == (28 - 9, 8)
