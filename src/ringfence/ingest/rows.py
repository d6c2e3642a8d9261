"""One row of a file as parsed, before anybody knows what its columns mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_DEPTH = 64  # levels of nesting in one row; deeper ones are no data that anybody trains on


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `key` is its name in an object of rows; `problem` a name of ROW_REASONS, and then there is no value."""

    number: int  # from 1: a line of a line-based file, a row of a table or document
    value: Any = None
    key: str | None = None
    problem: str | None = None


def plain(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  any JSON value
    """Return `value` with Decimals as floats.

    Raises: ValueError for infinite numbers and for nesting that no later step could follow.
    """
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is out of range")
    if depth > _DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {key: plain(item, depth + 1) for key, item in value.items()}
    return [plain(item, depth + 1) for item in value] if isinstance(value, list) else value
