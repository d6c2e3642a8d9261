"""International securities identification numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, has_word, stands_alone
from ringfence.deid.recognisers.bank_card import luhn_sum
from ringfence.deid.recognisers.swift_bic import COUNTRIES, NO_COUNTRIES
from ringfence.deid.specimen import DIGITS, UPPER, Specimen, framed, luhn

_WORDS = re.compile(r"(?<![A-Za-z])isin(?![A-Za-z])|securit|证券|證券|债券|債券|股票", re.IGNORECASE)
_PREFIXES = COUNTRIES | frozenset("EU EZ QS QT XA XB XC XD XF XS XT".split())  # ISO 6166: substitute agencies, international securities
_LABELS = frozenset("AR BL CN GR ID IN MO NO PR SN SO TR".split())  # before ten digits: invoice, order, shipment or serial number
_LENGTH, _LEAST_DIGITS = 12, 3


def luhn_of_letters(number: str) -> int:
    """Return the Luhn sum with A to Z written out as 10 to 35. Source: ISO 6166."""
    return luhn_sum("".join(str(int(c, 36)) for c in number))


@RECOGNISERS.add("isin.v1")
class Isin(Shaped):
    """ISO 6166: prefix, nine characters, check digit. A key word is needed in small letters, or where the prefix may be a label."""

    kinds = frozenset({"ISIN"})
    example = "US000EXMP005"
    is_alone = True
    pattern: ClassVar[str] = r"[A-Za-z]{2}[A-Za-z0-9]{9}[0-9]"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its prefix and check digit are right."""
        value = text[start:end]
        number = value.upper()
        if not stands_alone(text, start, end) or number[:2] not in _PREFIXES or sum(map(str.isdigit, number)) < _LEAST_DIGITS:
            return ()
        is_doubtful = value != number or (number[:2] in _LABELS and number[2:].isdigit())
        if luhn_of_letters(number) % 10 or (is_doubtful and not has_word(text, start, end, words=_WORDS)):
            return ()
        return (Span(start, end, "ISIN", CHECKED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        country, form = draw.choice(
            (
                ("US", "99999999" + "9"),
                ("US", "999A99109"),
                ("CN", "E00000999"),
                ("CN", "000099999"),
                ("HK", "000099999"),
                ("GB", "00B9AA999"),
                ("DE", "000A9AA99"),
                ("FR", "000099999"),
                ("JP", "399999999"),
                ("KY", "G99999999"),
                ("XS", "099999999"),
                ("NL", "001099999"),
                ("CH", "009999999"),
            )
        )
        body = country + "".join(draw.choice(DIGITS) if c == "9" else draw.choice(UPPER) if c == "A" else c for c in form)
        return framed("ISIN", draw.choice(("", "ISIN ", "ISIN：", "ISIN: ")), body + luhn("".join(str(int(c, 36)) for c in body)))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number that passes the check under QM to QR: ISO 3166-1 never assigns them, ISO 6166 uses none."""
        number = self.normalise(value)
        if len(number) != _LENGTH:
            return draw.scramble(value)
        body = draw.choice(NO_COUNTRIES) + "".join(c if c.isascii() and c.isalnum() else "0" for c in draw.scramble(number[2:11]))
        return refill(value, body + str(-luhn_of_letters(body + "0") % 10))
