"""United States national provider identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, Shaped, Span, has_word, in_decimal, stands_alone
from ringfence.deid.recognisers.bank_card import luhn_sum
from ringfence.deid.specimen import Specimen, behind, digits, luhn

_WORDS = re.compile(
    r"(?<![A-Za-z])npi(?![A-Za-z])|provider id|national provider|服务提供者|服務提供者|提供者标识|提供者識別", re.IGNORECASE
)
_DIRECT = re.compile(
    r"(?<![A-Za-z])(?:npi|national provider id(?:entifier)?)[ _]?(?:number|num|no\.?|id|#)?[ :=#]{0,3}(?:is )?$", re.IGNORECASE
)
_ISSUER = "80840"  # health, United States: ISO/IEC 7812
_LENGTH = 10
_LEFT = 28  # characters: Provider Identifier number: …


def npi_sum(number: str) -> int:
    """Return the Luhn sum with the issuer's prefix; a valid number has one divisible by 10. Source: CMS, NPI check digit; 45 CFR 162.406."""
    return luhn_sum(_ISSUER + number)


@RECOGNISERS.add("us-npi.v1")
class UsNpi(Shaped):
    """1 or 2 and nine digits with a check digit near a key word, or with any last digit right behind their name."""

    kinds = frozenset({"US_NPI"})
    example = "NPI 1234567893"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[12][0-9]{9}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its check digit is right and a key word is near, or its name stands right before it."""
        if not stands_alone(text, start, end) or in_decimal(text, start, end):
            return ()
        if npi_sum(text[start:end]) % 10:  # mistyped, if its name stands right before it
            return (Span(start, end, "US_NPI", KEYWORDED),) if _DIRECT.search(text, max(0, start - _LEFT), start) else ()
        return (Span(start, end, "US_NPI", CHECKED),) if has_word(text, start, end, words=_WORDS, left=_LEFT) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body = draw.choice("12") + digits(draw, 8)
        return behind(
            draw, "US_NPI", ("NPI", "NPI number", "NPI No", "Provider NPI", "National Provider Identifier"), body + luhn("80840" + body)
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number under 9 that passes the check: CMS issues 1 and 2 alone (69 FR 3434)."""
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        body = "9" + draw.text(DIGITS, 8)
        return refill(value, body + str(-npi_sum(body + "0") % 10))
