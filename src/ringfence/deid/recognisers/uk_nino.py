"""United Kingdom national insurance numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, has_word, stands_alone
from ringfence.deid.specimen import Specimen, digits, framed, grouped

_WORDS = re.compile(r"(?<![A-Za-z])(?:nino|ni (?:no|num|number))(?![A-Za-z])|national insurance|国民保险|國民保險", re.IGNORECASE)
_PREFIX = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]")
_LENGTH = 9


@RECOGNISERS.add("uk-nino.v1")
class UkNino(Shaped):
    """Two letters that HMRC uses, six digits, A to D; with spaces or hyphens or none. Small letters need a key word."""

    kinds = frozenset({"UK_NINO"})
    example = "AB 12 34 56 C"
    is_alone = True
    is_number = True
    pattern: ClassVar[str] = r"[A-Za-z]{2}[ \-]?[0-9]{2}[ \-]?[0-9]{2}[ \-]?[0-9]{2}[ \-]?[A-Da-d]"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its prefix is one that can be issued. Source: HMRC, National Insurance Manual NIM39110."""
        value = text[start:end]
        separators = {c for c in value if c in " -"}
        if not stands_alone(text, start, end) or len(separators) > 1 or not _PREFIX.match(value.upper()):
            return ()
        is_named = has_word(text, start, end, words=_WORDS)
        if not is_named and not value.isupper():
            return ()
        return (Span(start, end, "UK_NINO", KEYWORDED if is_named else SHAPE),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        letters = draw.choice("ABCEGHJKLMNOPRSTWXYZ") + draw.choice("ABCEGHJKLMNPRSTWXYZ")
        while letters in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"):  # never issued
            letters = draw.choice("ABCEGHJKLMNOPRSTWXYZ") + draw.choice("ABCEGHJKLMNPRSTWXYZ")
        number = letters + digits(draw, 6) + draw.choice("ABCD")
        return framed(
            "UK_NINO",
            draw.choice(("", "NI number ", "NINO: ", "National Insurance no. ")),
            draw.choice((number, grouped(number, (2, 2, 2, 2), " "))),
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of prefix QQ, with the same suffix: HMRC uses no Q and writes its examples with QQ."""
        number = self.normalise(value)
        return refill(value, "QQ" + draw.text(DIGITS, 6) + number[-1]) if len(number) == _LENGTH else draw.scramble(value)
