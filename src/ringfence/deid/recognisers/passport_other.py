"""Passports of further countries, and the machine-readable zone of any passport."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.keyworded import LINK
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, cuts_a_word
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, text

_WORDS = r"(?i:passport|travel document|passeport|pasaporte|reisepass(?:nummer)?)|护照|護照|旅行证|旅行證"
_DAY = r"(?!(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9]))"
_FORM = re.compile(
    rf"(?:{_WORDS}){LINK}(?<![A-Za-z0-9])(?i:("
    r"[A-Z]{2}[0-9]{6,7}|[A-Z][0-9]{7}"  # Canada, New Zealand, Ukraine; India, Indonesia; Japan, Italy, Korea, Macau
    r"|[A-Z][0-9]{8}|[A-Z][0-9]{7}[A-Z]"  # Mexico, Malaysia, Turkey; Philippines, Singapore
    r"|[A-Z]{3}[0-9]{6}|[0-9]{2}[A-Z]{2}[0-9]{5}|[A-Z][0-9]{6}[A-Z]{2}|[A-Z][0-9]{3}[A-Z][0-9]{4}"  # Spain; France; Canada of 2023; Korea
    r"|(?-i:[A-NP-Z]{2}(?=(?:[A-NP-Z]*[0-9]){3})[A-NP-Z0-9]{6}[0-9])"  # Netherlands
    r"|[CFGHJK](?=[A-Z]*[0-9])[0-9CFGHJKLMNPRTVWXYZ]{8}"  # Germany; Hong Kong
    rf"|[0-9]{{9}}|{_DAY}[0-9]{{8}}(?! ?(?:人|本|份|张|張|件|元|holders|people|applica|passports))|[0-9]{{2}} [0-9]{{7}}|[0-9]{{4}} [0-9]{{6}}"  # United Kingdom, Taiwan; Sweden, Israel; Russia
    r"))(?![A-Za-z0-9])(?![.\-][0-9])"
)
_NAMES = r"P[A-Z<]{43}"
_DATA = r"[A-Z0-9<]{9}[0-9][A-Z<]{3}[0-9]{6}[0-9][FMX<][0-9]{6}[0-9][A-Z0-9<]{14}[0-9<][0-9]"
_BOTH = re.compile(rf"(?<![A-Za-z0-9<])P[A-Z<](?=[A-Z<]*[A-Z]<<)[A-Z<]{{42}}(?:[ \r\n]{{0,4}}({_DATA}))?(?![A-Za-z0-9<])")
_SECOND = re.compile(rf"(?<![A-Za-z0-9<])({_DATA})(?![A-Za-z0-9<])")
_ZONE = re.compile(rf"({_NAMES})?([ \r\n]{{0,4}})({_DATA})?")
_REST = 8  # characters of the longest number, and behind it, that its pattern may not have reached
_SPECIMEN = "UTO"  # Utopia, the state of the specimens


def check_digit(field: str) -> str:
    """Return the check digit of a field: weights 7 3 1, A to Z as 10 to 35, < as 0. Source: ICAO Doc 9303 part 3, 4.9."""
    return str(sum(w * int(c.replace("<", "0"), 36) for w, c in zip(cycle((7, 3, 1)), field, strict=False)) % 10)


def has_right_digits(line: str) -> bool:
    """Return True if all five check digits of a second line hold. Source: ICAO Doc 9303 part 4, 4.2.2."""
    number, birth, expiry, optional = line[:10], line[13:20], line[21:28], line[28:43]
    fields = (number, birth, expiry, optional.replace("<", "0"), number + birth + expiry + optional + line[43])
    return all(check_digit(field[:-1]) == field[-1] for field in fields)


@RECOGNISERS.add("passport-other.v1")
class PassportOther(Shaped):
    """Numbers in the forms of some thirty countries right after a key word, and the two lines of ICAO 9303 TD3, together or alone."""

    kinds = frozenset({"PASSPORT_OTHER"})
    example = "passport TZ1234567"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){LINK}[A-Za-z0-9]{{2}}[A-Za-z0-9 ]{{5}}|{_NAMES}|{_DATA}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number after a key word, or the lines: the second alone only if its check digits hold."""
        if both := _BOTH.match(text, start):
            is_right = both[1] is not None and has_right_digits(both[1])
            return (Span(*both.span(), "PASSPORT_OTHER", CHECKED if is_right else SHAPE),)
        if second := _SECOND.match(text, start):
            return (Span(*second.span(), "PASSPORT_OTHER", CHECKED),) if has_right_digits(second[0]) else ()
        form = None if cuts_a_word(text, start) else _FORM.match(text, start, end + _REST)
        return (Span(*form.span(1), "PASSPORT_OTHER", KEYWORDED),) if form else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: digits(draw, 9),
                lambda: draw.choice("ABCLXY") + digits(draw, 8),
                lambda: text(draw, UPPER, 2) + digits(draw, 7),
                lambda: "C" + text(draw, "CFGHJKLMNPRTVWXYZ0123456789", 8),
                lambda: digits(draw, 2) + text(draw, UPPER, 2) + digits(draw, 5),
            )
        )()
        return behind(draw, "PASSPORT_OTHER", ("passport", "Passport number", "passport no.", "US passport", "护照号码", "外国护照"), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number under X or 000, or lines of the state UTO, which ICAO Doc 9303 keeps for specimens.

        X and 000 begin no passport of Hong Kong, Macau, Germany and India; of the others it is not known.
        """
        if zone := _ZONE.fullmatch(value):
            names = zone[1][:2] + _SPECIMEN + draw.scramble(zone[1][5:]) if zone[1] else ""
            return names + zone[2] + (_data(zone[3], draw) if zone[3] else "")
        number = self.normalise(value)
        return refill(value, "X" + draw.scramble(number[1:]) if number[:1].isalpha() else "000" + draw.scramble(number[3:]))


def _data(line: str, draw: Draw) -> str:
    """Return a second line with other numbers, another day in the same decades, the same sex and right check digits."""
    number = _closed("X" + draw.scramble(line[1:9]))
    birth, expiry = (_closed(f"{line[at]}{draw.below(10)}{draw.below(12) + 1:02d}{draw.below(28) + 1:02d}") for at in (13, 21))
    optional = draw.scramble(line[28:42])
    optional += "<" if optional.strip("<") == "" else check_digit(optional)
    return number + _SPECIMEN + birth + line[20] + expiry + optional + check_digit(number + birth + expiry + optional)


def _closed(field: str) -> str:
    return field + check_digit(field)
