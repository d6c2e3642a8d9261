"""Routing numbers of United States banks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, has_word, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, behind, digits

_WORDS = re.compile(
    r"(?<![A-Za-z])(?:routing|aba|rtn|transit n(?:o|um))(?![A-Za-z])|transit number|路由号|路由號|路线号|路線號",
    re.IGNORECASE,
)
# Government, the twelve districts, thrifts, electronic, travellers' cheques.
_ISSUED = re.compile(r"0[0-9]|1[0-2]|2[1-9]|3[0-2]|6[1-9]|7[0-2]|80")
_LENGTH = 9


def weighted_sum(number: str) -> int:
    """Return the sum with weights 3 7 1; a valid number has one divisible by 10. Source: ABA Key to Routing Numbers; ANSI X9.13."""
    return sum(w * int(d) for w, d in zip(cycle((3, 7, 1)), number, strict=False))


@RECOGNISERS.add("aba-routing.v1")
class AbaRouting(Shaped):
    """Nine digits with a check digit, in a range that is issued, next to a key word."""

    kinds = frozenset({"ABA_ROUTING"})
    example = "routing number 123456780"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[0-9]{9}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its range and check digit are right and a key word is near."""
        number = text[start:end]
        if not stands_alone(text, start, end) or in_decimal(text, start, end) or not _ISSUED.match(number) or not number.strip("0"):
            return ()
        is_named = weighted_sum(number) % 10 == 0 and has_word(text, start, end, words=_WORDS)
        return (Span(start, end, "ABA_ROUTING", CHECKED),) if is_named else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body = draw.choice(("01", "02", "03", "05", "06", "07", "08", "09", "10", "11", "12", "21", "26", "31", "32")) + digits(draw, 6)
        check = -sum(w * int(d) for w, d in zip((3, 7, 1, 3, 7, 1, 3, 7), body, strict=True)) % 10
        return behind(draw, "ABA_ROUTING", ("routing number", "Routing No", "ABA", "ABA routing number", "RTN", "路由号"), f"{body}{check}")

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number under 9 that passes the check: the American Bankers Association assigns 00-12, 21-32, 61-72 and 80."""
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        body = "9" + draw.text(DIGITS, 7)
        return refill(value, body + str(-weighted_sum(body) % 10))
