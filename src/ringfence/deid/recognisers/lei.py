"""Legal entity identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, stands_alone
from ringfence.deid.recognisers.iban import has_issued_digits, never_issued_digits, remainder97
from ringfence.deid.specimen import DIGITS, UPPER, Specimen, framed, mod97, text

_LENGTH = 20


@RECOGNISERS.add("lei.v1")
class Lei(Shaped):
    """ISO 17442: prefix of the issuer, entity, two check digits; in one block with at least one letter, in one case of letters."""

    kinds = frozenset({"LEI"})
    example = "549300EXAMPLE0000170"
    is_alone = True
    pattern: ClassVar[str] = r"[A-Za-z0-9]{18}[0-9]{2}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the identifier if it passes modulo 97."""
        number = text[start:end]
        if not stands_alone(text, start, end) or not (number.isupper() or number.islower()):
            return ()
        is_valid = has_issued_digits(number[-2:]) and remainder97(number) == 1
        return (Span(start, end, "LEI", CHECKED),) if is_valid else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body = draw.choice(("5493", "2138", "3003", "9695", "8945", "5299")) + "00" + text(draw, DIGITS + UPPER, 12)
        return framed("LEI", draw.choice(("", "LEI ", "LEI：", "LEI: ")), body + mod97(body))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an identifier of the same issuer that passes modulo 97 with 00, 01 or 99: MOD 97-10 of ISO 17442 gives 02 to 98 alone."""
        number = self.normalise(value)
        if len(number) != _LENGTH or not (number.isascii() and number.isalnum()):
            return draw.scramble(value)
        digits = None
        while digits is None:
            entity = number[:4] + draw.scramble(number[4:18])
            digits = never_issued_digits(entity)
        return refill(value, entity + digits)
