"""Ages of people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.numerals import ALTERNATIVES, NUMERALS, number, written
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, framed

_VALUE = re.compile(f"[0-9]{{1,3}}|[{NUMERALS}]{{1,4}}")
_NUMERAL_BEFORE = re.compile(f"[{NUMERALS}百]$")
_BAND_BEFORE = re.compile(r"(?<![0-9])[0-9]{1,3}[-~]$")  # 40-49 says no more than that
_BAND_AFTER = re.compile(r"\+|[-~][0-9]{1,3}(?![0-9])")
_SENTENCE_GOES_ON = re.compile(r"[.,;!?)\n\x00]|$| (?:and|when|now|years)(?![a-z])")
_OLDEST = 125  # years; the oldest person on record reached 122
_BAND = 5  # years: a stand-in says the same about a person's stage of life


@RECOGNISERS.add("age.v1")
class Age(Shaped):
    """A number of years that the words around it say is an age: 54岁, 年龄54, aged 54, a 54-year-old. The span is the number."""

    kinds = frozenset({"AGE"})
    example = "54岁"
    pattern: ClassVar[str] = (
        f"(?:[0-9]{{1,3}} ?|(?:{ALTERNATIVES}){{1,4}})(?:周岁|周歲|岁|歲)|(?:年龄|年齡|年纪)(?:为|是)?[: ]{{0,2}}[0-9]{{1,3}}"
        r"|[0-9]{1,3}[ \-]?(?:[Yy]ears?|[Yy]rs?\.?|YEARS?)[ \-](?:[Oo]ld|OLD|of age)|[0-9]{1,3} ?(?:y/o|yo|Y/O|YO|y\.o\.)"
        r"|(?:[Aa]ged?|AGED?|[Tt]urn(?:s|ed|ing)?|the age of|[Hh]e was|[Hh]e is|I am|I'm) ?:? ?[0-9]{1,3}"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if a person can be that old and it is a number of its own."""
        place = _VALUE.search(text, start, end)
        if place is None:
            return ()
        first, last = place.span()
        years = number(place[0])
        if years is None or years > _OLDEST or in_decimal(text, first, last) or _NUMERAL_BEFORE.search(text, max(0, first - 1), first):
            return ()
        if _BAND_BEFORE.search(text, max(0, first - 4), first) or _BAND_AFTER.match(text, last):
            return ()
        if text[start] in "HhI" and not _SENTENCE_GOES_ON.match(text, end):  # I am 5 minutes late
            return ()
        return (Span(first, last, "AGE", KEYWORDED),) if stands_alone(text, start, end) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        years = min(104, int(draw.triangular(0, 105, 45)))
        said = written(years, like="十二") if years and draw.random() < 0.1 else str(years)  # noqa: PLR2004  one in ten
        if not said.isascii():
            return framed("AGE", draw.choice(("", "现年", "年约")), said, draw.choice(("岁", "周岁")))
        before, after = draw.choice(
            (
                ("", "岁"),
                ("", " 岁"),
                ("", "周岁"),
                ("年龄：", "岁"),
                ("年龄", ""),
                ("年龄: ", ""),
                ("aged ", ""),
                ("Age: ", ""),
                ("age ", ""),
                ("", " years old"),
                ("a ", "-year-old woman"),
                ("", "-year-old male"),
                ("", " y/o"),
                ("", "yo female"),
                ("at the age of ", ""),
            )
        )
        return framed("AGE", before, said, after)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an age of the same five years, other than this one."""
        years = number(value)
        if years is None:
            return draw.scramble(value)
        others = [other for other in range(years - years % _BAND, years - years % _BAND + _BAND) if other != years]
        return written(draw.choice(others), like=value if value.isascii() else "十二")
