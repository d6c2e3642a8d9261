"""Staff numbers."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, text

_WORDS = (
    r"工号|工號|警号|警號|胸牌号|胸牌號|(?:员工|員工|职工|職工|雇员|僱員|人员|人員)(?:号|號|编号|編號|ID|id)"
    rf"|(?i:(?:emp(?:loyee)?|staff|personnel|badge)[ _]?{NO})"
)


@RECOGNISERS.add("staff-number.v1")
class StaffNumber(Keyworded):
    """Numbers of employees and police officers, behind the key word: at least three digits."""

    kinds = frozenset({"STAFF_NUMBER"})
    example = "工号：A102938"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 3

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: draw.choice(UPPER) + digits(draw, draw.randint(4, 6)),
                lambda: digits(draw, draw.randint(4, 8)),
                lambda: f"{text(draw, UPPER, 2)}-{digits(draw, 5)}",
                lambda: f"EMP{digits(draw, 5)}",
            )
        )()
        return behind(
            draw,
            "STAFF_NUMBER",
            ("工号", "员工号", "员工编号", "职工号", "警号", "Employee ID", "Staff No", "staff number", "employee number"),
            value,
        )
