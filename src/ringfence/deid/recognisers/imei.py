"""Mobile equipment identities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, has_word
from ringfence.deid.recognisers.bank_card import luhn_sum
from ringfence.deid.specimen import Specimen, digits, framed, grouped, luhn

_WORDS = re.compile(r"(?<![A-Za-z])imei(?![A-Za-z])|串号|串號|串码|串碼|设备识别码|設備識別碼|设备标识|設備標識", re.IGNORECASE)
_FORM = re.compile(
    r"(?<![A-Za-z0-9])(?<![0-9][.\-])(?:[0-9]{15}|[0-9]{2}([ \-])[0-9]{6}\1[0-9]{6}\1[0-9]|[0-9]{6}([ \-])[0-9]{2}\2[0-9]{6}\2[0-9]"
    r"|[0-9]{8}([ \-])[0-9]{6}\3[0-9])(?![A-Za-z0-9])(?![.\-][0-9])"
)
_LENGTH = 15


@RECOGNISERS.add("imei.v1")
class Imei(Shaped):
    """Fifteen digits that pass Luhn: next to a key word, or with hyphens after type and serial number, as no card has them."""

    kinds = frozenset({"IMEI"})
    example = "49-015420-323751-8"
    is_number = True
    pattern: ClassVar[str] = (
        r"[0-9]{15}|[0-9]{2}[ \-][0-9]{6}[ \-][0-9]{6}[ \-][0-9]|[0-9]{6}[ \-][0-9]{2}[ \-][0-9]{6}[ \-][0-9]|[0-9]{8}[ \-][0-9]{6}[ \-][0-9]"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if it passes Luhn and is named or has hyphens. Source: 3GPP TS 23.003 §6.2 and annex B."""
        if not _FORM.match(text, start) or luhn_sum(self.normalise(text[start:end])) % 10:
            return ()
        fits = "-" in text[start:end] or has_word(text, start, end, words=_WORDS)
        return (Span(start, end, "IMEI", CHECKED),) if fits else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body = draw.choice(("35", "86", "01", "49", "99")) + digits(draw, 12)
        number = body + luhn(body)
        value = draw.choice((number, number, grouped(number, (2, 6, 6), "-"), grouped(number, (6, 2, 6), " ")))
        return framed("IMEI", draw.choice(("IMEI：", "IMEI: ", "imei ", "手机串号", "设备串号：")), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number under 7 that passes Luhn: no reporting body of the GSMA has such an identifier (TS.06 annex A)."""
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        body = "7" + draw.text(DIGITS, 13)
        return refill(value, body + str(-luhn_sum(body + "0") % 10))
