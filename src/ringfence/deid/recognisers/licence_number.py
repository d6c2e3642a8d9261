"""Numbers of professional licences, titles and certificates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS, Span
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, text

_PAPERS = "执业|執業|资格|資格|从业|從業|军官|軍官|残疾|殘疾|户口|戶口|结婚|結婚|离婚|離婚|毕业|畢業|学位|學位|不动产权|房产|居住|暂住|退休|律师|教师|护士"
_WORDS = (
    rf"(?:(?:{_PAPERS})(?:(?:证|證)(?:书|書)?|簿|注册|註冊)|出生(?:医学|醫學)?(?:证明|證明|证|證)|(?:证|證)(?:书|書))(?:号|號|编号|編號)"
    rf"|(?i:(?:dea|gmc|nmc|bar|certificate|licen[cs]e)[ _](?:registration[ _])?{NO})"
)
_OTHER = re.compile(r"(?:driv(?:er|ing)|operator|chauffeur|software|product|windows)(?:'|’)?s?(?:'|’)?[ _\-]$", re.IGNORECASE)


@RECOGNISERS.add("licence-number.v1")
class LicenceNumber(Keyworded):
    """Numbers of licences to practise, diplomas, titles to land and papers of a family or an officer, behind the key word: at least five digits."""

    kinds = frozenset({"LICENCE_NUMBER"})
    example = "医师执业证书编号：110110000012345"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 5

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word unless it is of a driver, who has a recogniser, or of a program."""
        return () if _OTHER.search(text, max(0, start - 12), start) else super().check(text, start, end)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        words, value = draw.choice(
            (
                (("医师执业证书编号", "执业证号", "医师资格证书编号", "护士执业证号"), digits(draw, draw.choice((15, 17, 27)))),
                (("律师执业证号", "执业证号"), "1" + digits(draw, 16)),
                (("出生医学证明编号",), draw.choice(UPPER) + digits(draw, 9)),
                (("毕业证书编号", "学位证书编号", "证书编号"), digits(draw, draw.choice((16, 18)))),
                (
                    ("medical license number", "Medical License No", "nursing license number", "certificate number"),
                    draw.choice(("", "A", "RN")) + digits(draw, 6),
                ),
                (("DEA number", "DEA No"), text(draw, "ABFM", 1) + text(draw, UPPER, 1) + digits(draw, 7)),
            )
        )
        return behind(draw, "LICENCE_NUMBER", words, value)
