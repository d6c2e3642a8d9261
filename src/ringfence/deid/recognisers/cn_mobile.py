"""Chinese mobile numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid import specimen
from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import RECOGNISERS, SHAPE, Shaped, Span, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, framed, grouped

_LENGTH = 11
_LABEL = re.compile(r"(?:tel|phone|mobile|mob|cell|wechat|whatsapp|wx|vx)$", re.IGNORECASE)  # glued to the number in notes
_PREFIX = re.compile(r"(?:\+|00)?86[ \-]?$")


@RECOGNISERS.add("cn-mobile.v1")
class CnMobile(Shaped):
    """1[3-9] and nine digits, in groups of 3-4-4 or 4-4-3 or none; behind +86, 0086 or 86. The span is the national number."""

    kinds = frozenset({"CN_MOBILE"})
    example = "13800138000"
    is_number = True
    pattern: ClassVar[str] = r"1[3-9][0-9](?:[ \-]?[0-9]{4}[ \-]?[0-9]{4}|[0-9][ \-][0-9]{4}[ \-][0-9]{3})"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number unless it is part of a longer one."""
        whole = start
        if prefix := _PREFIX.search(text, max(0, start - 5), start):
            whole = prefix.start()
        if label := _LABEL.search(text, max(0, whole - 10), whole):
            whole = label.start()
        if not stands_alone(text, whole, end) or in_decimal(text, whole, end):
            return ()
        return (Span(start, end, "CN_MOBILE", SHAPE),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        number = specimen.cn_mobile(draw)
        lead = draw.choice(("", "", "", "手机：", "电话", "联系电话: ", "mobile ")) + draw.choice(
            ("", "", "", "", "+86", "+86 ", "+86-", "0086", "86-")
        )
        return framed("CN_MOBILE", lead, draw.choice((number, number, grouped(number, (3, 4), " "), grouped(number, (3, 4), "-"))))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the ranges 10x to 12x, which no operator issues."""
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        return refill(value, f"1{draw.below(3)}{draw.text(DIGITS, 9)}")
