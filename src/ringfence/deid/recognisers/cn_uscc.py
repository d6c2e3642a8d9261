"""Chinese unified social credit codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, in_decimal, stands_alone
from ringfence.deid.recognisers.cn_org_code import check_character as org_check_character
from ringfence.deid.recognisers.cn_org_code import own_use_code
from ringfence.deid.specimen import Specimen, framed, text

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z
_FORM = re.compile(r"[1-9ANY][1-9][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")


def check_character(first17: str) -> str:
    """Return the 18th character: weights 3^i modulo 31. Source: GB 32100-2015, annex A."""
    return _ALPHABET[-sum(pow(3, i, 31) * _ALPHABET.index(c) for i, c in enumerate(first17)) % 31]


@RECOGNISERS.add("cn-uscc.v1")
class CnUscc(Shaped):
    """GB 32100-2015: department, class, region, organisation code with its own check character, check character."""

    kinds = frozenset({"CN_USCC"})
    example = "91350100M000100Y43"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[1-9ANYany][1-9][0-9]{6}[0-9A-HJ-NPQRTUWXYa-hj-npqrtuwxy]{10}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the code if both check characters are right."""
        if not stands_alone(text, start, end) or in_decimal(text, start, end):
            return ()
        code = self.normalise(text[start:end])
        is_right = check_character(code[:17]) == code[17] and org_check_character(code[8:16]) == code[16]
        return (Span(start, end, "CN_USCC", CHECKED),) if is_right else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body8 = (
            text(draw, DIGITS + "ABCDEFGHJKLMNPQRTUWXY", 8)
            if draw.random() < 0.5  # noqa: PLR2004
            else "MA" + text(draw, DIGITS + "ABCDEFGHJKLMNPQRTUWXY", 6)
        )
        check9 = -sum(w * int(c, 36) for w, c in zip((3, 7, 9, 10, 5, 8, 4, 2), body8, strict=True)) % 11
        code9 = body8 + ("X" if check9 == 10 else str(check9))  # noqa: PLR2004  GB 11714
        body = (
            draw.choice(("91", "91", "92", "93", "12", "51", "52", "11"))
            + draw.choice("110108 310115 330106 440305 510107 420100 370200 320500".split())
            + code9
        )
        alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100
        check = -sum(pow(3, n, 31) * alphabet.index(c) for n, c in enumerate(body)) % 31
        return framed("CN_USCC", draw.choice(("", "统一社会信用代码：", "税号", "信用代码:")), body + alphabet[check])

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a code of the same department and class whose check characters are right and that was issued to nobody.

        Its region begins 00, which GB/T 2260 has not (99 serves the Xinjiang Production and Construction Corps in some registers), and its
        organisation code is of the range that GB 11714 gives to no organisation.
        """
        code = self.normalise(value)
        if not _FORM.fullmatch(code):
            return draw.scramble(value)
        first17 = f"{code[:2]}00{draw.text(DIGITS, 4)}{own_use_code(draw)}"
        return refill(value, first17 + check_character(first17))
