"""Record and unit ids: HMACs from import on, so that no file of a workspace holds what the hospital calls a patient."""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ringfence.core.digest import keyed

_EXPORTED = re.compile(r"unit-([0-9a-f]{16})-([0-9a-f]{64})")
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,15}))\.0+")  # a whole number as floats are written
_EXACT = 2**53  # every whole number below is a float of its own


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

    1, "1", 1.0 and "1.0" are the same patient, so are values that differ in outer spaces or in Unicode composition. A table makes floats of a column of
    whole numbers in which one is missing, and whoever is two units for that has a second budget.
    """
    spelt = _spelt(value)
    whole = _WHOLE.fullmatch(spelt or "")
    return str(int(whole[1])) if whole and abs(int(whole[1])) < _EXACT else spelt


def former_id(value: object) -> str | None:
    """Return the text that `as_id` returned before floats of whole numbers were whole numbers; None where it is the same."""
    spelt = _spelt(value)
    return None if spelt == as_id(value) else spelt


def _spelt(value: object) -> str | None:
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
    """Return the id of the unit (person, case, account) that a row belongs to: 32 hex digits.

    What an export of this workspace wrote for a unit is that unit again, so that its budget stays the same one.
    """
    if (match := _EXPORTED.fullmatch(value)) and (unit := _opened(keys, salt=match[1], sealed=match[2])):
        return unit
    return keyed(keys.unit, b"unit:" + value.encode("utf-8", "surrogatepass")).hex()


def exported_unit(keys: IdKeys, unit: str, *, salt: str) -> str:
    """Return what an exported file calls a unit. salt: 16 hex digits, of this export.

    The same in all rows of one file. Without the workspace's key nobody can tell whose it is, nor that two files speak of the same unit.
    Source: RFC 5297, deterministic authenticated encryption.
    """
    return f"unit-{salt}-{_cipher(keys).encrypt(bytes.fromhex(unit), [salt.encode()]).hex()}"


def _opened(keys: IdKeys, *, salt: str, sealed: str) -> str | None:
    try:
        return _cipher(keys).decrypt(bytes.fromhex(sealed), [salt.encode()]).hex()
    except InvalidTag:
        return None  # of another workspace: a value like any other


def _cipher(keys: IdKeys) -> AESSIV:
    return AESSIV(hmac.digest(keys.unit, b"ringfence.exported-unit/1", "sha256"))


def content_unit(keys: IdKeys, content: bytes) -> str:
    """Return the id of the unit that a row without unit column is: its own content, so that copies are one unit."""
    return keyed(keys.unit, b"content:" + content).hex()


def source_id(keys: IdKeys, name: str) -> str:
    """Return the id of the file that a record came from: 32 hex digits."""
    return keyed(keys.record, b"source:" + name.encode("utf-8", "surrogatepass")).hex()
