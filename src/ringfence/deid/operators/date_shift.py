"""All dates of one person moved by the same days."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.deid.dates import moved
from ringfence.deid.draw import Draw
from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools


@OPERATORS.add("date-shift.v1")
class DateShift(Replacing):
    """Every date of a subject (the unit of import; without one, of a record) is moved by one secret number of days: intervals stay what they were.

    weekdays: move by whole weeks, so that a Monday stays one. Whoever knows one true date of a person knows them all.
    """

    days: Annotated[int, Field(ge=7, le=3_650)] = 365  # at most, either way
    weekdays: bool = False

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:
        """Return the date that many days later or earlier, written the same way; what is no date of the calendar, or a month that stays the same, gets a stand-in."""
        draw = Draw(tools.digest("date-shift", occurrence.subject), b"days")
        unit = 7 if self.weekdays else 1
        shift = unit * (1 + draw.below(self.days // unit))
        made = moved(occurrence.value, shift if draw.below(2) else -shift)
        return tools.surrogate(occurrence.kind, occurrence.value) if made is None or made == occurrence.value else made
