"""United States driver licences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.keyworded import LINK, loosely
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, Trigger, cuts_a_run, cuts_a_word
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, text

_WORDS = (
    r"(?i:driver(?:'|’)?s?(?:'|’)?[ _\-]?(?:licen[cs]e|lic|permit)|(?:operator|chauffeur)(?:'|’)?s?(?:'|’)? licen[cs]e|driving[ _\-]?licen[cs]e|d\.?l\.?[ _]?n(?:umber|um|o)?|dl ?#)"
    r"|DL:|DL：|驾照|駕照|驾驶证|駕駛證|駕駛執照"
)
_SPACED = r"[A-Za-z]{0,2}[0-9]{2,5}(?: [0-9]{2,5}){2,4}"
_BRITISH = r"[A-Za-z9]{5} [0-9]{6} [A-Za-z9]{2}[0-9][A-Za-z]{2}"
_BARE = r"DL(?: (?:is|was) | ?- ?| )"  # that names other things, too
_SURE = re.compile(  # letters and digits behind it, or digits alone behind more than a blank
    rf"{_BARE}([A-Z]{{1,2}}[0-9]{{6,13}}|[A-Z][0-9]{{3}}-[0-9]{{4}}-[0-9]{{4}}|(?<!DL )[0-9]{{7,9}})(?![A-Za-z0-9])(?!\.[0-9])"
)
_OF_A_VALUE = re.compile(r"[0-9/] ?$")  # 12 mg/DL, 3 DL
_FORM = re.compile(rf"(?:{_WORDS}){LINK}({_BRITISH}|{_SPACED}|[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)(?![A-Za-z0-9])(?!\.[0-9])")
_DATE = re.compile(r"(?:19|20)[0-9]{2}-[01]?[0-9]-[0-3]?[0-9]|[0-3]?[0-9]-[0-3]?[0-9]-(?:19|20)[0-9]{2}")
_CHINESE = re.compile(r"[0-9]{15}|[0-9]{17}[0-9Xx]")  # there the licence has the resident number
_LEAST_DIGITS, _LONGEST = 5, 19


@RECOGNISERS.add("us-driver-licence.v1")
class UsDriverLicence(Shaped):
    """Letters, digits and hyphens with at least five digits, right after a key word: every state has forms of its own, few a check digit.

    Those of the United Kingdom, too.
    """

    kinds = frozenset({"US_DRIVER_LICENCE"})
    example = "driver's license D1234567"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){LINK}[A-Za-z]{{0,5}} ?[0-9]|{_BARE}[A-Z]{{0,2}}[0-9]"

    @property
    def trigger(self) -> Trigger:
        """What leads to it: the automaton has no room for all that may stand between."""
        return Trigger(loosely(self.pattern))

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number after the key word unless it is a date or the number of a Chinese licence."""
        if sure := _SURE.match(text, start, end + 2 * _LONGEST):
            is_one = not cuts_a_word(text, start) and not _OF_A_VALUE.search(text, max(0, start - 2), start)
            return (Span(*sure.span(1), "US_DRIVER_LICENCE", KEYWORDED),) if is_one else ()
        is_unit = text[max(0, start - 1) : start + 2].upper() == "/DL"  # G/DL: 12345
        form = None if is_unit or cuts_a_word(text, start) else _FORM.match(text, start, end + 2 * _LONGEST)
        if form is None or cuts_a_run(text, form.start(1)) or _DATE.fullmatch(form[1]) or _CHINESE.fullmatch(form[1]):
            return ()
        fits = sum(map(str.isdigit, form[1])) >= _LEAST_DIGITS and len(self.normalise(form[1])) <= _LONGEST
        return (Span(*form.span(1), "US_DRIVER_LICENCE", KEYWORDED),) if fits else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: draw.choice(UPPER) + digits(draw, 7),
                lambda: digits(draw, draw.choice((7, 8, 9))),
                lambda: draw.choice(UPPER) + digits(draw, 12),
                lambda: text(draw, UPPER, 2) + digits(draw, 6),
                lambda: f"{draw.choice(UPPER)}{digits(draw, 3)}-{digits(draw, 4)}-{digits(draw, 4)}",
            )
        )()
        return behind(
            draw,
            "US_DRIVER_LICENCE",
            ("driver's license", "Driver License No", "driver license number", "DL", "driving licence", "DL#"),
            value,
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number whose digits begin 999 after a letter, else 000.

        Soundex digits, which many states put after the letter, end at 6 and no social security number, which others used, begins 000.
        The states with serial or random numbers publish no range that they never use: there it is only unlikely that it was issued.
        """
        number = self.normalise(value)
        fresh = iter("999" if number[:1].isalpha() else "000")
        return refill(value, "".join(next(fresh, draw.scramble(c)) if c.isdigit() else draw.scramble(c) for c in number))
