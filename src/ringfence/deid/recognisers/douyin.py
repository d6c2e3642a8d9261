"""Accounts of social networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN, loosely, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, Trigger
from ringfence.deid.specimen import Specimen, account, behind, digits, framed

_CHINESE = "抖音|快手|小红书|小紅書|微博|[Bb]站|哔哩哔哩|嗶哩嗶哩|知乎|推特|脸书|臉書|视频号|視頻號|豆瓣|贴吧|領英|领英|陌陌|旺旺|电报|電報"
_ID = r"(?:号|號|账号|帐号|賬號|帳號|用户名|用戶名|UID|uid|ID|id)"
_NETS = "telegram|skype|facebook|twitter|instagram|tiktok|snapchat|discord|linkedin|weibo|douyin|bilibili|reddit|twitch|kakaotalk"
_LATIN = rf"(?i:(?:{_NETS}|line[ _]?id)(?:[ _](?:id|handle|username|user|account|name))?)"
_SHORT = r"(?:IG|FB|INS|[Ii]ns)(?:号|號|账号|帐号|賬號|帳號|ID|id)?"  # as Chinese notes say Instagram and Facebook, and others do
_GAP = r"(?: (?:is|was|-) |：|（|“|是|为|為|[ :=(|*\"']){0,4}"
_MARK = r"(?: ?(?::|：|=|是|为|為)| (?:is|-) | | (?:\(|（)?@)"
_VALUE = r"((?:live:)?[A-Za-z0-9][A-Za-z0-9._\-]{3,29})"
_AT, _LONGEST = r"(@[A-Za-z0-9_][A-Za-z0-9._]{1,29})", 31
_ON = rf" (?:on|via) (?i:{_NETS}|IG)"
_STRICT = re.compile(
    r"(?:号|號|户名|戶名|ID|id)(?:[ :=]|：|是|为|為|码|碼)*$|(?:handle|username|user|account|name)[\"' ]{0,2}(?::|=|：|is )", re.IGNORECASE
)
_NAMED = re.compile(r"(?:：|是|为|為|[:=(|]|（| (?:is|-))[ *\"']{0,3}$| (?:handle|username) $")
_ACCOUNT = re.compile(  # zhang_88, jane.doe5, sofia1981: what one takes for a name where nothing says that it is one
    r"[A-Za-z]{2,}[A-Za-z0-9]*(?:[._][A-Za-z0-9]+)+|[A-Za-z]{3,}[0-9]{2,8}"
)
_THING = re.compile(
    r"(?:windows|android|iphone|ipad|ios|covid|html|gpt|top|vip|mate|note|version|ver|web|live|app|part|vol|api|user|day|season|rap|reels|challenge|trends?|growth)[0-9._]|.*\.(?:com|cn|net|org|io|tv|me)$",
    re.IGNORECASE,
)
_UNIT = re.compile(r" ?(?:万|萬|亿|億|元|人|名|个|個|次|位|粉|条|條|块|塊|年|月|%)")
_DAY = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_LEAST, _LONG = 7, 8  # digits of a number that is said to be one, and of one that is not
_LINE = re.compile(r"line[ _]?id", re.IGNORECASE)


@RECOGNISERS.add("douyin.v1")
class Douyin(Shaped):
    """An account behind the name of a network and 号, ID, username; `@name` right behind it, or before `on Instagram`.

    Without such a word what looks like an account: `Skype: jo_88`, `抖音 sofia1981`, or a long number that is no date and counts nothing.
    """

    kinds = frozenset({"SOCIAL_ACCOUNT"})
    example = "抖音号：zhang.wei_88"
    pattern: ClassVar[str] = (
        rf"(?:{_CHINESE}) ?{_ID}{JOIN}{_VALUE}|(?:(?:{_CHINESE}){_ID}?|{_LATIN}){_GAP}(@[A-Za-z0-9_][A-Za-z0-9._\-]{{1,29}}|{_VALUE})"
        rf"|{_SHORT}{_MARK}{_GAP}(@[A-Za-z0-9_][A-Za-z0-9._\-]{{1,29}}|{_VALUE})|{_AT}{_ON}"
    )

    @property
    def trigger(self) -> Trigger:
        """What leads to it: the name of a network and the first character of an account, because the automaton has no room for the rest."""
        shorter = self.pattern.replace(_VALUE, "[A-Za-z0-9]").replace(r"@[A-Za-z0-9_][A-Za-z0-9._\-]{1,29}", "@").replace(_AT, "")
        return Trigger(loosely(shorter), before=_LONGEST, behind=r"[A-Za-z0-9@._:\-]")

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the account behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        if place is None:
            return ()
        first, value = place[0], text[slice(*place)].rstrip(".-")
        last = first + len(value)
        is_part = text[last : last + 1] == "@" or (first == start and text[start - 1 : start].isalnum())  # of a mailbox
        if is_part or not _is_account(value, lead=text[start:first]) or (value.isdigit() and _UNIT.match(text, last)):
            return ()
        return (Span(first + value.startswith("@"), last, "SOCIAL_ACCOUNT", KEYWORDED),)

    def normalise(self, value: str) -> str:
        """Return the account in lower case; dots and hyphens are part of it."""
        return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        words = "抖音号 抖音 微博 微博账号 快手号 小红书号 小红书 Instagram IG Twitter Telegram B站UID Facebook".split()
        word, number = draw.choice(words), draw.choice("123456789") + digits(draw, draw.randint(7, 10))
        if word == "B站UID":  # that is a number
            return behind(draw, "SOCIAL_ACCOUNT", (word,), number, is_number=False)
        value = draw.choice((account(draw), account(draw), number))
        plain = behind(draw, "SOCIAL_ACCOUNT", (word,), value, is_number=False)
        return framed("SOCIAL_ACCOUNT", plain.text[: plain.start] + draw.choice(("", "", "@")), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number that begins with 0, or a name that begins with a hyphen.

        Numbers are counted up from 1. Twitter, Instagram, Telegram, Facebook and Douyin take no hyphen at all; the others publish no rule that
        this was checked against.
        """
        if value.isascii() and value.isdigit():
            return "0" + draw.text(DIGITS, len(value) - 1)
        return "-" + draw.scramble(value[1:]) if value else value


def _is_account(value: str, *, lead: str) -> bool:
    if value.startswith("@"):
        return True
    if _LINE.match(lead):
        return value.islower() and _NAMED.search(lead) is not None
    if _STRICT.search(lead):
        return True
    is_named = _NAMED.search(lead) is not None
    if value.isdigit():
        return len(value) >= (_LEAST if is_named else _LONG) and not _DAY.fullmatch(value) and (is_named or not lead.isascii())
    if _THING.match(value):
        return False
    is_name = any(c.isdigit() or c == "_" for c in value) and any(c.isalpha() for c in value)
    return is_name and (is_named or (any(map(str.isdigit, value)) and _ACCOUNT.fullmatch(value) is not None))
