"""Telephone numbers outside China, Hong Kong, Macau, Taiwan and Singapore."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid import dates
from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span, Trigger, cuts_a_word, has_word, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, digits, framed, grouped

_LATIN = (
    "tel telephone telphone phone mobile mob cell fax desk office call called calling text sms dial reach reached contact whatsapp hotline answering"
).split()
_OTHER = "电话 電話 手机 手機 传真 傳真 致电 拨打 热线".split()


def _any_word() -> re.Pattern[str]:
    """Return a pattern of the key words that begins with a class of their first characters, among which `re` looks around at once."""
    latin: dict[str, list[str]] = {}
    for word in sorted(_LATIN, key=lambda word: (-len(word), word)):
        latin.setdefault(word[0], []).append(word[1:])
    firsts = "".join(f"{first}{first.upper()}" for first in latin) + "ſ"  # an s in any case, to `re`
    rests = "|".join(f"(?<=[{first}{first.upper()}{'ſ' if first == 's' else ''}])(?i:{'|'.join(words)})" for first, words in latin.items())
    others = "|".join(f"(?<={word[0]}){word[1:]}" for word in _OTHER)
    return re.compile(rf"[{firsts}{''.join(word[0] for word in _OTHER)}](?:(?<!(?i:[a-z<]).)(?:{rests})(?!(?i:[a-z]))|{others})", re.DOTALL)


_WORDS = _any_word()
_KEYS = "[Tt]el|TEL|[Pp]hone|PHONE|[Mm]obile|MOBILE|[Cc]ell|[Ff]ax|FAX|[Dd]esk|[Oo]ffice|[Cc]all|[Tt]ext|SMS|WhatsApp|[Hh]otline|[Cc]ontact"
_FORMS = (
    r"\+[1-9][0-9 ().\-/]{6,22}[0-9]|00[1-9][0-9]{0,3}[ \-][0-9 ().\-]{5,18}[0-9]"
    r"|(?:1[ .\-])?\(?[0-9]{2,5}\)?[ .\-/](?:[0-9]{2,4}[ .\-/]){0,4}[0-9]{2,8}"
)
_NAMED = rf"(?:{_KEYS})[a-z. ]{{0,6}}[:=]? ?\(?[0-9][0-9 ().\-/]{{4,18}}[0-9]"
_NUMBER = re.compile(r"[+(]?[0-9][0-9 ().\-/]*")
_EXTENSION = re.compile(r" ?(?:x|ext\.?|extension|#) ?[0-9]{1,6}(?![0-9A-Za-z])", re.IGNORECASE)
_AMERICAN = re.compile(r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-]?[0-9]{4}")
_TRUNK = re.compile(r"\(?0[1-9][0-9]*\)?(?:[ .\-/]\(?[0-9]{2,4}\)?){2,4}|\(?0[1-9][0-9]{1,4}\)?[ .\-/][0-9]{5,8}")
_CODES = re.compile(  # countries of the world numbering plan. Source: ITU-T E.164, list of assigned codes
    "1|7|2[07]|21[12368]|2[2-6][0-9]|29[0178]|3[0-469]|3[578][0-9]|4[013-9]|42[013]|5[1-8]|50[0-9]|59[0-9]|6[0-6]|67[02-9]|68[0-35-9]|69[0-2]|8[1246]"
    "|85[02356]|88[068]|9[0-58]|96[0-8]|97[0-7]|99[2-68]"
)
_ELSEWHERE = re.compile("86|852|853|886|65")  # numbers with recognisers of their own
_GOES_ON = re.compile(r"[0-9][\-/.]$")
_LEAST, _MOST = 7, 15  # digits. Source: ITU-T E.164
_SHORT = 6


@RECOGNISERS.add("phone.v1")
class Phone(Shaped):
    """A number behind + and a country's code; an American number in its groups; a number in groups behind a trunk 0; any other only near a key word."""

    kinds = frozenset({"PHONE"})
    example = "+44 20 7946 0018"
    pattern: ClassVar[str] = f"{_FORMS}|{_NAMED}"

    @property
    def trigger(self) -> Trigger:
        """Return the pattern, its forms where no letter or digit stands before them; only with as many digits as a telephone has."""
        return Trigger(f"(?:^|[^0-9A-Za-z])(?:{_FORMS})|{_NAMED}", is_number=True)

    @property
    def searched(self) -> str:
        """Return the same for `re`."""
        return f"(?<![0-9A-Za-z])(?:{_FORMS})|{_NAMED}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number with its extension."""
        if text[start] not in "+(" and not text[start].isdigit() and (number := _NUMBER.search(text, start, end)):
            start = number.start()
        if _GOES_ON.search(text, max(0, start - 2), start):
            return ()  # groups of something longer that is none: of a date with a time
        if text.startswith(("+", "00"), start):
            end = _cut(text, start, end)
        extension = _EXTENSION.match(text, end)
        last = extension.end() if extension else end
        if not stands_alone(text, start, last) or in_decimal(text, start, last):
            return ()
        score = _score(text, start, end)
        return () if score is None else (Span(start, last, "PHONE", score),)

    def normalise(self, value: str) -> str:
        """Return the digits, with + where the number has it."""
        return ("+" if value.startswith("+") else "") + "".join(c for c in value if c in DIGITS)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        code, sizes = draw.choice(
            (
                ("1", (3, 3, 4)),
                ("44", (2, 4, 4)),
                ("44", (4, 6)),
                ("49", (3, 7)),
                ("33", (1, 2, 2, 2, 2)),
                ("81", (2, 4, 4)),
                ("61", (3, 3, 3)),
                ("91", (5, 5)),
                ("39", (3, 7)),
                ("34", (3, 3, 3)),
                ("82", (2, 4, 4)),
                ("7", (3, 3, 4)),
                ("55", (2, 5, 4)),
            )
        )
        first = {
            "1": ("212", "415", "617", "305", "713", "206"),
            "44": ("20", "7911", "7700", "161"),
            "49": ("151", "170", "301"),
            "33": ("6", "1"),
            "81": ("90", "80", "3"),
            "61": ("412", "298"),
            "91": ("98", "90"),
            "39": ("347", "062"),
            "34": ("612", "913"),
            "82": ("10",),
            "7": ("916", "495"),
            "55": ("11", "21"),
        }[code]
        number = draw.choice(first)
        number += draw.choice("2345678") + digits(draw, sum(sizes) - len(number) - 1)
        gap = draw.choice((" ", "-", "."))
        american = draw.choice(
            (
                f"({number[:3]}) {number[3:6]}-{number[6:]}",
                f"{number[:3]}-{number[3:6]}-{number[6:]}",
                f"{number[:3]}.{number[3:6]}.{number[6:]}",
                f"1-{number[:3]}-{number[3:6]}-{number[6:]}",
            )
        )
        whole = f"+{code}{draw.choice((' ', '', '-'))}{grouped(number, sizes, gap) if draw.random() < 0.7 else number}"  # noqa: PLR2004
        return framed(
            "PHONE",
            draw.choice(("", "", "call ", "Tel: ", "电话：", "phone ")),
            american if code == "1" and draw.random() < 0.7 else whole,  # noqa: PLR2004
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number that nobody has.

        American: 555-0100 to 555-0199 (reserved for fiction; North American Numbering Plan Administrator). British mobiles: 07700 900000 to 900999 (Ofcom).
        Behind +: country 999, which ITU-T E.164 assigns to none. Others begin with 000, where a trunk 0 is followed by no area.
        """
        digits = [c for c in value if c in DIGITS]
        body = digits[: len(digits) - _extension_length(value)]
        if value.startswith("+"):
            fresh = "999" + draw.text(DIGITS, max(0, len(body) - 3))
        elif _AMERICAN.match(value):
            country = len(body) - 10
            fresh = "".join(body[:country]) + draw.choice("23456789") + draw.text(DIGITS, 2) + "55501" + draw.text(DIGITS, 2)
        elif "".join(body).startswith("07") and len(body) == 11:  # noqa: PLR2004  digits of a British mobile
            fresh = "07700900" + draw.text(DIGITS, 3)
        else:
            fresh = "000" + draw.text(DIGITS, max(0, len(body) - 3))
        return refill_digits(value, fresh[: len(body)] + draw.text(DIGITS, len(digits) - len(body)))


def refill_digits(template: str, digits: str) -> str:
    """Return `template` with its digits replaced in order."""
    fresh = iter(digits)
    return "".join(next(fresh) if c in DIGITS else c for c in template)


def _cut(text: str, start: int, end: int) -> int:
    """Return where the number behind + ends: groups of digits beyond the longest number, glued to a letter or in a decimal, belong to something else."""
    while (
        sum(c in DIGITS for c in text[start:end]) > _MOST
        or (cuts_a_word(text, end) and not _EXTENSION.match(text, end))
        or in_decimal(text, end, end)
    ):
        shorter = max(text.rfind(gap, start + 1, end) for gap in " -./(")
        if shorter < 0:
            break
        end = shorter
    return end


def _extension_length(value: str) -> int:
    found = next((m for m in _EXTENSION.finditer(value) if m.end() == len(value)), None)
    return sum(c in DIGITS for c in found[0]) if found else 0


def _score(text: str, start: int, end: int) -> float | None:
    """Return how sure it is that this is a telephone number."""
    value = text[start:end]
    digits = [c for c in value if c in DIGITS]
    if not _SHORT <= len(digits) <= _MOST or value.count("(") != value.count(")"):
        return None
    score = _score_of_form(text, start, end, digits="".join(digits))
    return None if score is None or dates.parse(value) or dates.parse(value[:10]) else score


def _score_of_form(text: str, start: int, end: int, *, digits: str) -> float | None:
    value = text[start:end]
    if value[0] == "+" or value.startswith("00"):
        national = digits[0 if value[0] == "+" else 2 :]
        return KEYWORDED if len(national) >= _LEAST and _CODES.match(national) and not _ELSEWHERE.match(national) else None
    if text[start - 1 : start] == "+":
        return None  # of a country whose numbers have recognisers of their own
    if _AMERICAN.fullmatch(value):
        return SHAPE
    if _TRUNK.fullmatch(value) and len(digits) >= 9:  # noqa: PLR2004  digits of a number with its area
        return SHAPE
    return SHAPE if has_word(text, start, end, words=_WORDS) else None
