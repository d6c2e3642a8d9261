"""Taiwanese identity and resident certificate numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, has_word, stands_alone
from ringfence.deid.specimen import Specimen, digits, framed

_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"  # their values are 10, 11, …
_FORM = re.compile(r"[A-Z][1289A-D][0-9]{8}")
_DATED = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_WORDS = re.compile(
    r"身分|身份|居留|統一證號|统一证号|統號|(?<![A-Za-z])(?:ARC|UI no|id card|taiwan id)(?![A-Za-z])|resident certificate|identity card",
    re.IGNORECASE,
)
_UNUSED = dict(zip("1289ABCD", "3456EFGH", strict=True))


def check_digit(first9: str) -> str:
    """Return the tenth digit, modulo 10. Source: Ministry of the Interior (Taiwan), coding of national identity numbers."""
    county, second = divmod(_LETTERS.index(first9[0]) + 10, 10), first9[1]
    digits = [_LETTERS.index(second) if second.isalpha() else int(second), *map(int, first9[2:])]
    return str(-(county[0] + 9 * county[1] + sum((8 - i) * d for i, d in enumerate(digits))) % 10)


@RECOGNISERS.add("tw-id.v1")
class TwId(Shaped):
    """County letter, 1 or 2 for citizens, 8 or 9 for residents, check digit.

    Only next to a key word: the old form of residents with A to D in the second place, which tax invoices share, small letters, and a letter
    before a date and a digit, as order numbers have it.
    """

    kinds = frozenset({"TW_ID"})
    example = "A123456789"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[A-Za-z][1289A-Da-d][0-9]{8}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its check digit is right."""
        value = text[start:end]
        number = value.upper()
        if not stands_alone(text, start, end) or check_digit(number[:9]) != number[9]:
            return ()
        is_plain = number[1].isdigit() and value == number and not _DATED.match(number, 1)
        return (Span(start, end, "TW_ID", CHECKED),) if is_plain or has_word(text, start, end, words=_WORDS) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        letter, body = draw.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), draw.choice("1289") + digits(draw, 7)
        number = {c: n for n, c in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO", 10)}[letter]
        total = number // 10 + number % 10 * 9 + sum(w * int(d) for w, d in zip(range(8, 0, -1), body, strict=True))
        return framed("TW_ID", draw.choice(("", "", "身分證字號：", "身份證", "台湾身份证")), f"{letter}{body}{-total % 10}")

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same county, sort and sex, with a right check digit.

        Its second character is 3 to 6 or E to H for 1, 2, 8, 9 or A to D, the only ones issued. Source: National Immigration Agency, 2020.
        """
        number = self.normalise(value)
        if not _FORM.fullmatch(number):
            return draw.scramble(value)
        first9 = number[0] + _UNUSED[number[1]] + draw.text(DIGITS, 7)
        return refill(value, first9 + check_digit(first9))
