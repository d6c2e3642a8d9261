"""United States employer identification numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.keyworded import LINK
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, cuts_a_word
from ringfence.deid.specimen import Specimen, digits, framed

_WORDS = (
    r"(?i:employer[ _]id(?:entification)?|tax[ _]id(?:entification)?|fein|ein)"
    r"|雇主识别|雇主識別|雇主身份|雇主税号|雇主稅號|联邦税号|聯邦稅號"
)
_FORM = re.compile(rf"(?:{_WORDS}){LINK}([0-9]{{2}}-?[0-9]{{7}})(?![A-Za-z0-9])(?![.\-][0-9])")
# Source: IRS, How EINs are assigned and valid EIN prefixes.
_PREFIXES = re.compile(r"0[1-6]|1[0-6]|2[0-7]|3[0-9]|4[0-8]|5[0-9]|6[0-8]|7[1-7]|8[0-8]|9[0-58-9]")
_LENGTH = 9


@RECOGNISERS.add("us-ein.v1")
class UsEin(Shaped):
    """A prefix that the IRS uses and seven digits, right after a key word: they have no check digit."""

    kinds = frozenset({"US_EIN"})
    example = "EIN 91-1144442"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){LINK}[0-9]{{2}}-?[0-9]{{7}}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number after the key word if its prefix is one of the table."""
        form = None if cuts_a_word(text, start) else _FORM.match(text, start, end + 2)
        return (Span(*form.span(1), "US_EIN", KEYWORDED),) if form and _PREFIXES.match(form[1]) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        prefix = draw.choice("01 04 10 13 20 26 27 36 45 46 47 52 54 62 71 75 81 82 84 91 94 95".split())
        return framed(
            "US_EIN", draw.choice(("EIN ", "EIN: ", "Tax ID ", "FEIN ", "employer identification number ")), f"{prefix}-{digits(draw, 7)}"
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of prefix 00, which is not in the table of the IRS."""
        return refill(value, "00" + draw.text(DIGITS, 7)) if len(self.normalise(value)) == _LENGTH else draw.scramble(value)
