"""Rows of a file, whatever its format: JSON Lines, a JSON array, a JSON object of rows, CSV, text, Parquet. Streamed.

A row that cannot be read is a `Row` with a reason. What makes the rest of the file unreadable raises.
Parsers quote the text that they stumble on, so their exceptions are never chained: errors are raised after the handler is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, Literal

import ijson

from ringfence.core.errors import BadEncoding, DocumentBroken, EmptyFile, RingfenceError, UnknownFormat
from ringfence.ingest.lines import BoundedSource, bounded_lines, skip_bom
from ringfence.ingest.parquet import MAGIC, read_parquet
from ringfence.ingest.rows import Row, plain
from ringfence.ingest.settings import LINE_LIMIT, FileFormat, Format
from ringfence.ingest.tables import read_csv

Reader = Literal["json", "json-object", "jsonl", "csv", "text", "parquet"]
_ENDINGS: dict[str, Reader] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".md": "text",
    ".parquet": "parquet",
}
_BLOCK = 1 << 16  # bytes
_JSON = ijson.get_backend("yajl2_c")


def sniff(file: BinaryIO, name: str, *, named: Format = "auto", limit: int = LINE_LIMIT) -> Reader:
    """Return the reader for `file`, from what the user named, the ending of `name`, and the first bytes; rewinds.

    Raises: EmptyFile, UnknownFormat, BadEncoding, DocumentBroken.
    """
    file.seek(0)
    skip_bom(file)
    start = file.tell()
    head = _first_bytes(file)
    if not head:
        raise EmptyFile
    file.seek(start)
    ending = PurePath(name).suffix.lower()
    guess = _ENDINGS.get(ending) if named == "auto" else named
    if guess is not None and guess != "json":
        return guess
    if head.startswith(MAGIC):
        return "parquet"
    if head[:1] == b"[":
        return "json"
    if head[:1] != b"{":
        raise DocumentBroken(first=1) if "json" in (named, ending[1:]) else UnknownFormat
    return _object_or_lines(file, limit)


def read(file: BinaryIO, reader: Reader, *, limit: int = LINE_LIMIT) -> Iterator[Row]:
    """Yield every row of `file`, from its start.

    Raises: BadEncoding, LineTooLong, DocumentBroken where the rows that follow cannot be told apart.
    """
    file.seek(0)
    skip_bom(file)
    return _READERS[reader](file, limit)


def _first_bytes(file: BinaryIO) -> bytes:
    while block := file.read(4096):
        if block := block.lstrip():
            return block
    return b""


def _object_or_lines(file: BinaryIO, limit: int) -> Reader:
    """Return whether "{" begins one object of rows or the first of many lines; many a .json file holds JSON Lines."""
    first = file.readline(limit + 1)
    while not first.strip():
        first = file.readline(limit + 1)
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return "json-object"  # spread over lines, or too long for one
    is_alone = not _first_bytes(file)
    return "json-object" if is_alone and bool(value) and all(isinstance(row, dict) for row in value.values()) else "jsonl"


def _jsonl(file: BinaryIO, limit: int) -> Iterator[Row]:
    for number, line in enumerate(bounded_lines(file, limit=limit), 1):
        if line is None:
            yield Row(number, problem="too-long")
        elif line.strip():
            yield _parsed(number, line)


def _parsed(number: int, line: bytes) -> Row:
    try:
        return Row(number, plain(_DECODER.decode(line.decode())))
    except UnicodeDecodeError:
        return Row(number, problem="bad-encoding")
    except (ValueError, RecursionError):
        return Row(number, problem="broken-json")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _text(file: BinaryIO, limit: int) -> Iterator[Row]:
    for number, line in enumerate(bounded_lines(file, limit=limit), 1):
        if line is None:
            yield Row(number, problem="too-long")
        elif line.strip():
            yield _text_row(number, line.rstrip(b"\r\n"))


def _text_row(number: int, line: bytes) -> Row:
    try:
        return Row(number, {"text": line.decode()})
    except UnicodeDecodeError:
        return Row(number, problem="bad-encoding")


def _array(file: BinaryIO, limit: int) -> Iterator[Row]:
    source = BoundedSource(file, limit=limit)
    return _document(source, ((None, item) for item in _JSON.items(source, "item", buf_size=_BLOCK)))


def _object(file: BinaryIO, limit: int) -> Iterator[Row]:
    source = BoundedSource(file, limit=limit)
    return _document(source, iter(_JSON.kvitems(source, "", buf_size=_BLOCK)))


def _document(source: BoundedSource, pairs: Iterator[tuple[str | None, Any]]) -> Iterator[Row]:
    while True:
        failure: RingfenceError | None = None
        try:
            key, value = next(pairs)
        except StopIteration:
            return
        except _JSON.common.JSONError as cause:
            is_encoding = "invalid bytes in UTF8" in str(cause)
            failure = (BadEncoding if is_encoding else DocumentBroken)(first=source.row + 1)
        if failure is not None:
            raise failure
        source.row += 1
        yield _document_row(source.row, key, value)


def _document_row(number: int, key: str | None, value: Any) -> Row:  # noqa: ANN401  any JSON value
    try:
        return Row(number, plain(value), key=key)
    except ValueError:
        return Row(number, problem="broken-json")


_READERS: dict[Reader, Callable[[BinaryIO, int], Iterator[Row]]] = {
    "json": _array,
    "json-object": _object,
    "jsonl": _jsonl,
    "csv": read_csv,
    "text": _text,
    "parquet": read_parquet,
}
FORMATS: dict[Reader, FileFormat] = {
    "json": "json",
    "json-object": "json",
    "jsonl": "jsonl",
    "csv": "csv",
    "text": "text",
    "parquet": "parquet",
}
