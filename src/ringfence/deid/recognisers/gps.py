"""Geographic coordinates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, cuts_a_word, has_word, in_decimal
from ringfence.deid.specimen import Specimen, bare, framed

_DECIMAL = r"[0-9]{1,3}\.[0-9]{3,15}"
_ONE = rf"(?:[NSEW] ?)?-?{_DECIMAL}(?:°|度)?(?: ?[NSEW])?"
_AXES = r"(?:北|南|东|西|東)(?:纬|經|经|緯)|(?:纬|經|经|緯)度|(?i:latitude|longitude|lat|lng|lon)"
_MINUTES = r"[0-9]{1,3}(?:°|度) ?[0-9]{1,2}(?:\.[0-9]{1,6})?(?:'|′|’|分)"
_PAIR = re.compile(
    r"(?:([NSEW]) ?)?(-?[0-9]{1,3}\.([0-9]{3,15}))(?:°|度)?(?: ?([NSEW]))?([,，;；/、 ]{1,3})"
    r"(?:([NSEW]) ?)?(-?[0-9]{1,3}\.([0-9]{3,15}))(?:°|度)?(?: ?([NSEW])(?![A-Za-z0-9]))?"
)
_AXIS = re.compile(rf"(?:{_AXES})(?:是|为|為|：|[ :=\"'])*")
_SINGLE = re.compile(  # hemisphere, degrees, minutes, hemisphere
    r"([NSEW] ?)?-?([0-9]{1,3})"
    r"(?:\.[0-9]{3,15}(?:°|度)?|((?:°|度) ?[0-9]{1,2}(?:\.[0-9]{1,6})?['′’分](?: ?[0-9]{1,2}(?:\.[0-9]{1,6})?(?:′′|''|[\"″”秒]))?))"
    r"( ?[NSEW](?![A-Za-z0-9]))?"
)
_WORDS = re.compile(
    r"坐标|座標|定位|位置|(?:纬|緯|经|經)度|[南北](?:纬|緯)|[东東西](?:经|經)|(?<![A-Za-z])(?:gps|lat|lng|lon|latitude|longitude|coordinates?|location|point)(?![A-Za-z])",
    re.IGNORECASE,
)
_LISTED_BEFORE = re.compile(r"[0-9] ?[,，;；/、] ?$")
_LISTED_AFTER = re.compile(r" ?[,，;；/、] ?-?[0-9]")
_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?( ?['′’分\"″”秒])?")
_LATITUDE, _LONGITUDE = 90.0, 180.0
_FINE, _LEAST, _ONE_LEAST = 4, 1.0, 10.0  # decimals, and degrees, of a pair that nothing announces
_LONGEST = 80


@RECOGNISERS.add("gps.v1")
class Gps(Shaped):
    """A pair of decimals in range, or a coordinate behind 北纬, lat…, or in degrees and minutes with a hemisphere.

    A pair that nothing announces needs four decimals on both sides, values that are no fractions, and no third number beside it.
    """

    kinds = frozenset({"GPS"})
    example = "坐标39.904211, 116.407395"
    pattern: ClassVar[str] = (
        rf"{_ONE}(?:,|，|;|；|/|、| ){{1,3}}{_ONE}|(?:{_AXES})(?:是|为|為|：|[ :=\"']){{0,4}}-?(?:{_DECIMAL}|{_MINUTES})|(?:[NSEW] ?)?{_MINUTES}"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:  # noqa: ARG002  only where it begins matters
        """Return the pair or the single coordinate."""
        stop = min(len(text), start + _LONGEST)
        axis = _AXIS.match(text, start, stop)
        first = axis.end() if axis else start
        if cuts_a_word(text, start):
            return ()
        if (pair := _PAIR.match(text, first, stop)) and (score := _score(text, pair)):
            return (Span(first, pair.end(), "GPS", score),)
        single = _SINGLE.match(text, first, stop)
        if single is None or cuts_a_word(text, single.end()) or in_decimal(text, first, single.end()) or float(single[2]) > _LONGITUDE:
            return ()
        is_named = axis or (single[3] and (single[1] or single[4] or has_word(text, start, single.end(), words=_WORDS)))
        return (Span(first, single.end(), "GPS", KEYWORDED),) if is_named else ()

    def normalise(self, value: str) -> str:
        """Return the numbers and hemispheres, joined by blanks."""
        return " ".join(re.findall(r"-?[0-9]+(?:\.[0-9]+)?|[NSEW]", value))

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        latitude, longitude = draw.uniform(18, 53), draw.uniform(74, 134)
        places = draw.choice((4, 5, 6))
        one, two = f"{latitude:.{places}f}", f"{longitude:.{places}f}"
        minutes = f"{int(latitude)}°{draw.randrange(60)}′{draw.randrange(60)}″"
        return draw.choice(
            (
                lambda: bare("GPS", f"{one}, {two}"),
                lambda: bare("GPS", f"{one},{two}"),
                lambda: framed("GPS", draw.choice(("坐标", "定位：", "GPS: ", "location ")), f"{one}, {two}"),
                lambda: framed("GPS", draw.choice(("北纬", "纬度：", "lat=", "latitude: ")), one),
                lambda: framed("GPS", draw.choice(("东经", "经度：", "lng=", "longitude: ")), two),
                lambda: bare("GPS", f"{minutes}N"),
                lambda: framed("GPS", "北纬", minutes),
            )
        )()

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a place of the same form within one degree of latitude 0 and longitude 0: open sea, where nobody lives."""
        return _NUMBER.sub(lambda match: _drawn(match, draw), value)


def _score(text: str, pair: re.Match[str]) -> float:
    """Return how sure a pair is a place, 0 if it is none."""
    one, other = abs(float(pair[2])), abs(float(pair[7]))
    if min(one, other) > _LATITUDE or max(one, other) > _LONGITUDE or cuts_a_word(text, pair.end()) or in_decimal(text, *pair.span()):
        return 0
    hemispheres = {pair[1] or pair[4], pair[6] or pair[9]} - {None}
    if len(hemispheres) == 2 or has_word(text, *pair.span(), words=_WORDS):  # noqa: PLR2004  of latitude and longitude
        return KEYWORDED
    is_listed = _LISTED_BEFORE.search(text, max(0, pair.start() - 4), pair.start()) or _LISTED_AFTER.match(text, pair.end())
    is_fine = min(len(pair[3]), len(pair[8])) >= _FINE and pair[5] != " "
    return SHAPE if is_fine and not is_listed and min(one, other) >= _LEAST and max(one, other) >= _ONE_LEAST else 0


def _drawn(match: re.Match[str], draw: Draw) -> str:
    decimals = "." + draw.text(DIGITS, len(match[2])) if match[2] else ""
    return f"{draw.below(60):02d}{decimals}{match[3]}" if match[3] else f"0{decimals}"
