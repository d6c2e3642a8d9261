"""Record and unit ids: HMACs from import on, so that no file of a workspace holds what the hospital calls a patient."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.core.digest import keyed


@dataclass(frozen=True)
class IdKeys:
    """The two purpose keys of an import, 32 bytes each."""

    record: bytes = field(repr=False)
    unit: bytes = field(repr=False)

    @classmethod
    def of(cls, purpose: Mapping[str, bytes]) -> IdKeys:
        """Return the keys that the host handed over."""
        return cls(record=purpose["record-id"], unit=purpose["unit-id"])


def as_id(value: object) -> str | None:
    """Return the text that identifies: "" when the value says nothing, None when it is of a type that names nobody.

    1 and "1" are the same patient, so are values that differ in outer spaces or in Unicode composition.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return unicodedata.normalize("NFC", str(value).strip())


def explicit_id(keys: IdKeys, value: str) -> str:
    """Return the id of the record that its file calls `value`: 32 hex digits."""
    return keyed(keys.record, b"id:" + value.encode("utf-8", "surrogatepass")).hex()


def row_id(keys: IdKeys, *, number: int, content: bytes) -> str:
    """Return the id of a record that its file does not name: 32 hex digits, over row number and content."""
    return keyed(keys.record, b"row:%d:" % number + content).hex()


def unit_id(keys: IdKeys, value: str) -> str:
    """Return the id of the unit (person, case, account) that a row belongs to: 32 hex digits."""
    return keyed(keys.unit, b"unit:" + value.encode("utf-8", "surrogatepass")).hex()


def content_unit(keys: IdKeys, content: bytes) -> str:
    """Return the id of the unit that a row without unit column is: its own content, so that copies are one unit."""
    return keyed(keys.unit, b"content:" + content).hex()


def source_id(keys: IdKeys, name: str) -> str:
    """Return the id of the file that a record came from: 32 hex digits."""
    return keyed(keys.record, b"source:" + name.encode("utf-8", "surrogatepass")).hex()
