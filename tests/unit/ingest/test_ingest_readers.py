"""Every format yields the same rows; every way to break a file has its reason or its error, with a row number and no text."""

import csv
import io
import json

import ijson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import BadEncoding, DocumentBroken, EmptyFile, LineTooLong, UnknownFormat
from ringfence.ingest.readers import read, sniff
from tests.unit.ingest.ingest_tools import SECRET

ROWS = [{"text": 'first, with "quotes"'}, {"text": "二\n行"}, {"text": "3"}]


def rows_of(data, name="file", **options):
    file = io.BytesIO(data)
    return list(read(file, sniff(file, name, **options), **{k: v for k, v in options.items() if k == "limit"}))


def problems(data, name="file", **options):
    return [(row.number, row.problem) for row in rows_of(data, name, **options)]


def as_csv(rows, **dialect):
    out = io.StringIO(newline="")
    table = csv.DictWriter(out, list(rows[0]), **dialect)
    table.writeheader()
    table.writerows(rows)
    return out.getvalue().encode()


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("name", "data", "reader"),
    [
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)).encode(), "jsonl"),
        ("a.json", "\n".join(map(json.dumps, ROWS)).encode(), "jsonl"),
        ("a.json", json.dumps(ROWS).encode(), "json"),
        ("a", json.dumps(ROWS, indent=2).encode(), "json"),
        ("a.json", json.dumps({str(i): row for i, row in enumerate(ROWS)}).encode(), "json-object"),
        ("a.json", json.dumps({str(i): row for i, row in enumerate(ROWS)}, indent=1).encode(), "json-object"),
        ("a.csv", as_csv(ROWS), "csv"),
        ("a.tsv", as_csv(ROWS, delimiter="\t"), "csv"),
    ],
)
def test_formats_are_recognised_and_yield_the_same_rows(name, data, reader, bom):
    assert sniff(io.BytesIO(bom + data), name) == reader
    rows = rows_of(bom + data, name)
    assert [row.value for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 2, 3]
    assert [row.key for row in rows] == (["0", "1", "2"] if reader == "json-object" else [None] * 3)


def test_one_object_on_one_line_is_a_row_unless_all_its_values_are_rows():
    assert sniff(io.BytesIO(b'{"prompt": "a", "completion": "b"}\n'), "a.json") == "jsonl"
    assert sniff(io.BytesIO(b'{"17": {"prompt": "a"}}'), "a.json") == "json-object"


def test_text_is_one_record_a_line_and_blank_lines_keep_their_numbers():
    assert [(row.number, row.value["text"]) for row in rows_of("甲\r\n\r\n  乙\n".encode(), "a.txt")] == [(1, "甲"), (3, "  乙")]


def test_a_named_format_beats_the_ending():
    assert sniff(io.BytesIO(b"[1]\n"), "a.json", named="text") == "text"


@pytest.mark.parametrize(
    ("data", "error"), [(b"", EmptyFile), (b" \n\n", EmptyFile), (b"\xef\xbb\xbf \n", EmptyFile), (b"hello", UnknownFormat)]
)
def test_files_without_rows(data, error):
    with pytest.raises(error):
        rows_of(data)


@pytest.mark.parametrize("data", ["中文".encode("utf-16"), b"\xff\xfe\0\0"])
def test_utf_16_is_named_as_what_it_is(data):
    with pytest.raises(BadEncoding):
        rows_of(data, "a.jsonl")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": ' + SECRET.encode(), "broken-json"),
        (b'{"text": NaN}', "broken-json"),
        (b'{"text": 1e999}', "broken-json"),
        (b"[" * 5_000, "broken-json"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "broken-json"),
        ("{'a': '张'}".encode("gb18030"), "bad-encoding"),
        (b'{"text": "' + b"x" * 5_000 + b'"}', "too-long"),
    ],
)
def test_a_bad_json_line_costs_one_row(line, problem):
    data = b'{"text": "a"}\n\n' + line + b'\n{"text": "b"}'
    assert problems(data, "a.jsonl", limit=4_000 if problem == "too-long" else 16 << 20) == [(1, None), (3, problem), (4, None)]


def test_an_overlong_last_line_without_end_is_one_bad_row():
    assert problems(b'{"text": "a"}\n' + b"x" * 100, "a.jsonl", limit=50) == [(1, None), (2, "too-long")]


@pytest.mark.parametrize(
    ("data", "error", "first"),
    [
        (b'[{"a": 1}, {"b": ' + SECRET.encode(), DocumentBroken, 2),
        (b'[{"a": 1}, {"b": 2}', DocumentBroken, 3),
        (b'[{"a": 1}] tail', DocumentBroken, 2),
        (b'{"k": {"a": 1},\n "l": [', DocumentBroken, 2),
        ('[{"a": "b"}, {"a": "张"}]'.encode("gb18030"), BadEncoding, 2),
        (b'[{"a": "b"}, {"a": "' + b"x" * 300_000 + b'"}]', LineTooLong, 2),
    ],
)
def test_a_broken_document_is_refused_with_the_row(data, error, first):
    with pytest.raises(error) as caught:
        rows_of(data, "a.json", limit=100_000)
    assert caught.value.facts["first"] == first
    assert SECRET[:4] not in repr(caught.value.__context__) + repr(caught.value.__cause__) + str(caught.value)


def test_numbers_of_documents_are_floats_and_unbounded_integers():
    (row,) = rows_of(b'[{"a": 1.5, "b": [12345678901234567890123], "c": "\\ud83d\\ude00"}]', "a.json")
    assert row.value == {"a": 1.5, "b": [12345678901234567890123], "c": "😀"}
    assert type(row.value["a"]) is float


@pytest.mark.parametrize(
    ("cells", "problem"),
    [(b"1,2,3", "broken-csv"), (b"1", "broken-csv"), (b'"a"b,2', "broken-csv"), ("张,2".encode("gb18030"), "bad-encoding")],
)
def test_a_bad_csv_row_costs_one_row(cells, problem):
    assert problems(b"a,b\n1,2\n" + cells + b'\n\n"x\ny",4\n', "a.csv") == [(1, None), (2, problem), (3, None)]


@pytest.mark.parametrize(
    ("data", "error", "first"),
    [
        (b'a,b\n1,2\n"open,2\n3,4\n', DocumentBroken, 2),
        (b"a,a\n1,2\n", DocumentBroken, 1),
        ("姓名,b\n1,2\n".encode("gb18030"), BadEncoding, 1),
        (b"a,b\n1,2\n" + b"x" * 200 + b",3\n", LineTooLong, 2),
        (b'a,b\n1,2\n"' + b"x\n" * 200, LineTooLong, 2),
    ],
)
def test_a_csv_file_whose_rows_cannot_be_told_apart_is_refused(data, error, first):
    with pytest.raises(error) as caught:
        rows_of(data, "a.csv", limit=100)
    assert caught.value.facts["first"] == first


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers() | st.none() | st.lists(st.text(), max_size=2)), max_size=6)
)
def test_an_array_and_lines_agree_with_the_standard_library(rows):
    data = json.dumps(rows, ensure_ascii=True).encode()
    if "\\ud8" not in data.decode() and rows:  # lone surrogates: ijson replaces them, the import refuses them
        assert [row.value for row in rows_of(data, "a.json")] == rows
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if rows:
        assert [row.value for row in rows_of(lines, "a.jsonl")] == rows


def test_the_parser_is_the_fast_one():
    assert ijson.get_backend("yajl2_c").backend == "yajl2_c"
