"""WeChat accounts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.keyworded import JOIN, NO, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.recognisers.cn_mobile import CnMobile
from ringfence.deid.recognisers.qq import Qq, counts
from ringfence.deid.specimen import DIGITS, FIRST_NAMES, LOWER, Specimen, account, behind, cn_mobile, digits, text

_CHINESE = r"(?:微信|薇信|威信|[Vv]信|微 信|加微|加薇|加[Vv]|\+ ?[Vv])(?:账|帐|賬|帳)?(?:ID|id)?"
_OR = r"(?:(?:/|、|和|或)(?:[Qq]{2}|电话|電話|手机|手機))?(?:同号|同號)?"
_LATIN = rf"(?i:(?:wechat|weixin|wx|vx)(?:[ _]?(?:{NO}|account|contact|username|handle))?)"
_GAP = r"(?:(?:号|號|是|为|為|：|“|[ :=(|*\"']){0,4}| (?:is|was|-) )"
_VALUE = r"([A-Za-z][A-Za-z0-9_\-]{5,19}|[1-9][0-9]{4,10})"
_STRICT = re.compile(r"(?:号|號|ID|id)(?:码|碼|是|为|為)?[ :：]{1,3}$")
_SOFTWARE = re.compile(r"(?:windows|android|iphone|ipad|ios|macos|python|version)[0-9.]", re.IGNORECASE)
_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_LONG = 7  # digits that a number has at the least behind wx and vx, which name products too


@RECOGNISERS.add("wechat.v1")
class Wechat(Shaped):
    """`wxid_…` anywhere; behind a key word a name with a digit, an underscore or a hyphen, a mobile or a QQ number; plain letters behind `微信号：`."""

    kinds = frozenset({"WECHAT"})
    example = "微信：zhang_wei88"
    pattern: ClassVar[str] = rf"wxid_[A-Za-z0-9]{{6,24}}|{_CHINESE}{_OR}{JOIN}{_VALUE}|{_LATIN}{_GAP}{_VALUE}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the account behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        if place is None or text[place[1] : place[1] + 1] == "@":
            return ()
        is_account = _is_account(text[slice(*place)], lead=text[start : place[0]]) and not counts(text, *place)
        return (Span(*place, "WECHAT", KEYWORDED),) if is_account else ()

    def normalise(self, value: str) -> str:
        """Return the account in lower case; hyphens are part of it."""
        return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: "wxid_" + text(draw, LOWER + DIGITS, 14),
                lambda: account(draw).replace(".", "_"),
                lambda: draw.choice(FIRST_NAMES) + digits(draw, 6),
                lambda: cn_mobile(draw),
            )
        )()
        return behind(
            draw, "WECHAT", ("微信", "微信号", "加微信", "VX", "vx", "薇信", "WeChat", "wechat id", "WeChat ID"), value, is_number=False
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an account that begins with a hyphen, `wxid_` and one more underscore, or a number that nobody has.

        Accounts begin with a letter or, long ago, an underscore (as users report Tencent's rule); no `wxid_` is seen with a second one.
        """
        if value.isascii() and value.isdigit():
            return (CnMobile() if _MOBILE.fullmatch(value) else Qq()).surrogate(value, draw)
        head, rest = ("wxid_", "_") if value.startswith("wxid_") else ("", "-")
        return head + rest + draw.scramble(value[len(head) + 1 :]) if value else value


def _is_account(value: str, *, lead: str) -> bool:
    is_chinese = not lead.isascii()
    if value.isdigit():
        return is_chinese or len(value) >= _LONG
    if any(c.isdigit() or c == "_" for c in value):
        return not _SOFTWARE.match(value)
    return is_chinese and ("-" in value or _STRICT.search(lead) is not None)
