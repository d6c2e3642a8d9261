"""Dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid import dates
from ringfence.deid.draw import Draw
from ringfence.deid.numerals import ALTERNATIVES
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span
from ringfence.deid.specimen import Specimen, framed

_CN = f"(?:[0-9]{{1,2}}|(?:{ALTERNATIVES}){{1,3}})"
_KEYS = "日期|时间|時間|出生|生日|年月日|DOB|[Bb]irth|[Bb]irthday|[Dd]ate"
_LOOK = 10  # characters from the start of a date to the 月 in it, or from there to its end
_TAIL = 12  # and from the month's name to the end
_MOST_DAYS = 365
_EIGHT = 8  # digits behind a key word


@RECOGNISERS.add("date.v1")
class Date(Shaped):
    """A day, or a month of a year, in Chinese, English or numbers.

    A year alone says too little to count, and eight digits in a row only count after a key word.
    """

    kinds = frozenset({"DATE"})
    example = "1985年3月12日"
    pattern: ClassVar[str] = (
        f"年 ?{_CN} ?月|月 ?{_CN} ?(?:日|号|號)"
        r"|[0-9]{4}[\-/.][0-9]{1,2}[\-/.][0-9]{1,2}|[0-9]{1,2}[\-/.][0-9]{1,2}[\-/.][0-9]{2,4}"
        rf"|[0-9]{{1,2}}(?:st|nd|rd|th|ST|ND|RD|TH)?[ \-](?:[Oo][Ff] )?(?:{dates.MONTHS})|(?:{dates.MONTHS})\.? [0-9]{{1,4}}"
        rf"|(?:{_KEYS})[: =]{{0,3}}(?:18|19|20|21)[0-9]{{6}}"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the date if the calendar has it."""
        match, score = _match(text, start, end)
        return (Span(match.start(), match.end(), "DATE", score),) if match and dates.read(match) else ()

    def normalise(self, value: str) -> str:
        """Return year-month-day, as far as they are written."""
        found = dates.parse(value)
        return (
            "-".join(f"{getattr(found.value, part):02d}" if part in found.parts else "" for part in ("year", "month", "day"))
            if found
            else value
        )

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        year, month, d = draw.randint(1935, 2026), draw.randint(1, 12), draw.randint(1, 28)
        name = dates.MONTHS.split("|")[2 * (month - 1)]
        return framed(
            "DATE",
            draw.choice(("", "", "于", "入院日期：", "DOB: ", "on ")),
            draw.choice(
                (
                    f"{year}年{month}月{d}日",
                    f"{year}年{month:02d}月{d:02d}日",
                    f"{year}-{month:02d}-{d:02d}",
                    f"{year}/{month}/{d}",
                    f"{year}.{month:02d}.{d:02d}",
                    f"{month:02d}/{d:02d}/{year}",
                    f"{d} {name} {year}",
                    f"{name} {d}, {year}",
                    f"{name[:3]} {d}, {year}",
                    f"{d:02d}-{name[:3]}-{year}",
                    f"{d:02d}.{month:02d}.{year}",
                    f"{month}月{d}日",
                    f"{year}年{month}月",
                )
            ),
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a date of the two years around it, written the same way. Intervals are kept by the operator that moves all dates of a subject alike."""
        days = 1 + draw.below(_MOST_DAYS)
        return dates.moved(value, days if draw.below(2) else -days) or draw.scramble(value)


def _match(text: str, start: int, end: int) -> tuple[re.Match[str] | None, float]:
    """Return the match of the one form that can stand here: of all forms, the first characters tell which."""
    last = min(len(text), end + _TAIL)
    if text[start] in "年月":
        found = dates.CHINESE.finditer(text, max(0, start - _LOOK), min(len(text), end + _LOOK))
        return next((m for m in found if m.start() <= start < m.end()), None), SHAPE
    if text[start].isdigit():
        numeric = text[end - 1].isdigit()
        form = dates.DAY_AND_NAME if not numeric else dates.YEAR_FIRST if text[start : start + 4].isdigit() else dates.YEAR_LAST
        return form.match(text, start, last), SHAPE
    if dates.is_name(text[start:end]):
        return dates.NAME_AND_DAY.match(text, start, last), SHAPE
    return dates.COMPACT.match(text, end - _EIGHT, last), KEYWORDED
