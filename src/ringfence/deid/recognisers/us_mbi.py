"""United States Medicare beneficiary identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, has_word
from ringfence.deid.specimen import Specimen, digits, framed, grouped, text

_WORDS = re.compile(r"(?<![A-Za-z])mbi(?![A-Za-z])|medicare|beneficiary|联邦医保|聯邦醫保|医疗保险|醫療保險", re.IGNORECASE)
_LETTERS = "ACDEFGHJKMNPQRTUVWXY"  # no S, L, O, I, B, Z
_A = "[AC-HJKMNPQRT-Yac-hjkmnpqrt-y]"
_AN = "[0-9AC-HJKMNPQRT-Yac-hjkmnpqrt-y]"
_NUMBER = f"[1-9]{_A}{_AN}[0-9]-?{_A}{_AN}[0-9]-?{_A}{{2}}[0-9]{{2}}"
_ENDS = re.compile(rf"(?<![A-Za-z0-9])(?<![A-Za-z0-9]-){_NUMBER}(?![A-Za-z0-9])(?!-[A-Za-z0-9])")
_HYPHENS = (0, 2)
_LENGTH = 11


@RECOGNISERS.add("us-mbi.v1")
class UsMbi(Shaped):
    """Eleven characters, each a digit or one of twenty letters by its place; with both hyphens or none. Small letters need a key word."""

    kinds = frozenset({"US_MBI"})
    example = "1EG4-TE5-MK73"
    pattern: ClassVar[str] = _NUMBER

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the identifier if every place has its sort of character. Source: CMS, Understanding the MBI format."""
        value = text[start:end]
        if value.count("-") not in _HYPHENS or not _ENDS.match(text, start):
            return ()
        is_named = has_word(text, start, end, words=_WORDS)
        if not is_named and not value.isupper():
            return ()
        return (Span(start, end, "US_MBI", KEYWORDED if is_named else SHAPE),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        letters = "ACDEFGHJKMNPQRTUVWXY"
        both = letters + DIGITS
        value = (
            draw.choice("123456789")
            + draw.choice(letters)
            + draw.choice(both)
            + digits(draw, 1)
            + draw.choice(letters)
            + draw.choice(both)
            + digits(draw, 1)
            + text(draw, letters, 2)
            + digits(draw, 2)
        )
        return framed(
            "US_MBI", draw.choice(("", "MBI ", "Medicare number ", "Medicare ID: ")), draw.choice((value, grouped(value, (4, 3), "-")))
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an identifier that begins with 0, which CMS never issues."""
        number = self.normalise(value)
        if len(number) != _LENGTH:
            return draw.scramble(value)
        return refill(value, "0" + "".join(draw.choice(DIGITS if c.isdigit() else _LETTERS) for c in number[1:]))
