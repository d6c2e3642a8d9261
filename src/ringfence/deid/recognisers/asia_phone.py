"""Telephone numbers of Hong Kong, Macau, Taiwan and Singapore."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, compiled, cuts_a_word, has_word, in_decimal
from ringfence.deid.recognisers.cn_landline import with_bracket
from ringfence.deid.specimen import Specimen, behind, digits, framed, grouped

_CHINESE = "电话|電話|手机|手機|传真|傳真|热线|熱線|致电|致電"
_ENGLISH = "(?i:tel|telephone|phone|mobile|mob|cell|fax|whatsapp|hotline|contact)"
_EIGHT = r"(?:2[1-9]|[3-9][0-9])[0-9]{2}[ \-]?[0-9]{4}"
_GAP = r"(?:）|[ )\-]){0,2}"
_TAIWAN = (  # without the 0: mobile, 8 digits behind 2 and 4, 7 behind 49, 7 behind 3 to 8, 6 behind 37, 82, 89, 5 behind 826, 836
    rf"(?:9[0-8][0-9][ \-]?[0-9]{{3}}[ \-]?[0-9]{{3}}|(?:2{_GAP}[2-8]|4{_GAP}[236])[0-9]{{3}}[ \-]?[0-9]{{4}}|49{_GAP}[0-9]{{3}}[ \-]?[0-9]{{4}}"
    rf"|[3-8]{_GAP}[2-9][0-9]{{2}}[ \-]?[0-9]{{4}}|(?:37|82|89){_GAP}[0-9]{{3}}[ \-]?[0-9]{{3}}|8[23]6{_GAP}[0-9]{{5}})"
)
_KINDS = {"852": "HK_PHONE", "853": "MO_PHONE", "886": "TW_PHONE", "65": "SG_PHONE"}
_FIRST = {"MO_PHONE": "268", "SG_PHONE": "3689"}
_PLACES = {  # key words that tell whose eight digits a number is
    "MO_PHONE": re.compile(r"澳门|澳門|maca[uo]", re.IGNORECASE),
    "SG_PHONE": re.compile(r"新加坡|singapore", re.IGNORECASE),
    "HK_PHONE": re.compile(r"香港|hong ?kong|(?<![A-Za-z])HK(?![A-Za-z])", re.IGNORECASE),
}
_NEAR = re.compile(rf"{_CHINESE}|(?<![A-Za-z]){_ENGLISH}(?![A-Za-z])")
_DIALLED = frozenset(("+", "00"))
_PREFIX = re.compile(r"[+(（]$|00$")
_MOBILE = 9  # digits of a Taiwanese mobile number without the 0


@RECOGNISERS.add("asia-phone.v1")
class AsiaPhone(Shaped):
    """Behind the country code, or in the national form behind a key word.

    Eight digits behind a key word are taken for Hong Kong's if they stand in two groups or a place is named. The span is the national number.
    """

    kinds = frozenset(_KINDS.values())
    example = "+852 2345 6789"
    pattern: ClassVar[str] = (
        rf"(852|853|65)(?:\)|）)?[ \-]{{0,2}}({_EIGHT})|(886)(?:\)|）)?[ \-]{{0,2}}(?:\(0\) ?|\(|（)?(0?{_TAIWAN})"
        rf"|(?:{_CHINESE}|{_ENGLISH}){JOIN}({_EIGHT}|0{_TAIWAN})"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the national number."""
        match = compiled(self.pattern).match(text, start, end)
        if match is None:
            return ()
        first = match.start(match.lastindex or 0)
        if code := match[1] or match[3]:
            whole, kind, score = _behind_code(text, start, code), _KINDS.get(code), SHAPE
        else:
            whole, kind, score = start, _named_kind(text, first, end), KEYWORDED
        is_whole = whole is not None and not cuts_a_word(text, whole) and not cuts_a_word(text, end) and not in_decimal(text, whole, end)
        if not is_whole or kind is None or text[first] not in _FIRST.get(kind, DIGITS):
            return ()
        return (Span(with_bracket(text, first, end), end, kind, score),)

    def normalise(self, value: str) -> str:
        """Return the digits without the 0 in front."""
        return "".join(c for c in value if c in DIGITS).lstrip("0")

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        code, plus = draw.choice(("852", "853", "886", "65")), draw.choice(("+", "+", "00"))
        number = {
            "852": lambda: draw.choice(("51", "54", "61", "66", "91", "98", "21", "23", "27", "34")) + digits(draw, 6),
            "853": lambda: draw.choice(("6", "28")) + digits(draw, 7),
            "886": lambda: draw.choice(("91", "93", "97", "22", "27", "42", "46")) + digits(draw, 7),
            "65": lambda: draw.choice("689") + digits(draw, 7),
        }[code]()
        number = number[:9] if code == "886" else number[:8]
        sizes = (3, 3) if code == "886" and number[0] == "9" else (1, 4) if code == "886" else (4,)
        if draw.random() < 0.6:  # noqa: PLR2004  most are written with the code of the country
            return framed(_KINDS[code], plus + code + draw.choice(("", " ", "-")), grouped(number, sizes, draw.choice(("", " ", "-"))))
        words = {
            "852": ("香港電話", "香港电话", "HK tel"),
            "853": ("澳門電話", "澳门电话", "Macau tel"),
            "886": ("台灣手機", "台湾电话"),
            "65": ("新加坡电话", "Singapore tel"),
        }
        return behind(draw, _KINDS[code], words[code], ("0" if code == "886" else "") + grouped(number, sizes, draw.choice(("", " ", "-"))))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number whose first digit, after the 0 for calls within Taiwan, is 0; a Taiwanese mobile number under 99.

        No subscriber's number begins with 0: it leads to operators and abroad. Sources: OFCA and IMDA, national numbering plans; Macau,
        dispatch 25/2025; NCC, numbering plan, where mobile numbers begin 90 to 98.
        """
        number = self.normalise(value)
        national = ("99" if len(number) == _MOBILE and number[0] == "9" else "0") + draw.text(DIGITS, len(number))
        fresh = iter("0" * (sum(c in DIGITS for c in value) - len(number)) + national)
        return "".join(next(fresh) if c in DIGITS else c for c in value)


def _behind_code(text: str, start: int, code: str) -> int | None:
    """Return where the country code at `start` begins, if it is one: behind `+`, `00`, a bracket or a key word, or three digits and a hyphen."""
    behind = text[start + len(code)]
    prefix = _PREFIX.search(text, max(0, start - 2), start)
    if prefix and (behind not in DIGITS or prefix[0] in _DIALLED):
        return prefix.start()
    is_code = (code != "65" and behind == "-") or has_word(text, start, start, words=_NEAR, left=12, right=0)
    return start if is_code else None


def _named_kind(text: str, start: int, end: int) -> str | None:
    """Return the kind of a national number behind a key word."""
    if text[start] == "0":
        return "TW_PHONE"
    fitting = (kind for kind in _PLACES if text[start] in _FIRST.get(kind, DIGITS) and has_word(text, start, end, words=_PLACES[kind]))
    return next(fitting, None) or ("HK_PHONE" if text[start:end].count(" ") + text[start:end].count("-") else None)
