"""Patient numbers of the National Health Service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, has_word
from ringfence.deid.specimen import Specimen, behind, digits, grouped

_WORDS = re.compile(
    r"(?<![A-Za-z])(?:nhs|chi n(?:o|um))(?![A-Za-z])|chi number|national health service|国民保健|國民保健|国民医疗|國民醫療", re.IGNORECASE
)
_PHONE = re.compile(
    r"(?<![A-Za-z])(?:tel|phone|telephone|mobile|cell|fax|call|desk|office)(?![A-Za-z])|电话|電話|传真|傳真|手机|手機", re.IGNORECASE
)
_FORM = re.compile(r"(?<![A-Za-z0-9])(?<![0-9][.\-])([0-9]{3})([ \-]?)[0-9]{3}\2[0-9]{4}(?![A-Za-z0-9])(?![.\-][0-9])")
_ALONE = re.compile(r"(?<![+0-9)] )(?<!\+)[3467][0-9]{2} [0-9]{3} [0-9]{4}(?! [0-9])")  # first digits in England, Wales, Northern Ireland
_TEST = "999"
_LENGTH = 10


def remainder11(number: str) -> int:
    """Return the sum with weights 10 to 1 modulo 11; a valid number has 0. Source: NHS Data Dictionary, NHS NUMBER."""
    return sum(weight * int(d) for weight, d in zip(range(_LENGTH, 0, -1), number, strict=True)) % 11


@RECOGNISERS.add("uk-nhs.v1")
class UkNhs(Shaped):
    """Ten digits with a check digit: in spaced groups of 3-3-4 in an issued range, or in any form next to a key word."""

    kinds = frozenset({"UK_NHS"})
    example = "NHS 943 476 5919"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its check digit is right and it is named, or grouped and no telephone number."""
        form = _FORM.match(text, start)
        if form is None or form[1] == _TEST or remainder11(self.normalise(text[start:end])):
            return ()
        is_alone = _ALONE.match(text, start) and not has_word(text, start, end, words=_PHONE)
        fits = is_alone or has_word(text, start, end, words=_WORDS)
        return (Span(start, end, "UK_NHS", CHECKED),) if fits else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        while True:  # one number in eleven has no check digit, and is not issued
            body = draw.choice("467") + digits(draw, 8)
            check = -sum(w * int(d) for w, d in zip(range(10, 1, -1), body, strict=True)) % 11
            if check != 10:  # noqa: PLR2004
                break
        number = f"{body}{check}"
        value = draw.choice((number, grouped(number, (3, 3), " "), grouped(number, (3, 3), "-")))
        return behind(draw, "UK_NHS", ("NHS", "NHS number", "NHS No", "NHS no.", "NHS Number"), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number under 999 that passes the check: NHS England keeps 999 for tests and issues none of it."""
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        body = _TEST + draw.text(DIGITS, 6)
        while (rest := -remainder11(body + "0") % 11) == _LENGTH:  # 10 is no digit
            body = _TEST + draw.text(DIGITS, 6)
        return refill(value, body + str(rest))
