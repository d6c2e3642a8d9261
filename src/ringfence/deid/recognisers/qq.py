"""QQ numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, has_word
from ringfence.deid.specimen import Specimen, behind, digits, framed

_WORDS = r"[Qq]{2}|扣扣|[Qq](?:号|號|群)|加[Qq]|(?:企鹅|企鵝)(?:号|號)"
_OR = r"(?:群|(?:/|、|和|或)(?:微信|[Vv]信|电话|電話|手机|手機|[Vv][Xx]|[Ww][Xx]))?"  # QQ/微信：123456
_BARE = r"[Qq](?:：|为|為|是|[ :]){0,2}"  # Q：123456789
_COUNT = re.compile(r" ?(?:万|萬|亿|億|元|块|塊|人|名|个|個|次|位|条|條|粉)")
_NO_ACCOUNT = re.compile(r"[0-9]*000$")  # Q: 250000, a quantity
_SUM = re.compile(r" ?(?:[+*/×÷=]|[A-Za-zΩ°])")
_HAN = re.compile("[一-龥]")
_TALK = re.compile(r"联系|聯繫|加|微信|[VvWw]信|[Vv][Xx]|电话|電話|手机|手機|客服|咨询|諮詢|私聊|方式|群")
_FORM = re.compile(r"[0-9]{5,11}")
_LONG = 8  # digits that Q alone may announce: less is a code of many sorts
_FEW = 6  # digits up to which a number before 人 or 元 counts something


@RECOGNISERS.add("qq.v1")
class Qq(Shaped):
    """5 to 11 digits without a leading zero behind a key word, of a person or a group; not the local part of a mailbox, not a count.

    Behind `Q：` at least six digits, in Chinese five, that are no round number; behind Q alone eight beside a blank or Chinese, or six where people speak of how to
    reach somebody.
    """

    kinds = frozenset({"QQ"})
    example = "QQ：123456789"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){_OR}{JOIN}([1-9][0-9]{{4,10}})|{_BARE}([1-9][0-9]{{4,10}})"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        if place is None or text[place[1] : place[1] + 1] == "@" or counts(text, *place):
            return ()
        lead = text[start : place[0]]
        if _IS_BARE.fullmatch(lead) and not _is_account(text, *place, lead=lead):
            return ()
        return (Span(*place, "QQ", KEYWORDED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        number = draw.choice("123456789") + digits(draw, draw.randint(4, 10))
        word = draw.choice(("QQ", "QQ号", "qq", "QQ号码", "扣扣", "加QQ", "企鹅号", "Q"))
        if word == "Q":  # in Chinese notes alone
            return framed("QQ", word + draw.choice(("：", ":", ": ", "", " ")), number)
        return behind(draw, "QQ", (word,), number)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same length that begins with 0; Tencent counts up from 10000, so none does."""
        return "0" + draw.text(DIGITS, len(value) - 1) if _FORM.fullmatch(value) else draw.scramble(value)


_IS_BARE = re.compile(_BARE)


def _is_account(text: str, start: int, end: int, *, lead: str) -> bool:
    """Return True for a number that Q alone announces if it is neither a quantity nor part of a sum, and it is said to be one."""
    if _NO_ACCOUNT.match(text, start, end) or _SUM.match(text, end):
        return False
    first, is_said = start - len(lead), len(lead.strip(" ")) > 1
    if end - start < _FEW:
        return is_said and has_word(text, first, end, words=_HAN, left=6, right=2)
    is_long = end - start >= _LONG and (lead != lead.strip() or has_word(text, first, end, words=_HAN, left=6, right=2))
    return is_long or is_said or has_word(text, first, end, words=_TALK, left=12, right=0)


def counts(text: str, start: int, end: int) -> bool:
    """Return True for a short number before 人, 元 and the like."""
    return end - start <= _FEW and _COUNT.match(text, end) is not None
