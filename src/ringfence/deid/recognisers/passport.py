"""Passport numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SEPARATOR, Shaped, Span, has_word, stands_alone
from ringfence.deid.specimen import Specimen, behind, digits

_WORDS = re.compile(r"护照|旅行证|(?<!<)passport|travel doc", re.IGNORECASE)  # and not what was put in the place of one
_CN = re.compile(r"[EG][0-9]{8}|E[A-HJ-NP-Z][0-9]{7}|[DSP][0-9]{8}|[DSP]E[0-9]{7}")
_NUMBER = re.compile(r"[0-9]{5}|<[A-Z_]+>")  # or what was put in its place
_LOOK = 24  # characters before a number in which its key word stands
_US = re.compile(r"[0-9]{9}|[A-Z][0-9]{8}")


def _is_anothers(text: str, start: int) -> bool:
    """Return True when the key word before digits has its number already: 护照E73014730，QQ 324104545."""
    begin = max(text.rfind(SEPARATOR, max(0, start - _LOOK), start) + 1, start - _LOOK)
    last = next((match.end() for match in reversed(list(_WORDS.finditer(text, begin, start)))), None)
    return last is not None and _NUMBER.search(text, last, start) is not None


@RECOGNISERS.add("passport.v1")
class Passport(Shaped):
    """Passports of China (E, G, D, S, P and eight) and the United States (nine), next to a key word: they have no check digit."""

    kinds = frozenset({"PASSPORT"})
    example = "护照E12345678"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[A-Za-z]{0,2}[0-9]{7,9}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if it has the form of a passport and a key word is near."""
        if not stands_alone(text, start, end):
            return ()
        value = text[start:end].upper()
        fits = _CN.fullmatch(value) or (_US.fullmatch(value) and not (value.isdigit() and _is_anothers(text, start)))
        return (Span(start, end, "PASSPORT", KEYWORDED),) if fits and has_word(text, start, end, words=_WORDS) else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: draw.choice("EG") + digits(draw, 8),
                lambda: "E" + draw.choice("ABCDEFGHJKLMNPQ") + digits(draw, 7),
                lambda: draw.choice(("P", "D", "S", "SE", "PE", "DE"))[:2] + digits(draw, 7),
                lambda: draw.choice(("K", "H")) + digits(draw, 8),
            )
        )()
        return behind(draw, "PASSPORT", ("护照", "护照号", "护照号码", "护照编号", "passport", "Passport No", "passport number"), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same length: under X for lettered ones, under 000 for digits; neither series is issued."""
        number = self.normalise(value)
        head = "X" if number[:1].isalpha() else "000"
        return (
            refill(value, head + draw.text(DIGITS, max(0, len(number) - len(head)))) if len(number) >= len(head) else draw.scramble(value)
        )
