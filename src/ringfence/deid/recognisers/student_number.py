"""Student and examinee numbers."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, text

_WORDS = (
    r"学号|學號|学籍号|學籍號|考生号|考生號|准考证|准考證|準考證|(?:学生|學生)(?:证|證)?(?:号|號|编号|編號|ID|id)"
    rf"|(?i:(?:student|candidate|examinee|matriculation|enrolment|enrollment)[ _]?{NO})"
)


@RECOGNISERS.add("student-number.v1")
class StudentNumber(Keyworded):
    """Numbers of pupils, students and examinees, behind the key word: at least four digits."""

    kinds = frozenset({"STUDENT_NUMBER"})
    example = "学号：2021010203"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 4

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: f"{draw.randint(2005, 2025)}{digits(draw, 6)}",
                lambda: f"{draw.choice('SBMD')}{digits(draw, 8)}",
                lambda: digits(draw, draw.randint(7, 12)),
                lambda: f"{text(draw, UPPER, 2)}{digits(draw, 8)}",
            )
        )()
        return behind(
            draw,
            "STUDENT_NUMBER",
            ("学号", "学生证号", "学籍号", "考生号", "准考证号", "Student ID", "student number", "Student No"),
            value,
        )
