"""QQ numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, behind, digits

_WORDS = r"[Qq]{2}|扣扣|[Qq](?:号|號|群)|加[Qq]|(?:企鹅|企鵝)(?:号|號)"
_OR = r"(?:群|(?:/|、|和|或)(?:微信|[Vv]信|电话|電話|手机|手機|[Vv][Xx]|[Ww][Xx]))?"  # QQ/微信：123456
_COUNT = re.compile(r" ?(?:万|萬|亿|億|元|人|名|个|個|次|位)")
_FORM = re.compile(r"[0-9]{5,11}")
_FEW = 6  # digits up to which a number before 人 or 元 counts something


@RECOGNISERS.add("qq.v1")
class Qq(Shaped):
    """5 to 11 digits without a leading zero behind a key word, of a person or a group; not the local part of a mailbox, not a count."""

    kinds = frozenset({"QQ"})
    example = "QQ：123456789"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){_OR}{JOIN}([1-9][0-9]{{4,10}})"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        if place is None or text[place[1] : place[1] + 1] == "@" or counts(text, *place):
            return ()
        return (Span(*place, "QQ", KEYWORDED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        return behind(
            draw,
            "QQ",
            ("QQ", "QQ号", "qq", "QQ号码", "扣扣", "加QQ", "企鹅号", "Q"),
            draw.choice("123456789") + digits(draw, draw.randint(4, 10)),
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same length that begins with 0; Tencent counts up from 10000, so none does."""
        return "0" + draw.text(DIGITS, len(value) - 1) if _FORM.fullmatch(value) else draw.scramble(value)


def counts(text: str, start: int, end: int) -> bool:
    """Return True for a short number before 人, 元 and the like."""
    return end - start <= _FEW and _COUNT.match(text, end) is not None
