"""Macau resident identity card numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, has_word
from ringfence.deid.specimen import Specimen, behind, digits

_WORDS = r"(?:澳门|澳門)(?:特别行政区|特別行政區)?(?:永久性|非永久性)?(?:居民)?(?:身份|身分)(?:证|證)|(?i:bir|maca[uo][ _](?:resident )?(?:identity card|id))"
_NEAR = re.compile(r"身份|身分|澳门|澳門|maca[uo]|(?<![A-Za-z])BIR(?![A-Za-z])|identity card", re.IGNORECASE)
_LENGTH = 8


@RECOGNISERS.add("macau-id.v1")
class MacauId(Shaped):
    """1, 5 or 7, six digits and one more: in brackets next to a key word, or without them right behind one. Its rule is not public."""

    kinds = frozenset({"MACAU_ID"})
    example = "澳門居民身份證1234567(8)"
    pattern: ClassVar[str] = (
        rf"[157][0-9]{{6}} ?(?:\([0-9]\)|（[0-9]）)|(?:{_WORDS}){JOIN}([157][0-9]{{6}} ?(?:[0-9]|\([0-9]\)|（[0-9]）)|[157]/[0-9]{{6}}/[0-9])"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if a key word is near."""
        place = value_behind(self.pattern, text, start, end)
        if place is None or (place[0] == start and not has_word(text, start, end, words=_NEAR)):
            return ()
        return (Span(*place, "MACAU_ID", KEYWORDED),)

    def normalise(self, value: str) -> str:
        """Return the digits."""
        return "".join(c for c in value if c in DIGITS)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        number, last = draw.choice("157") + digits(draw, 6), digits(draw, 1)
        return behind(
            draw,
            "MACAU_ID",
            ("澳门身份证", "澳門居民身份證", "澳门居民身份证号", "澳門身份證號碼", "Macau ID", "BIR"),
            draw.choice((f"{number}({last})", f"{number}（{last}）", f"{number[0]}/{number[1:]}/{last}")),
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number that begins with 9: cards begin with 1, 5 or 7, though the Identification Services Bureau publishes no rule."""
        return refill(value, "9" + draw.text(DIGITS, _LENGTH - 1)) if len(self.normalise(value)) == _LENGTH else draw.scramble(value)
