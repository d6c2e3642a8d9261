"""Accounts of social networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, account, behind, digits, framed

_CHINESE = "抖音|快手|小红书|小紅書|微博|[Bb]站|哔哩哔哩|嗶哩嗶哩|知乎|推特|脸书|臉書"
_ID = r"(?:号|號|账号|帐号|賬號|帳號|用户名|用戶名|UID|uid|ID|id)"
_LATIN = r"(?i:(?:telegram|skype|facebook|twitter|instagram|tiktok|line[ _]?id)(?:[ _](?:id|handle|username|user|account|name))?)"
_GAP = r"(?:：|（|是|为|為|[ :=(\"']){0,4}"
_VALUE = r"((?:live:)?[A-Za-z0-9][A-Za-z0-9._\-]{3,29})"
_STRICT = re.compile(
    r"(?:号|號|户名|戶名|ID|id)(?:[ :=]|：|是|为|為|码|碼)*$|(?:handle|username|user|account|name)[\"' ]{0,2}(?::|=|：)", re.IGNORECASE
)
_NAMED = re.compile(r"(?:：|是|为|為|[:=])[ \"']{0,2}$")
_LINE = re.compile(r"line[ _]?id", re.IGNORECASE)


@RECOGNISERS.add("douyin.v1")
class Douyin(Shaped):
    """An account behind the name of a network and 号, ID, username; `@name` right behind it; `Skype: jo_88` with a digit or an underscore."""

    kinds = frozenset({"SOCIAL_ACCOUNT"})
    example = "抖音号：zhang.wei_88"
    pattern: ClassVar[str] = (
        rf"(?:{_CHINESE}) ?{_ID}{JOIN}{_VALUE}|(?:(?:{_CHINESE}){_ID}?|{_LATIN}){_GAP}(@[A-Za-z0-9_][A-Za-z0-9._\-]{{1,29}}|{_VALUE})"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the account behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        if place is None:
            return ()
        first, value = place[0], text[slice(*place)].rstrip(".-")
        last = first + len(value)
        if text[last : last + 1] == "@" or not _is_account(value, lead=text[start:first]):
            return ()
        return (Span(first + value.startswith("@"), last, "SOCIAL_ACCOUNT", KEYWORDED),)

    def normalise(self, value: str) -> str:
        """Return the account in lower case; dots and hyphens are part of it."""
        return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        words = "抖音号 抖音 微博 微博账号 快手号 小红书号 小红书 Instagram IG Twitter Telegram B站UID Facebook".split()
        value = draw.choice((account(draw), account(draw), digits(draw, draw.randint(8, 11))))
        plain = behind(draw, "SOCIAL_ACCOUNT", words, value, is_number=False)
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
    is_name = any(c.isdigit() or c == "_" for c in value) and any(c.isalpha() for c in value)
    return is_name and _NAMED.search(lead) is not None
