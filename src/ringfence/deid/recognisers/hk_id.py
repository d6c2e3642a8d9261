"""Hong Kong identity card numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, UPPER, Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, has_word, stands_alone
from ringfence.deid.specimen import Specimen, digits, framed

_FORM = re.compile(r"([A-Za-z]{1,2})([0-9]{6}) ?([(（]?)([0-9Aa])([)）]?)")
_PLAIN = re.compile(r"([A-Z]{1,2})[0-9]{6}[0-9A]")
_WORDS = re.compile(r"身份|身分|(?<![A-Za-z])(?:hk[ _]?id|hkic|hong kong id|id card)(?![A-Za-z])|identity card", re.IGNORECASE)
_UNUSED = "IOQU"
_BLANK = 36  # the value of the place before a single letter


def check_character(prefix: str, serial: str) -> str:
    """Return the character in brackets: weights 9 to 2, A = 10 to Z = 35, modulo 11.

    Source: the rule as banks and schools in Hong Kong publish it; the Immigration Department publishes none.
    """
    values = [_BLANK] * (2 - len(prefix)) + [int(c, 36) for c in prefix + serial]
    return "0123456789A"[-sum((9 - i) * v for i, v in enumerate(values)) % 11]


@RECOGNISERS.add("hk-id.v1")
class HkId(Shaped):
    """One or two letters, six digits, and the check character: in brackets, or without them next to a key word."""

    kinds = frozenset({"HK_ID"})
    example = "A123456(3)"
    is_number = True
    pattern: ClassVar[str] = r"[A-Za-z]{1,2}[0-9]{6} ?(?:\(|（)?[0-9Aa](?:\)|）)?"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if its check character is right."""
        match = _FORM.match(text, start, end)
        if match is None or (match[3] and not match[5]):
            return ()
        end = match.end() if match[3] else match.end(4)
        if not stands_alone(text, start, match.end(4)) or check_character(match[1], match[2]) != match[4].upper():
            return ()
        return (Span(start, end, "HK_ID", CHECKED),) if match[3] or has_word(text, start, end, words=_WORDS) else ()

    def normalise(self, value: str) -> str:
        """Return the letters and digits in upper case."""
        return "".join(c for c in value if c.isalnum()).upper()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        prefix = draw.choice("ABCDEGHKMPRSVYZ") if draw.random() < 0.8 else draw.choice(("WX", "XA", "XB", "EC"))  # noqa: PLR2004
        serial = digits(draw, 6)
        values = [int(c, 36) for c in prefix.rjust(2, "$").replace("$", "")]
        padded = [36, *values] if len(values) == 1 else values
        check = -sum(w * v for w, v in zip(range(9, 1, -1), [*padded, *map(int, serial)], strict=True)) % 11
        return framed(
            "HK_ID",
            draw.choice(("", "", "身份證號碼：", "香港身份证", "HKID ")),
            f"{prefix}{serial}({'A' if check == 10 else check})",  # noqa: PLR2004
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number under I, O, Q or U with a right check character: no published list of the letters in use has these."""
        match = _PLAIN.fullmatch(self.normalise(value))
        if match is None:
            return draw.scramble(value)
        prefix = draw.choice(_UNUSED) + draw.text(UPPER, len(match[1]) - 1)
        serial = draw.text(DIGITS, 6)
        return refill(value, prefix + serial + check_character(prefix, serial))
