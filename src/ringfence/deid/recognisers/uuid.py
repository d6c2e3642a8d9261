"""Universally unique identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.recogniser import RECOGNISERS, SHAPE, Shaped, Span, stands_alone
from ringfence.deid.specimen import Specimen, framed, grouped

_FORM = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-([0-9A-Fa-f])[0-9A-Fa-f]{3}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_MARK = "00000000"


@RECOGNISERS.add("uuid.v1")
class Uuid(Shaped):
    """8-4-4-4-12 hex digits; neither the nil nor the max UUID."""

    kinds = frozenset({"UUID"})
    example = "3f2b8c1e-9d4a-4f6b-8a7c-5e1d2c3b4a59"
    pattern: ClassVar[str] = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the identifier if it is whole and names something."""
        digits = set(self.normalise(text[start:end]))
        return (Span(start, end, "UUID", SHAPE),) if stands_alone(text, start, end) and not digits <= {"0"} and not digits <= {"F"} else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = grouped(draw.randbytes(16).hex(), (8, 4, 4, 4), "-")
        value = f"{value[:14]}{draw.choice('1457')}{value[15:19]}{draw.choice('89ab')}{value[20:]}"  # RFC 9562: version and variant
        return framed("UUID", draw.choice(("", "", "uuid ", "设备ID：", "id=")), draw.choice((value, value, value.upper())))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an identifier of the same version that begins with eight zeros, which mark it, and has 78 drawn bits.

        No range is kept from use: what holds is that it is unique, not that nobody can have made it.
        """
        match = _FORM.fullmatch(value)
        if match is None:
            return draw.scramble(value)
        hexes = "0123456789abcdef"
        tail = f"{draw.text(hexes, 4)}-{match[1]}{draw.text(hexes, 3)}-{draw.choice('89ab')}{draw.text(hexes, 3)}-{draw.text(hexes, 12)}"
        made = f"{_MARK}-{tail}"
        return made.upper() if value.isupper() else made.lower()
