"""United States social security numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, has_word, stands_alone
from ringfence.deid.specimen import Specimen, behind, framed

_WORDS = re.compile(r"(?<![A-Za-z])(?:ssn|ss ?#|ss no)(?![A-Za-z])|soc(?:ial|\.)? sec|社安|社会安全", re.IGNORECASE)
_LENGTH = 9
_LEFT = 32  # characters: Social Security Number is: …


@RECOGNISERS.add("us-ssn.v1")
class UsSsn(Shaped):
    """Area, group and serial number within what is issued; nine digits in one block only next to a key word."""

    kinds = frozenset({"US_SSN"})
    example = "536-22-8726"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[0-9]{3}[ \-]?[0-9]{2}[ \-]?[0-9]{4}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if it could have been issued. Source: 20 CFR 422.103; SSA, randomisation of 2011."""
        if not _ends(text, start, end):
            return ()
        number = self.normalise(text[start:end])
        area, group, serial = number[:3], number[3:5], number[5:]
        if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
            return ()
        separators = {c for c in text[start:end] if not c.isdigit()}
        if end - start == _LENGTH + 2 and len(separators) == 1:
            return (Span(start, end, "US_SSN", SHAPE),)
        is_named = not separators and has_word(text, start, end, words=_WORDS, left=_LEFT)
        return (Span(start, end, "US_SSN", KEYWORDED),) if is_named else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        area = draw.choice((*range(1, 666), *range(667, 900)))
        value = f"{area:03d}-{draw.randint(1, 99):02d}-{draw.randint(1, 9_999):04d}"
        if draw.random() < 0.25:  # noqa: PLR2004
            return behind(
                draw,
                "US_SSN",
                ("SSN", "Social Security Number", "social security no.", "社会安全号"),
                draw.choice((value.replace("-", ""), value.replace("-", " "))),
            )
        return framed("US_SSN", draw.choice(("", "", "SSN: ", "SSN ", "Social Security ")), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of area 000, which is never issued."""
        return refill(value, "000" + draw.text(DIGITS, 6)) if len(self.normalise(value)) == _LENGTH else draw.scramble(value)


def _ends(text: str, start: int, end: int) -> bool:
    """Return True unless the range continues into a longer number with hyphens."""
    before = text[max(0, start - 2) : start]
    after = text[end : end + 2]
    continues = (before[-1:] == "-" and before[:1].isdigit()) or (after[:1] == "-" and after[1:].isdigit())
    return stands_alone(text, start, end) and not continues
