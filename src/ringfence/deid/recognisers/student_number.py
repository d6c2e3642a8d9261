"""Student and examinee numbers."""

from __future__ import annotations

from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS

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
