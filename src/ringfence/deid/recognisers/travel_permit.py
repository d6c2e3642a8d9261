"""Permits to travel between the mainland, Hong Kong, Macau and Taiwan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, behind, digits

_WORDS = r"通行证|通行證|(?:回乡|回鄉|港澳|双程|雙程|大通)(?:证|證)|(?i:(?:travel|return|entry) permit(?: for [A-Za-z ]{5,40})?)"
_TAIWAN = r"(?:台胞|臺胞)(?:证|證)|(?:大陆|大陸)通行(?:证|證)|(?i:taiwan (?:compatriot )?(?:travel )?permit|permit for taiwan residents)"
_LETTERED = r"[HMhm][0-9]{8}(?:[0-9]{2})?|[Cc][0-9A-HJ-NP-Za-hj-np-z][0-9]{7}|[WTLwtl][0-9]{8}"
_DIGITS = r"[0-9]{8}(?:[0-9]{2}(?:\([0-9A-Za-z]\)|（[0-9A-Za-z]）)?)?"
_LONG = re.compile(r"[A-Z][0-9A-Z][0-9]{7}(?:[0-9]{2})?")
_SHORT = re.compile(r"[0-9]{8}(?:[0-9]{2}[0-9A-Z]?)?")


@RECOGNISERS.add("travel-permit.v1")
class TravelPermit(Shaped):
    """Permits of residents of Hong Kong (H), Macau (M) and Taiwan (digits alone), and of mainlanders (C, W, T, L), behind a key word."""

    kinds = frozenset({"TRAVEL_PERMIT"})
    example = "回乡证H1234567800"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}({_LETTERED})|(?:{_TAIWAN}){JOIN}({_DIGITS})"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        return (Span(*place, "TRAVEL_PERMIT", KEYWORDED),) if place else ()

    def normalise(self, value: str) -> str:
        """Return the letters and digits in upper case."""
        return "".join(c for c in value if c.isalnum()).upper()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        permit, value = draw.choice(
            (
                (("回乡证", "回乡证号", "港澳居民来往内地通行证"), draw.choice("HM") + digits(draw, draw.choice((8, 10)))),
                (("台胞证", "台胞证号", "台湾居民来往大陆通行证"), digits(draw, 8)),
                (("港澳通行证", "往来港澳通行证号"), draw.choice("CW") + digits(draw, 8)),
                (("大陆居民往来台湾通行证", "往来台湾通行证"), draw.choice("LT") + digits(draw, 8)),
            )
        )
        return behind(draw, "TRAVEL_PERMIT", permit, value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number with the same first letter and I in the second place, or for digits alone one under 99.

        The second place is a digit, or a letter other than I and O (Ministry of Public Security, 10 March 2010; National Immigration
        Administration, 10 December 2018). A Taiwanese resident has one number for life, and 23 million residents do not come near 99 million.
        """
        number = self.normalise(value)
        if _SHORT.fullmatch(number):
            return refill(value, "99" + draw.text(DIGITS, 8) + number[10:])
        return refill(value, number[0] + "I" + draw.text(DIGITS, len(number) - 2)) if _LONG.fullmatch(number) else draw.scramble(value)
