"""Chinese social security and medical insurance numbers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, behind, digits

_INSURANCE = "社保|医保|醫保|健保|参保|參保|社会保障|社會保障|社会保险|社會保險|医疗保险|醫療保險|养老保险|養老保險"
_WORDS = (
    rf"(?:{_INSURANCE})(?:个人|個人|人|电脑|電腦)?(?:(?:卡|证|證|手册|账户)?(?:号|號|编号|編號)|卡(?:：|[: ]))"
    r"|(?i:(?:social|medical) insurance (?:card |account |computer )?(?:no|number))"
)


@RECOGNISERS.add("cn-social-security.v1")
class CnSocialSecurity(Shaped):
    """6 to 20 digits, perhaps with up to three letters before and one behind, after a key word: each province has its own form."""

    kinds = frozenset({"CN_SOCIAL_SECURITY"})
    example = "社保号：3101234567"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}([A-Za-z]{{0,3}}[0-9]{{6,20}}[A-Za-z]?)"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        return (Span(*place, "CN_SOCIAL_SECURITY", KEYWORDED),) if place else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: digits(draw, 10),
                lambda: draw.choice("ABCDEFGH") + digits(draw, 8),
                lambda: digits(draw, 12),
                lambda: "310" + digits(draw, 15),
            )
        )()
        return behind(
            draw, "CN_SOCIAL_SECURITY", ("社保号", "社保卡号", "社会保障号", "医保卡号", "医保号", "社保编号", "个人医保编号"), value
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same form whose digits begin 99 and whose letters are I and O.

        No rule holds for the whole country; where a number begins with a region, as a resident number does, GB/T 2260 has no 99, and codes
        of Chinese standards leave out I and O.
        """
        digits = iter("99" + draw.text(DIGITS, len(value)))
        return refill(value, "".join(next(digits) if c in DIGITS else draw.choice("IO") for c in value if c.isascii() and c.isalnum()))
