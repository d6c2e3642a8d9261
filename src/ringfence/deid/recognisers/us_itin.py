"""United States individual taxpayer identification numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, has_word
from ringfence.deid.specimen import Specimen, digits, framed

_WORDS = re.compile(
    r"(?<![A-Za-z])(?:itin|tin|w-?7)(?![A-Za-z])|taxpayer|tax(?:payer)?[ _]id|纳税人|納稅人|个人税号|個人稅號|报税号|報稅號", re.IGNORECASE
)
# Groups 50-65, 70-88, 90-92, 94-99; not inside a longer number with hyphens.
_FORM = re.compile(
    r"(?<![A-Za-z0-9])(?<![0-9][.\-])9[0-9]{2}([ \-]?)(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])\1[0-9]{4}(?![A-Za-z0-9])(?![.\-][0-9])"
)
_LISTED_BEFORE = re.compile(r"[0-9+.)][ ,;|]{0,2}$")  # columns of numbers, a telephone number
_LISTED_AFTER = re.compile(r"[ ,;|]{1,2}[0-9]")
_LENGTH = 9


@RECOGNISERS.add("us-itin.v1")
class UsItin(Shaped):
    """9, two digits, a group that the IRS assigns, four digits; next to a key word unless written with hyphens, or with blanks and no other number beside it."""

    kinds = frozenset({"US_ITIN"})
    example = "912-70-3456"
    is_number = True
    pattern: ClassVar[str] = r"9[0-9]{2}[ \-]?[5-9][0-9][ \-]?[0-9]{4}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its group is assigned. Source: IRS, ITIN; IRM 3.21.263."""
        form = _FORM.match(text, start)
        if form is None:
            return ()
        if form[1] == "-":
            return (Span(start, end, "US_ITIN", SHAPE),)
        if form[1] and not _LISTED_BEFORE.search(text, max(0, start - 3), start) and not _LISTED_AFTER.match(text, end):
            return (Span(start, end, "US_ITIN", SHAPE),)
        return (Span(start, end, "US_ITIN", KEYWORDED),) if has_word(text, start, end, words=_WORDS) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = f"9{digits(draw, 2)}-{draw.choice((*range(50, 66), *range(70, 89), 90, 91, 92, 94, 95, 96, 97, 98, 99))}-{digits(draw, 4)}"
        return framed("US_ITIN", draw.choice(("", "ITIN ", "ITIN: ", "Tax ID ")), draw.choice((value, value, value.replace("-", " "))))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of group 00: the IRS assigns 50 and above, numbers of its own 01 to 39, and the SSA no group 00."""
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        return refill(value, f"9{draw.text(DIGITS, 2)}00{draw.text(DIGITS, 4)}")
