"""Hardware addresses of network interfaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span
from ringfence.deid.specimen import Specimen, framed, grouped

_WORDS = r"(?i:mac(?:[ _]?addr(?:ess)?)?)(?:地址|位址)?|物理地址|實體位址"
_CONTINUES_BEFORE = re.compile(r"(?:^|[^0-9A-Za-z])[0-9A-Fa-f]{1,4}[:.\-]$")  # a group of more of the same, and not the C of MAC:
_WIDEST = 6  # characters of that
_CONTINUES_AFTER = re.compile(r"[:.\-][0-9A-Fa-f]")
_DOCUMENTATION = "00005E0053"
_LENGTH = 12


@RECOGNISERS.add("mac-address.v1")
class MacAddress(Shaped):
    """Six pairs joined by : or -, three fours joined by dots, or twelve hex digits behind a key word; neither all 0 nor all F, nor part of more."""

    kinds = frozenset({"MAC_ADDRESS"})
    example = "00:1A:2B:3C:4D:5E"
    pattern: ClassVar[str] = (
        r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}"
        rf"|(?:{_WORDS}){JOIN}([0-9A-Fa-f]{{12}})"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the address if it stands for an interface."""
        place = value_behind(self.pattern, text, start, end)
        if place is None:
            return ()
        value = text[slice(*place)]
        if not any(c in "-.:" for c in value):
            return (Span(*place, "MAC_ADDRESS", KEYWORDED),) if _is_interface(value) else ()
        if _CONTINUES_BEFORE.search(text, max(0, start - _WIDEST), start) or _CONTINUES_AFTER.match(text, end):
            return ()
        has_letter = any(c.isalpha() for c in value)  # 12-05-20-13-05-20 and 1234.5678.9012 are something else
        return (Span(*place, "MAC_ADDRESS", SHAPE),) if (":" in value or has_letter) and _is_interface(value) else ()

    def normalise(self, value: str) -> str:
        """Return the hex digits in upper case."""
        return "".join(c for c in value if c.isascii() and c.isalnum()).upper()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        parts = [f"{draw.choice((0x00, 0x3C, 0xF0, 0xAC, 0x28, 0xB8, 0xDC)):02x}", *(f"{draw.randrange(256):02x}" for _ in range(5))]
        value = draw.choice(
            (":".join(parts), ":".join(parts).upper(), "-".join(parts).upper(), "-".join(parts), grouped("".join(parts), (4, 4), "."))
        )
        return framed("MAC_ADDRESS", draw.choice(("", "", "MAC：", "MAC ", "网卡")), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return one of the 256 addresses 00-00-5E-00-53-00 to -FF that RFC 7042 §2.1.2 keeps for documentation.

        They are so few that two addresses of one set may get the same one.
        """
        if len(self.normalise(value)) != _LENGTH:
            return draw.scramble(value)
        made = f"{_DOCUMENTATION}{draw.below(256):02X}"
        return refill(value, made.lower() if any(c.islower() for c in value) else made)


def _is_interface(value: str) -> bool:
    return not set(value.upper()) - set("-.:") <= {"0"} and not set(value.upper()) - set("-.:") <= {"F"}
