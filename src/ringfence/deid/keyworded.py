"""Numbers that only the key word before them gives away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.recogniser import KEYWORDED, Shaped, Span, Trigger, compiled, cuts_a_run, cuts_a_word, in_decimal

# What may stand between a key word and its value: in Chinese notes, and in forms of both languages.
# Also between the cells of a table, in bold type, and on the next line; English words only before a mark or a blank, as IS and ID begin numbers.
JOIN = (
    r"(?:证件|證件|证|證|号|號|码|碼|编|編|为|為|是|如下|is|(?i:no)|(?i:number|num|was|id|is)(?:[ :=#.*]|：)"
    r"|：|（|）|【|】|“|「|[ :=#.()\[\]|*\"'_\t\n\-]){0,6}"
)
LINK = (
    r"(?:[ :#.()\[\]=/|*\"'_\t\n\-]|：|（|）|【|】|(?i:number|code|card|book|num|was|no|is|id)"
    r"|代码|代碼|编号|編號|号|號|码|碼|为|為|是|如下){0,8}"
)
JOINED = r"[A-Za-z0-9：（）【】“「证證件号號码碼编編为為是如下 :=#.()\[\]|*\"'_\t\n/\-]"  # a character of it or of the value behind it
_LOOSE = r"[A-Za-z\x80-\xff :=#.()\[\]/|*\"'_\t\n\-]{0,72}"
NO = r"(?:number|num|no|identifier|id|#)"  # behind an English key word
NUMBER = r"((?:[A-Za-z][A-Za-z\-]{0,9})?[0-9][A-Za-z0-9\-]{1,28}[A-Za-z0-9])"
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_EATEN, _LONGEST_EATEN = re.compile(r"[^A-Za-z0-9](?:no|is)", re.IGNORECASE), 3
_DATE = re.compile(r"(?:19|20)[0-9]{2}([\-/])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])")
_PREFIX = re.compile(r"[A-Za-z]*")
_DIGIT = re.compile(r"[0-9]")
_LONG, _MEDIUM = 8, 5  # digits


def loosely(pattern: str) -> str:
    """Return a pattern of more than `pattern` for an automaton: between key word and value any of the bytes that `JOIN` and `LINK` may hold."""
    return pattern.replace(JOIN, _LOOSE).replace(LINK, _LOOSE)


def value_behind(pattern: str, text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the range of the last group of `pattern` in its match `start:end`, or of the whole; digits may be glued to the key word: QQ123456."""
    match = compiled(pattern).match(text, start, end)
    if match is None or cuts_a_word(text, start):
        return None
    first, last = match.span(match.lastindex or 0)
    if _EATEN.fullmatch(text, max(start + 1, first - _LONGEST_EATEN), first) and text[first] in _LETTERS:
        first -= 2  # no… and is… begin names: 微信：northjing78
    return None if cuts_a_run(text, first) or cuts_a_word(text, last) or in_decimal(text, first, last) else (first, last)


def after_nines(value: str, draw: Draw) -> str:
    """Return a value of the same form: the letters before it as they are, its first digits nines, the rest drawn.

    No standard keeps a range of such numbers free. Who numbers in order reaches 99… last, and a number that begins with a year or a region
    does not begin with 9999.
    """
    count = sum(c in DIGITS for c in value)
    if count == 0:
        return draw.scramble(value)
    nines = 4 if count >= _LONG else 2 if count >= _MEDIUM else 1
    prefix = _PREFIX.match(value)
    head = prefix[0] if prefix else ""
    return head + _DIGIT.sub("9", draw.scramble(value[len(head) :]), count=nines)


class Keyworded(Shaped):
    """Finds what the last group of `pattern` matches, if it has enough digits and is no date."""

    kinds: ClassVar[frozenset[str]]
    fewest: ClassVar[int]  # digits

    @property
    def trigger(self) -> Trigger:
        """What leads to it: the key word and the first digit behind it, because the automaton has no room for all that may follow."""
        return Trigger(loosely(self.pattern.replace(NUMBER, "[0-9]")), behind=r"[A-Za-z0-9\-]")

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        if place is None:
            return ()
        value = text[slice(*place)]
        if sum(c in DIGITS for c in value) < self.fewest or _DATE.fullmatch(value):
            return ()
        return tuple(Span(*place, kind, KEYWORDED) for kind in self.kinds)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same form whose digits begin with nines, where no issuer is known to have arrived."""
        return after_nines(value, draw)
