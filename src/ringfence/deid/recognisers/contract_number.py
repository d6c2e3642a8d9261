"""Contract and loan numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.keyworded import JOIN, JOINED, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Span, Trigger
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, text

_WORDS = (
    r"(?:合同|协议|協議|借据|借據|贷款|貸款|贷款合同|授信)(?:（|\()?(?:号|號|编号|編號)"
    rf"|(?i:(?:contract|agreement|loan|facility)[ _]?(?:account[ _])?{NO})"
)
_PARTS = r"一-龥A-Za-z0-9()（）〔〕\[\]\-"
_IN_WORDS = re.compile(rf"[{_PARTS}]{{1,24}}字[{_PARTS}]{{0,12}}[0-9](?:号|號)")  # 京贷字2023第0012号, （2023）沪银贷字第001号
_NUMBER = NUMBER.replace(r"0-9\-", r"0-9\-/")
_BRACKETS = "(（"
_LONGEST = 48


@RECOGNISERS.add("contract-number.v1")
class ContractNumber(Keyworded):
    """Numbers of contracts, loans and receipts for them, behind the key word: at least four digits, or the form 贷字第1号. Not orders."""

    kinds = frozenset({"CONTRACT_NUMBER"})
    example = "合同编号：HT-2023-00123"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}(?:{_NUMBER})?"
    fewest: ClassVar[int] = 4

    @property
    def trigger(self) -> Trigger:
        """What leads to it: the key word, also without a number, and what may stand between the two."""
        return Trigger(_WORDS, behind=JOINED)

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word, in its Chinese form if it has one."""
        lead = _LEAD.match(text, start, end)
        first = lead.end() if lead else end
        first -= text[first - 1] in _BRACKETS
        if in_words := _IN_WORDS.match(text, first, first + _LONGEST):
            return (Span(first, in_words.end(), "CONTRACT_NUMBER", KEYWORDED),)
        return super().check(text, start, end)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        year, serial = draw.randint(2008, 2025), digits(draw, draw.randint(3, 6))
        value = draw.choice(
            (
                f"{text(draw, UPPER, 2)}-{year}-{serial}",
                f"{text(draw, UPPER, 3)}{year}{serial}",
                f"{year}{draw.randint(1, 12):02d}{serial}",
                f"{draw.choice('京沪粤浙')}贷字（{year}）第{serial}号",
                f"{year}年{draw.choice(('信', '借', '保'))}字第{serial}号",
            )
        )
        return behind(
            draw,
            "CONTRACT_NUMBER",
            ("合同编号", "合同号", "借款合同编号", "贷款合同号", "协议编号", "Contract No", "loan number", "Agreement number"),
            value,
        )


_LEAD = re.compile(rf"(?:{_WORDS}){JOIN}")
