"""From rows to records, one at a time, counting what is refused and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ringfence.core.errors import (
    ROWS_NAMED,
    BadEncoding,
    DuplicateIds,
    EmptyFile,
    LineTooLong,
    MissingColumn,
    RowsRefused,
    UnknownLayout,
)
from ringfence.core.records import Record
from ringfence.ingest.counts import repeats
from ringfence.ingest.ids import IdKeys, as_id, content_unit, explicit_id, former_id, row_id, source_id, unit_id
from ringfence.ingest.layouts import Content, Plan, detect
from ringfence.ingest.rows import Row
from ringfence.ingest.settings import LINE_LIMIT, FileFormat, ImportFigures, ImportSettings
from ringfence.ingest.turns import Refused
from ringfence.vault.index import RowIndex

_TRIES = 100  # rows that may fit no layout before the file is given up


class Importer:
    """Turns rows into records: iterate `records`, then ask for `figures`. Holds one row at a time."""

    def __init__(self, settings: ImportSettings, keys: IdKeys) -> None:
        self._settings, self._keys = settings, keys
        self._source = source_id(keys, settings.source)
        self._plan: Plan | None = None
        self._refused: Counter[str] = Counter()
        self._numbers: dict[str, tuple[int, ...]] = {}  # of the first refused rows of each reason, oldest first
        self._objects = 0  # rows that had columns at all
        self._rows = 0
        self._unseen = _asked(settings)
        self._former: set[bytes] = set()

    def records(self, rows: Iterable[Row]) -> Iterator[Record]:
        """Yield a record per usable row of the wanted range; after a refused one only with `skip_bad`, as nothing will be kept.

        Raises: BadEncoding, LineTooLong at the first such row unless bad rows are skipped; UnknownLayout.
        """
        first, last = self._settings.row_range()
        for row in rows:
            if row.number > last:
                break
            if row.number >= first and (record := self._record_or_none(row)) and (self._settings.skip_bad or not self._refused):
                yield record

    @property
    def former_units(self) -> bytes:
        """Return what earlier versions called the units that they spelt in another way, 16 bytes each, sorted: they may have an account by that name."""
        return b"".join(sorted(self._former))

    def figures(self, index: RowIndex, *, file_format: FileFormat) -> ImportFigures:
        """Return what was imported; `index` holds the ids of the records as written.

        Raises: EmptyFile, MissingColumn, RowsRefused, DuplicateIds.
        """
        self._raise_if_unusable()
        repeated_ids, _ = repeats(index.record_ids)
        if repeated_ids:
            raise DuplicateIds(count=repeated_ids)
        same_unit, most = repeats(index.unit_ids)
        contents = index.content_hmacs
        assert self._plan is not None  # noqa: S101  a record was made, so a plan was found
        return ImportFigures(
            rows=self._rows,
            refused=self._refused.total(),
            units=self._rows - same_unit,
            max_rows_per_unit=most,
            duplicates=0 if contents is None else repeats(contents)[0],
            reasons=dict(self._refused),
            row_numbers=self._numbers,
            format=file_format,
            layout=self._plan.layout,
        )

    def _raise_if_unusable(self) -> None:
        refused = self._refused.total()
        if not self._rows + refused:
            raise EmptyFile
        if self._unseen and self._objects:
            raise MissingColumn(which=min(self._unseen.values()))
        if self._plan is None and set(self._refused) == {"missing-text"}:
            raise UnknownLayout
        if refused and not (self._settings.skip_bad and self._rows):
            raise RowsRefused(
                rows=self._rows + refused,
                refused=refused,
                **{reason.replace("-", "_"): count for reason, count in self._refused.items()},
                **{f"rows_{reason.replace('-', '_')}": numbers for reason, numbers in self._numbers.items()},
            )

    def _record_or_none(self, row: Row) -> Record | None:
        try:
            return self._record(row)
        except Refused as refused:
            reason = refused.reason
        known = self._numbers.get(reason, ())
        if len(known) < ROWS_NAMED:
            self._numbers[reason] = (*known, row.number)
        self._refused[reason] += 1
        if row.problem == "bad-encoding" and not self._settings.skip_bad:
            raise BadEncoding(first=row.number)
        if row.problem == "too-long" and not self._settings.skip_bad:
            raise LineTooLong(first=row.number, limit=LINE_LIMIT)
        return None

    def _record(self, row: Row) -> Record:
        if row.problem is not None:
            raise Refused(row.problem)
        if not isinstance(row.value, dict):
            raise Refused("not-an-object")
        self._objects += 1
        if self._unseen:
            self._unseen = {column: which for column, which in self._unseen.items() if column not in row.value}
        plan = self._planned(row.value)
        content = plan.content(row.value)
        _must_be_unicode(content)
        data = content.data()
        unit, identity = self._unit(row.value, data), self._identity(row, data)
        self._rows += 1
        used = set(plan.columns.values())
        fields = {column: value for column, value in row.value.items() if column not in used}
        return Record(identity, unit, self._source, content.kind, content.roles, content.texts, fields)

    def _planned(self, row: Mapping[str, Any]) -> Plan:
        """Return the plan, found at the first row that fits one."""
        self._plan = self._plan or detect(row, self._settings)
        if self._plan is not None:
            return self._plan
        if self._objects >= _TRIES:
            raise UnknownLayout
        raise Refused("missing-text")

    def _unit(self, row: Mapping[str, Any], content: bytes) -> str:
        if self._settings.unit is None:
            return content_unit(self._keys, content)
        value = row.get(self._settings.unit)
        if former := former_id(value):
            self._former.add(bytes.fromhex(unit_id(self._keys, former)))
        return unit_id(self._keys, _needed_id(value, "null-unit"))

    def _identity(self, row: Row, content: bytes) -> str:
        if self._settings.id_column is not None:
            return explicit_id(self._keys, _needed_id(row.value.get(self._settings.id_column), "null-id"))
        if row.key is not None:
            return explicit_id(self._keys, _needed_id(row.key, "null-id"))
        return row_id(self._keys, number=row.number, content=content)


def _asked(settings: ImportSettings) -> dict[str, int]:
    """Return the columns that the user named, each with its position in ASKED_COLUMNS."""
    asked = dict.fromkeys(settings.mapping.values(), 0)
    for which, column in ((1, settings.unit), (2, settings.id_column)):
        if column is not None:
            asked.setdefault(column, which)
    return asked


def _needed_id(value: object, reason: str) -> str:
    identity = as_id(value)
    if identity is None:
        raise Refused("wrong-type")
    if not identity:
        raise Refused(reason)
    return identity


def _must_be_unicode(content: Content) -> None:
    """Refuse lone surrogates, which JSON can escape but no tokeniser can read."""
    try:
        for text in content.texts:
            text.encode()
    except UnicodeEncodeError:
        is_broken = True
    else:
        is_broken = False
    if is_broken:
        raise Refused("bad-encoding")
