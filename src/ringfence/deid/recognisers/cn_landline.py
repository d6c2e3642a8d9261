"""Chinese fixed-line and service numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, compiled, has_word, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, digits, framed, grouped

_AREA = (  # those of today and those that were merged into a neighbour's
    r"(?:10|2[0-57-9]|3(?:1[0-9]|35|49|5[0-9]|7[0-9]|9[1-8])|4(?:1[0-9]|2[179]|3[0-9]|4[08]|5[1-9]|6[4789]|7[0-9]|8[23])"
    r"|5(?:1[0-9]|2[37]|3[0-9]|4[36]|5[0-9]|6[1-6]|7[0-9]|80|9[1-9])|6(?:3[1-5]|6[0238]|9[12])"
    r"|7(?:01|1[0-9]|2[248]|3[0-9]|4[3-6]|5[0-9]|6[023689]|7[0-9]|9[0-9])|8(?:1[23678]|2[5-7]|3[0-9]|5[1-9]|7[0-9]|8[136-8]|9[0-9])"
    r"|9(?:0[123689]|1[0-79]|3[0-9]|4[13]|5[1-5]|7[0-9]|9[0-9]))"
)
_LOCAL = r"[2-8][0-9]{2,3}[ \-]?[0-9]{4}"
_SERVICE = r"[48]00(?:[ \-]?[0-9]{3}[ \-]?[0-9]{4}|[ \-]?[0-9]{4}[ \-]?[0-9]{3}|[0-9][ \-][0-9]{3}[ \-][0-9]{3})"
_EXTENSION = re.compile(r"(?:-| ?(?:转|轉|分机|分機|内线|內線|ext\.?|x|#)[ :：]{0,2})[0-9]{1,6}(?![0-9A-Za-z])", re.IGNORECASE)
_HEAD = re.compile(rf"0?{_AREA}|[48]00")
_DATED = re.compile(r"20[0-3][0-9][ \-](?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])")
_CHINESE = re.compile(r"电话|電話|座机|座機|固话|传真|傳真|热线|熱線|致电|致電|拨打|客服")
_WORDS = re.compile(rf"{_CHINESE.pattern}|联系|聯繫|(?<![A-Za-z])(?:tel|telephone|phone|fax|call|contact)(?![A-Za-z])", re.IGNORECASE)
_OPENING, _CLOSING = frozenset("(（"), frozenset(")）")
_LABEL = re.compile(r"(?:tel|phone|fax)$", re.IGNORECASE)  # glued to the number in notes
_PREFIX = re.compile(r"[+(（]$|00$")
_FREE = frozenset(("400", "800"))
_BLOCK = 12  # digits in one block: a bar code has as many
_SHORT, _LONG = 2, 8  # digits of an area code, and of the numbers in such an area


def with_bracket(text: str, start: int, end: int) -> int:
    """Return where the number begins: one to the left if it opens a bracket there that closes inside `start:end`."""
    return start - (text[max(0, start - 1) : start] in _OPENING and not _CLOSING.isdisjoint(text[start:end]))


_AREAS_OF_SPECIMENS = "010 021 020 022 023 024 025 027 028 029 0571 0755 0591 0532 0431 0512 0769 0871 0991 0310 0730"


@RECOGNISERS.add("cn-landline.v1")
class CnLandline(Shaped):
    """Area code and 7 or 8 digits, behind 0 or +86, with the extension; 12 digits in one block only next to a key word.

    400 with hyphens; 800, which is also North American, and 400 in other spellings only next to a Chinese key word.
    """

    kinds = frozenset({"CN_LANDLINE"})
    example = "010-62771234转8001"
    is_number = True
    pattern: ClassVar[str] = rf"(?:0|86(?:\)|）)?[ \-]{{0,2}}(?:\(0\) ?|(?:\(|（)?0?))({_AREA})(?:\)|）)?[ \-]{{0,3}}({_LOCAL})|{_SERVICE}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the national number and its extension."""
        match = compiled(self.pattern).match(text, start, end)
        if match is None:
            return ()
        if extension := _EXTENSION.match(text, end):
            end = extension.end()
        if match[1] is None:
            is_plain = text[start] == "4" and match[0].count("-") > 1
            return _span(text, start, start, end, words=None if is_plain else _CHINESE)
        first = match.start(1) - (text[match.start(1) - 1] == "0")
        is_abroad = text[start] == "8"
        prefix = _PREFIX.search(text, max(0, start - 2), start) if is_abroad else None
        is_glued = is_abroad and (prefix is None or prefix[0] in _OPENING) and text[start + 2] in DIGITS  # 8610…: likelier another number
        is_short = len(match[1]) == _SHORT and len(self.normalise(match[2])) < _LONG
        if is_glued or is_short:
            return ()
        is_doubtful = (not is_abroad and len(match[0]) == _BLOCK and match[0].isdecimal()) or _DATED.fullmatch(match[2])
        whole = prefix.start() if prefix else start
        return _span(text, whole, with_bracket(text, first, end), end, words=_WORDS if is_doubtful else None)

    def normalise(self, value: str) -> str:
        """Return the digits without the 0 in front."""
        return "".join(c for c in value if c in DIGITS).lstrip("0")

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        area = draw.choice(_AREAS_OF_SPECIMENS.split())
        number = draw.choice("2345678") + digits(draw, 6 if area in ("0991", "0310", "0730", "0871") else 7)
        spaced = draw.choice((number, grouped(number, (len(number) - 4,), " "), number))
        foreign = (f"+86 {area[1:]} ", spaced)
        lead, whole = draw.choice(
            (
                ("", f"{area}-{spaced}"),
                ("", f"{area}{number}"),
                ("", f"({area}){spaced}"),
                ("", f"（{area}）{spaced}"),
                ("", f"{area} {spaced}"),
                foreign,
            )
        )
        extension = draw.choice(("", "", "", f"转{digits(draw, 4)}", f"-{digits(draw, 3)}", f" 转 {digits(draw, 4)}"))
        return framed("CN_LANDLINE", draw.choice(("", "", "电话：", "座机 ", "传真：", "Tel: ")) + lead, whole + extension)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same area that begins with 0, the prefix of long-distance calls; for 400 and 800 one under 499 and 899.

        Source: Telecommunications Network Numbering Plan of the Ministry of Industry and Information Technology, 2017.
        """
        digits = "".join(c for c in value if c in DIGITS)
        head = _HEAD.match(digits)
        if head is None:
            return draw.scramble(value)
        kept = f"{digits[0]}99" if head[0] in _FREE else f"{head[0]}0"
        fresh = iter(kept + draw.text(DIGITS, len(digits)))
        return "".join(next(fresh) if c in DIGITS else c for c in value)


def _span(text: str, whole: int, first: int, end: int, *, words: re.Pattern[str] | None) -> Sequence[Span]:
    """Return the span `first:end` if all from `whole` on stands alone and a key word, where one is needed, is near."""
    if label := _LABEL.search(text, max(0, whole - 5), whole):
        whole = label.start()
    if not stands_alone(text, whole, end) or in_decimal(text, whole, end) or (words and not has_word(text, first, end, words=words)):
        return ()
    return (Span(first, end, "CN_LANDLINE", KEYWORDED if words else SHAPE),)
