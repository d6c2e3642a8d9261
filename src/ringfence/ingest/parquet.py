"""Rows of a Parquet file, read and written as a stream: a few megabytes at a time, whatever the size of its row groups.

Texts, numbers, truth values, dates, lists and structs become what JSON Lines would hold: a date or time is text in ISO 8601 (a time with a zone in UTC),
NaN and a field of a struct that is null are absent, as a Parquet file cannot tell them from what was never there.
Source: Apache Parquet format, "Logical types"; needs pyarrow (the extra `parquet`).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any, BinaryIO

from ringfence.core.errors import ParquetBroken, ParquetColumn, ParquetMissing
from ringfence.ingest.rows import Row, plain
from ringfence.ingest.settings import Layout

MAGIC = b"PAR1"
_AT_ONCE = 4 << 20  # bytes of rows that are decoded together, by the sizes that the file states
_MOST_ROWS = 4_096
_BUFFER = 1 << 20  # bytes read at a time from each column

Say = Callable[[bytes], None]  # takes more bytes of a file


def is_installed() -> bool:
    """Return True when Parquet can be read and written here."""
    return find_spec("pyarrow") is not None


def read_parquet(file: BinaryIO, limit: int) -> Iterator[Row]:
    """Yield every row.

    Raises: ParquetMissing, ParquetColumn, ParquetBroken.
    """
    if not is_installed():
        raise ParquetMissing
    import pyarrow as pa  # noqa: PLC0415  optional

    number = 0
    try:
        source, at_once = _opened(file)
        for group in range(source.num_row_groups):  # one by one, so that damage costs no row before it
            for batch in source.iter_batches(batch_size=at_once, row_groups=[group], use_threads=False):
                for row in _rows(batch):
                    number += 1
                    yield _row(number, row, limit)
    except (pa.ArrowMemoryError, MemoryError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        failed = True
    else:
        failed = False
    if failed:  # raised here: the library's words may quote what it stumbled on
        raise ParquetBroken(first=number + 1)


def _opened(file: BinaryIO) -> tuple[Any, int]:
    """Return the open file and how many rows are decoded together."""
    from pyarrow import parquet  # noqa: PLC0415

    source = parquet.ParquetFile(
        file, buffer_size=_BUFFER, pre_buffer=False, coerce_int96_timestamp_unit="us", arrow_extensions_enabled=False
    )
    schema = source.schema_arrow
    if len(set(schema.names)) != len(schema.names):
        raise ParquetBroken(first=1)
    for position, field in enumerate(schema, 1):
        if not _is_readable(field.type, is_column=True):
            raise ParquetColumn(column=position)
    sizes = [source.metadata.row_group(i) for i in range(source.num_row_groups)]
    widest = max((group.total_byte_size / group.num_rows for group in sizes if group.num_rows), default=1.0)
    return source, max(1, min(_MOST_ROWS, int(_AT_ONCE / max(widest, 1.0))))


def _is_readable(kind: Any, *, is_column: bool = False) -> bool:  # noqa: ANN401  pyarrow is untyped
    from pyarrow import types  # noqa: PLC0415

    if types.is_timestamp(kind):
        return is_column or (kind.tz is None and kind.unit != "ns")
    if types.is_dictionary(kind):
        return _is_readable(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_readable(kind.value_type)
    if types.is_struct(kind):
        return all(_is_readable(field.type) for field in kind)
    if types.is_map(kind):
        return bool(types.is_string(kind.key_type)) and _is_readable(kind.item_type)
    simple = (
        types.is_string,
        types.is_large_string,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        types.is_date,
    )
    return bool(types.is_null(kind)) or any(test(kind) for test in simple)


def _rows(batch: Any) -> Iterator[dict[str, Any] | None]:  # noqa: ANN401
    """Yield the rows of a batch as Python values; None for one that is not UTF-8."""
    import pyarrow as pa  # noqa: PLC0415

    columns = [_without_zone(column) for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        is_text = False
    else:
        is_text = True
    if not is_text:
        yield from (_one(batch.slice(i, 1)) for i in range(batch.num_rows))


def _one(batch: Any) -> dict[str, Any] | None:  # noqa: ANN401
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError:
        return None
    return row


def _without_zone(column: Any) -> Any:  # noqa: ANN401
    """Return a column of times in microseconds as text, any other as it is: the sandbox holds no table of time zones, and Python no nanoseconds."""
    import pyarrow as pa  # noqa: PLC0415

    if not pa.types.is_timestamp(column.type):
        return column
    zone = "Z" if column.type.tz is not None else ""
    times = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64()).cast(pa.timestamp("us")).to_pylist()
    return pa.array([None if time is None else time.isoformat() + zone for time in times], pa.string())


def _row(number: int, value: dict[str, Any] | None, limit: int) -> Row:
    if value is None:
        return Row(number, problem="bad-encoding")
    try:
        row = {name: _plain(item) for name, item in value.items()}
        plain(row)
    except ValueError:
        return Row(number, problem="broken-json")
    return Row(number, problem="too-long") if _size(row) > limit else Row(number, plain(row))


def _plain(value: Any) -> Any:  # noqa: ANN401  any value of a column
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        is_map = bool(value) and all(isinstance(item, tuple) for item in value)
        return {key: _plain(item) for key, item in value} if is_map else [_plain(item) for item in value]
    return value


def _size(value: Any) -> int:  # noqa: ANN401
    """Return about how many bytes a value has in JSON."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(_size(name) + _size(item) for name, item in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_GROUP = 8 << 20  # bytes of text in a row group, and at most so many rows:
_GROUP_ROWS = 65_536


def write_parquet(rows: Iterable[dict[str, Any]], layout: Layout, say: Say, *, unit: bool) -> None:
    """Write rows of one layout, by column name; unit: they have one.

    Raises: ParquetMissing.
    """
    if not is_installed():
        raise ParquetMissing
    import pyarrow as pa  # noqa: PLC0415  optional
    from pyarrow import parquet  # noqa: PLC0415

    schema = _schema(layout, unit=unit)
    with parquet.ParquetWriter(pa.PythonFile(_Forward(say), mode="w"), schema) as writer:
        held: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            held.append(row)
            size += _size(row)
            if size >= _GROUP or len(held) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(held, schema=schema))
                held, size = [], 0
        writer.write_table(pa.Table.from_pylist(held, schema=schema))


def _schema(layout: Layout, *, unit: bool) -> Any:  # noqa: ANN401  pyarrow is untyped
    import pyarrow as pa  # noqa: PLC0415

    text = pa.string()
    turns = pa.list_(pa.struct([("role", text), ("content", text)]))
    columns: dict[Layout, dict[str, Any]] = {
        "messages": {"messages": turns, "tools": text},
        "alpaca": {"instruction": text, "output": text, "history": pa.list_(pa.list_(text)), "system": text},
        "pair": {"prompt": text, "completion": text, "system": text},
        "text": {"text": text},
        "feedback": {"prompt": turns, "completion": text, "label": pa.bool_()},
        "feedback-messages": {"messages": turns, "tools": text, "label": pa.bool_()},
        "preference": {"prompt": turns, "tools": text, "chosen": text, "rejected": text},
    }
    return pa.schema(columns[layout] | ({"unit": text} if unit else {}))


class _Forward:
    """A file that can only be written to, from its beginning to its end."""

    closed = False

    def __init__(self, say: Say) -> None:
        self._say = say

    def write(self, data: Any) -> int:  # noqa: ANN401  bytes, or a buffer of the library's
        """Pass on some more."""
        data = bytes(data)
        self._say(data)
        return len(data)

    def flush(self) -> None:
        """Hold nothing back: nothing is held."""

    def close(self) -> None:
        """Take no more."""
        self.closed = True
