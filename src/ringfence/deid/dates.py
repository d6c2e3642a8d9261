"""Dates as people write them: where year, month and day stand in a text, and the same way of writing for another day."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from ringfence.deid.numerals import NUMERALS, number, written

_NAMES = tuple("January February March April May June July August September October November December".split())
_MONTHS = (*_NAMES, "Sept", *(name[:3] for name in _NAMES if name != "May"))
MONTHS = "|".join(word for name in _MONTHS for word in (name, name.upper()))  # as names are written: in lower case, may and march are words
_ORDINAL = "(?:st|nd|rd|th|ST|ND|RD|TH)?"
_ORDINALS = ("st", "nd", "rd", "th")
CHINESE = re.compile(
    rf"(?:(?P<year>(?<![0-9])(?:[0-9]{{4}}|[0-9]{{2}})|[{NUMERALS}]{{4}}|[{NUMERALS}]{{2}}) ?年 ?)?"
    rf"(?P<month>(?<![0-9])[0-9]{{1,2}}|[{NUMERALS}]{{1,2}}) ?月(?: ?(?P<day>[0-9]{{1,2}}|[{NUMERALS}]{{1,3}}) ?[日号號])?"
)
YEAR_FIRST = re.compile(r"(?<![0-9.])(?P<year>[0-9]{4})(?P<gap>[-/.])(?P<month>[0-9]{1,2})(?P=gap)(?P<day>[0-9]{1,2})(?![0-9])")
YEAR_LAST = re.compile(r"(?<![0-9.])(?P<month>[0-9]{1,2})(?P<gap>[-/.])(?P<day>[0-9]{1,2})(?P=gap)(?P<year>[0-9]{4}|[0-9]{2})(?![0-9])")
COMPACT = re.compile(r"(?<![0-9])(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?![0-9])")
DAY_AND_NAME = re.compile(
    rf"(?<![0-9.])(?P<day>[0-9]{{1,2}}){_ORDINAL}[ -](?:[Oo][Ff] )?(?P<month>{MONTHS})(?![A-Za-z])\.?(?:,?[ -](?P<year>[0-9]{{4}}|(?<=-)[0-9]{{2}})(?![0-9]))?"
)
NAME_AND_DAY = re.compile(
    rf"(?<![A-Za-z])(?P<month>{MONTHS})\.? (?:(?P<day>[0-9]{{1,2}}){_ORDINAL}(?![0-9A-Za-z.])(?:,? (?P<year>[0-9]{{4}})(?![0-9]))?|(?P<only>[0-9]{{4}})(?![0-9]))"
)
UNITS = "年月日号號"
FORMS = (CHINESE, YEAR_FIRST, YEAR_LAST, COMPACT, DAY_AND_NAME, NAME_AND_DAY)
_NUMBERS = {name[:3].lower(): n for n, name in enumerate(_NAMES, 1)}
_FIRST_YEAR, _LAST_YEAR, _TURN, _DECEMBER = 1850, 2149, 50, 12
_LEAP = 2000  # stands for a year that is not written: it has a 29 February
_MIDDLE = 15  # of a month, for a day that is not written


@dataclass(frozen=True, slots=True)
class Written:
    """What a date says, and the ranges of its parts: year, month, day, as far as they are written."""

    value: date
    parts: dict[str, tuple[int, int]]


def read(match: re.Match[str]) -> Written | None:
    """Return the date that a match of one of the forms says; None if it is no day or month of the calendar."""
    parts = {name.replace("only", "year"): match.span(name) for name in match.groupdict() if name != "gap" and match.start(name) >= 0}
    values = [_value(match.string, parts.get(name)) for name in ("year", "month", "day")]
    if len(parts) == 1 or None in values:
        return None
    year, month, day = (value or 0 for value in values)
    if match.re is YEAR_LAST:
        short = parts["year"][1] - parts["year"][0] == 2  # noqa: PLR2004  digits
        if short and (match["gap"] == "." or (match["gap"] == "-" and len(match[0]) < len("01-02-03"))):
            return None
        if month > _DECEMBER or (match["gap"] != "/" and day <= _DECEMBER):  # 04/15/2023 is American, 15.04.2023 is not
            month, day = day, month
            parts["month"], parts["day"] = parts["day"], parts["month"]
    if "year" in parts and year < 100:  # noqa: PLR2004  two digits
        if "day" not in parts:
            return None  # 10年3月 may be ten years
        year += 1900 if year >= _TURN else 2000
    if "year" not in parts:
        year = _LEAP
    if "day" not in parts:
        day = _MIDDLE
    is_day = _FIRST_YEAR <= year <= _LAST_YEAR and 1 <= month <= _DECEMBER and 1 <= day <= monthrange(year, month)[1]
    return Written(date(year, month, day), parts) if is_day else None


def parse(text: str) -> Written | None:
    """Return what a text says that is a date and nothing else."""
    return next((found for form in FORMS if (match := form.fullmatch(text)) and (found := read(match))), None)


def is_name(text: str) -> bool:
    """Return True when `text` begins with the name of a month."""
    return text[:3].lower() in _NUMBERS


def moved(text: str, days: int) -> str | None:
    """Return a date that is written like `text`, `days` later; None where `text` is no date."""
    found = parse(text)
    if found is None:
        return None
    other = found.value + timedelta(days=days)
    values = {"year": other.year, "month": other.month, "day": other.day}
    padded = _is_padded(text, found.parts)
    for name, (start, end) in sorted(found.parts.items(), key=lambda part: -part[1][0]):
        rest = text[end:]
        if name == "day" and rest[:2].lower() in _ORDINALS:
            suffix = _ordinal(other.day)
            rest = (suffix.upper() if rest[:2].isupper() else suffix) + rest[2:]
        text = text[:start] + _like(text[start:end], values[name], padded=padded or name == "year") + rest
    return text


def _is_padded(text: str, parts: dict[str, tuple[int, int]]) -> bool:
    """Return True where a date writes 3 as 03, as far as it shows: 12-31 between two hyphens does, 12月31日 does not."""
    written_parts = [text[slice(*place)] for name, place in parts.items() if name != "year"]
    return any(part.startswith("0") for part in written_parts) or (
        text.replace("-", "").isdigit() and all(len(part) > 1 for part in written_parts)
    )


def _ordinal(day: int) -> str:
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _value(text: str, place: tuple[int, int] | None) -> int | None:
    if place is None:
        return 0
    part = text[place[0] : place[1]]
    return _NUMBERS.get(part[:3].lower()) if part.isascii() and part.isalpha() else number(part)


def _like(part: str, value: int, *, padded: bool) -> str:
    if part.isascii() and part.isalpha():
        name = _NAMES[value - 1] if part.capitalize() in _NAMES else _NAMES[value - 1][:3]
        return name.upper() if part.isupper() else name
    places = len(part)
    if places == 2:  # noqa: PLR2004  a year of two digits; months and days are below a hundred anyway
        value %= 100
    if not part.isascii():
        return written(value, like=part)
    return f"{value:02d}" if padded or (places > 1 and value > 9) else str(value)  # noqa: PLR2004
