"""Chinese resident identity numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, Shaped, Span, has_word, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, day, digits, framed, grouped

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
_PROVINCES = frozenset(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 91".split()
)
_LABEL = re.compile(r"(?:id|idno|idcard|sfz|no)$", re.IGNORECASE)  # glued to the number in notes
_OLD_WORDS = re.compile(r"身份|证|(?<![A-Za-z])ID(?![A-Za-z])|identity", re.IGNORECASE)
_LATEST_YEAR = 2049  # no clock here: a recogniser is pure
_OLD, _NEW = 15, 18


def check_digit(first17: str) -> str:
    """Return the 18th character: ISO 7064 MOD 11-2. Source: GB 11643-1999."""
    return _CHECK[sum(w * int(d) for w, d in zip(_WEIGHTS, first17, strict=True)) % 11]


@RECOGNISERS.add("cn-resident-id.v1")
class CnResidentId(Shaped):
    """GB 11643-1999: region, real birth date, order, check digit; the old form of 15 digits only next to a key word."""

    kinds = frozenset({"CN_RESIDENT_ID"})
    example = "11010519491231002X"
    is_number = True
    pattern: ClassVar[str] = r"[1-9][0-9]{5}[ \-]?(?:18|19|20)[0-9]{6}[ \-]?[0-9]{3}[0-9Xx]|[1-9][0-9]{14}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its region, date and check digit are right."""
        label = _LABEL.search(text, max(0, start - 7), start)
        if not stands_alone(text, label.start() if label else start, end) or in_decimal(text, start, end):
            return ()
        number = self.normalise(text[start:end])
        if number[:2] not in _PROVINCES:
            return ()
        if len(number) == _OLD:
            is_old = _is_date("19" + number[6:12]) and has_word(text, start, end, words=_OLD_WORDS)
            return (Span(start, end, "CN_RESIDENT_ID", KEYWORDED),) if is_old else ()
        if _is_date(number[6:14]) and check_digit(number[:17]) == number[17]:
            return (Span(start, end, "CN_RESIDENT_ID", CHECKED),)
        return ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        region = draw.choice(
            "110105 110108 120101 130102 140105 210102 220102 230103 310104 310115 320106 320583 330106 340102 350203 360102 370202 410105 420106 430102 440305 440106 450103 460105 500112 510107 520103 530102 610113 620102 640104 650102".split()
        )
        born, order = day(draw, 1930, 2023), digits(draw, 3)
        if draw.random() < 0.05:  # noqa: PLR2004  the old form, of fifteen digits, which old records still hold
            return framed(
                "CN_RESIDENT_ID", draw.choice(("身份证号", "身份证：", "老身份证号：")), region + day(draw, 1930, 1985)[2:] + order
            )
        body = region + born + order
        rest = (1 - sum(int(d) * pow(2, 17 - n, 11) for n, d in enumerate(body))) % 11  # ISO 7064, MOD 11-2
        number = body + ("X" if rest == 10 else str(rest))  # noqa: PLR2004
        number = draw.choice((number, number, number, number.lower(), grouped(number, (6, 8), " ")))
        return framed("CN_RESIDENT_ID", draw.choice(("", "", "身份证号：", "身份证", "证件号码:", "ID card ")), number)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of region 99, which does not exist, with a date of the same decade, the same sex and a right check digit."""
        number = self.normalise(value)
        if len(number) not in (_OLD, _NEW) or not number[:-1].isdigit():
            return draw.scramble(value)
        if len(number) == _OLD:
            return refill(value, f"99{draw.text(DIGITS, 4)}{number[6]}{draw.below(10)}{_day(draw)}{draw.text(DIGITS, 2)}{number[14]}")
        order = draw.text(DIGITS, 2) + str(2 * draw.below(5) + int(number[16]) % 2)  # odd for men, even for women
        first17 = f"99{draw.text(DIGITS, 4)}{number[6:9]}{draw.below(10)}{_day(draw)}{order}"
        return refill(value, first17 + check_digit(first17))


def _day(draw: Draw) -> str:
    return f"{draw.below(12) + 1:02d}{draw.below(28) + 1:02d}"


def _is_date(digits: str) -> bool:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).year <= _LATEST_YEAR
    except ValueError:
        return False
