"""Postcodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, SEPARATOR, Shaped, Span, compiled, stands_alone
from ringfence.deid.specimen import Specimen, bare, behind, digits, framed, text

_VALUE = re.compile(
    r"(?:[0-9]{4} ?[A-Z]{2}|[0-9]{2}-[0-9]{3}|[0-9]{3,6}(?:[ \-][0-9]{2,4})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9])(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_STATE = re.compile(r"([A-Z]{2})[ ,]+")
_BRITISH = re.compile(
    r"(?:GIR 0AA|(?:[A-PR-UWYZ][0-9]{1,2}|[A-PR-UWYZ][A-HK-Y][0-9]{1,2}|[A-PR-UWYZ][0-9][A-HJKPS-UW]|[A-PR-UWYZ][A-HK-Y][0-9][ABEHMNPRV-Y]) [0-9][ABD-HJLNP-UW-Z]{2})"
)
_CANADIAN = re.compile(r"[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] [0-9][ABCEGHJ-NPRSTV-Z][0-9]")
_STATES = frozenset(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR".split()
)
_REST = 8  # characters of a code that its key word's pattern may not have reached


@RECOGNISERS.add("postcode.v1")
class Postcode(Shaped):
    """Behind a key word; British and Canadian ones by their form; American ones behind the letters of a state.

    Sources: Royal Mail's programmer's guide to the postcode address file (British letters); Canada Post (letters); USPS Publication 28 (states).
    """

    kinds = frozenset({"POSTCODE"})
    example = "邮编100080"
    pattern: ClassVar[str] = (
        r"(?:邮编|郵編|邮政编码|郵遞區號|邮递区号|[Zz][Ii][Pp](?: ?[Cc]ode)?|ZIP(?: ?CODE)?|[Pp]ost(?:al)? ?[Cc]ode|POST(?:AL)? ?CODE)(?: (?:is|no|No|NO|number|code)|号|號|码|碼|为|為|是|：|[:=.#|* \-]){0,4}([0-9A-Za-z][0-9A-Za-z \-]{1,9})"
        r"|[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2}|[A-Z][0-9][A-Z] [0-9][A-Z][0-9]|[A-Z]{2},? [0-9]{5}(?:-[0-9]{4})?"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the code."""
        if _BRITISH.fullmatch(text, start, end) or _CANADIAN.fullmatch(text, start, end):
            return (Span(start, end, "POSTCODE", CHECKED),) if stands_alone(text, start, end) else ()
        if state := _STATE.match(text, start, end):
            is_one = state[1] in _STATES and stands_alone(text, start, end)
            return (Span(state.end(), end, "POSTCODE", KEYWORDED),) if is_one else ()
        if not text[start : start + 3].isalpha() and text[start] not in "邮郵":
            return ()
        stop = text.find(SEPARATOR, end, end + _REST)
        match = compiled(self.pattern).match(text, start, end)
        value = None if match is None else _VALUE.match(text, match.start(1), end + _REST if stop < 0 else stop)
        return (Span(value.start(), value.end(), "POSTCODE", KEYWORDED),) if value else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        chinese = draw.choice(("100", "200", "310", "510", "518", "610", "430", "210", "710", "250")) + digits(draw, 3)
        area = draw.choice(("SW1A", "EC1V", "W1T", "M1", "LS6", "CF10", "EH3", "B15", "OX2", "CB4", "NE12", "SE15", "BT9"))
        british = f"{area} {digits(draw, 1)}{text(draw, 'ABDEFGHJLNPQRSTUWXYZ', 2)}"
        american = f"{draw.choice(('NY', 'CA', 'TX', 'WA', 'MA', 'IL', 'FL'))} {digits(draw, 5)}"
        return draw.choice(
            (
                lambda: behind(draw, "POSTCODE", ("邮编", "邮政编码"), chinese),
                lambda: bare("POSTCODE", british),
                lambda: framed("POSTCODE", american[:3], american[3:]),
                lambda: behind(
                    draw, "POSTCODE", ("zip", "ZIP code", "zip code", "Zip"), digits(draw, 5) + draw.choice(("", f"-{digits(draw, 4)}"))
                ),
                lambda: framed("POSTCODE", "postcode ", british),
            )
        )()

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a code of the same look: digits under 000, which no post of the covered countries uses; British and Canadian ones begin with Q, as no area does."""
        letters = "".join(draw.choice("ABDEFGHJLNPQRSTUWXYZ") if c.isalpha() else c for c in draw.scramble(value))
        if value[:1].isdigit():
            return "000" + letters[3:] if len(value) > 3 else draw.scramble(value)  # noqa: PLR2004
        return "Q" + letters[1:] if value[:1].isalpha() else draw.scramble(value)
