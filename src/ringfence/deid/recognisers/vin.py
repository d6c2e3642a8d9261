"""Vehicle identification numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, Shaped, Span, has_word, stands_alone
from ringfence.deid.specimen import UPPER, Specimen, digits, framed, text

_WORDS = re.compile(
    r"(?<![A-Za-z])(?:vin|chassis|frame n(?:o|um|umber))(?![A-Za-z])|vehicle id"
    r"|车架|車架|识别代|識別代|识别码|識別碼|车身号|車身號|底盘号|底盤號",
    re.IGNORECASE,
)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"  # no I, O, Q
_VALUES = {c: int(c) for c in DIGITS} | dict(
    zip(_LETTERS, (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)
)
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_CHECK, _YEAR = 8, 9  # places of the check digit and of the model year
_NO_YEARS = frozenset("UZ0")
_LENGTH, _LEAST_LETTERS = 17, 3


def check_digit(number: str) -> str:
    """Return the ninth character for the other sixteen. Source: 49 CFR 565.15(c); GB 16735-2019 annex A."""
    return "0123456789X"[sum(w * _VALUES[c] for w, c in zip(_WEIGHTS, number, strict=True)) % 11]


@RECOGNISERS.add("vin.v1")
class Vin(Shaped):
    """ISO 3779: seventeen characters, the last four digits; with the check digit of North America and China, or next to a key word."""

    kinds = frozenset({"VIN"})
    example = "1M8GDM9AXKP042788"
    is_alone = True
    pattern: ClassVar[str] = r"[A-HJ-NPR-Za-hj-npr-z0-9]{13}[0-9]{4}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its check digit and model year hold, or a key word is near."""
        value = text[start:end]
        number = value.upper()
        if not stands_alone(text, start, end):
            return ()
        holds = check_digit(number) == number[_CHECK] and number[_YEAR] not in _NO_YEARS and value == number
        if holds and sum(map(str.isalpha, number)) >= _LEAST_LETTERS:
            return (Span(start, end, "VIN", CHECKED),)
        return (Span(start, end, "VIN", KEYWORDED),) if has_word(text, start, end, words=_WORDS) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body = (
            draw.choice("LSV LFV LGB WBA WDB 1HG 1FA JTD KMH VF1 LVS LSG 5YJ".split())
            + text(draw, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789", 5)
            + "0"
            + draw.choice("ABCDEFGHJKLMNPRSTVWXY123456789")
            + text(draw, UPPER.translate({ord(c): None for c in "IOQ"}), 1)
            + digits(draw, 6)
        )
        values = {c: int("12345678123457923456789"[n]) for n, c in enumerate("ABCDEFGHJKLMNPRSTUVWXYZ")} | {d: int(d) for d in DIGITS}
        rest = sum(w * values[c] for w, c in zip((8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2), body, strict=True)) % 11
        return framed(
            "VIN",
            draw.choice(("", "VIN ", "车架号：", "VIN码", "车辆识别代号：")),
            f"{body[:8]}{'X' if rest == 10 else rest}{body[9:]}",  # noqa: PLR2004
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same model year with a right check digit under 0, which ISO 3780 gives to no region."""
        number = self.normalise(value)
        if len(number) != _LENGTH:
            return draw.scramble(value)
        fresh = ["0", *(draw.choice(DIGITS if c.isdigit() else _LETTERS) for c in number[1:])]
        fresh[_YEAR] = number[_YEAR] if number[_YEAR] in _VALUES else fresh[_YEAR]
        fresh[_CHECK] = check_digit("".join(fresh))
        return refill(value, "".join(fresh))
