"""Less exact values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ringfence.deid import dates, divisions
from ringfence.deid.numerals import number
from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools, label

To = Literal["band", "year", "month", "province", "prefix", "cell", "network"]
_MINUTES = re.compile(r"['\"′″’”分秒]|[°º度] ?[0-9]")  # a tenth of a minute is a street, not a cell
_DECIMAL = re.compile(r"-?[0-9]{1,3}\.[0-9]+")
# Three-digit areas of at most 20,000 people, by the census of 2000. Source: HHS, Guidance on De-identification under HIPAA, 2012, for 45 CFR 164.514(b)(2)(i)(B)
_FEW_PEOPLE = frozenset("036 059 063 102 203 556 692 790 821 823 830 831 878 879 884 890 893".split())


@OPERATORS.add("generalise.v1")
class Generalise(Replacing):
    """An age becomes a band, a date its year or month, an address its province, a postcode its beginning, a place a cell, an address of the net a network.

    For values of small domains, which no key protects: how often each occurs tells them apart. What cannot be made less exact is redacted.
    """

    keeps_general: ClassVar[bool] = True
    to: To
    width: Annotated[int, Field(ge=2, le=50)] = 10  # years of a band
    top: Annotated[int, Field(ge=20, le=120)] = 90  # from this age on all are one
    digits: Annotated[int, Field(ge=1, le=6)] = 3  # of a postcode that stay

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:  # noqa: ARG002
        """Return the less exact value; the value itself if it is no more exact, a year for one."""
        return _WAYS[self.to](self, occurrence.value) or label(occurrence.kind)


def _band(self: Generalise, value: str) -> str | None:
    years = number(value)
    if years is None:
        return None
    first = years - years % self.width
    return f"{self.top}+" if years >= self.top else f"{first}-{min(first + self.width, self.top) - 1}"


def _part_of_date(value: str, *names: str) -> str | None:
    """Return the parts of a date that are wanted, with what joins them, as they are written."""
    found = dates.parse(value)
    order = sorted(found.parts.items(), key=lambda part: part[1]) if found else []
    wanted = [(n, place) for n, (name, place) in enumerate(order) if name in names]
    if not wanted:
        return None
    (first, (start, _)), (last, (_, end)) = wanted[0], wanted[-1]
    if last - first == len(wanted) - 1:  # nothing unwanted between them
        return value[start : end + (value[end : end + 1] in dates.UNITS)]
    return " ".join(value[a:b] for _, (a, b) in wanted)


def _province(_: Generalise, value: str) -> str | None:
    length = divisions.longest(value, 0, len(value))
    return value[:length] if length and divisions.is_province(value[:length]) else None


def _prefix(self: Generalise, value: str) -> str | None:
    kept = value[: self.digits]
    if not kept.isdigit() or len(value) <= self.digits:  # of so short a value nothing is left out
        return None
    return "000" if kept in _FEW_PEOPLE else kept


def _cell(_: Generalise, value: str) -> str | None:
    return _DECIMAL.sub(lambda one: f"{float(one[0]):.1f}", value) if _DECIMAL.search(value) and not _MINUTES.search(value) else None


def _network(_: Generalise, value: str) -> str | None:
    parts = value.split(".")
    return ".".join([*parts[:2], "0.0"]) if len(parts) == 4 else None  # noqa: PLR2004  of an IPv4 address


_WAYS: dict[To, Callable[[Generalise, str], str | None]] = {
    "band": _band,
    "year": lambda _, value: _part_of_date(value, "year"),
    "month": lambda _, value: _part_of_date(value, "year", "month"),
    "province": _province,
    "prefix": _prefix,
    "cell": _cell,
    "network": _network,
}
