"""Bank account numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.keyworded import JOIN
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, compiled, cuts_a_word, in_decimal
from ringfence.deid.specimen import Specimen, behind, digits, grouped

_WORDS = (
    r"(?:账|帐|賬|帳)(?:号|號|户|戶)|卡(?:号|號)"
    r"|(?i:(?:account|acct|acc)[ _.\-]{0,2}(?:number|num|no|nr|#)|bank[ _]account|account(?: is|:)|sort[ _]?code|a/c(?:[ _.]{0,2}(?:number|no))?)"
)
_MEMBER = re.compile(r"(?:登录|登錄|登入|用户|用戶|会员|會員|游戏|遊戲|微信|QQ|支付宝|抖音|微博|淘宝|邮箱|郵箱)$", re.IGNORECASE)
_DATE = re.compile(r"(?:19|20)[0-9]{2}([ \-]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])(?![0-9])")
_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_VALUE = re.compile(  # small groups and spaces, one block or groups and hyphens, else both; a block never goes on behind a space
    r"(?=[0-9](?: ?[0-9]){6})[0-9]{1,6}(?: [0-9]{1,6}){1,6}(?![0-9A-Za-z]|\.[0-9])|[0-9]{7,}(?:-[0-9]+)*|[0-9](?:[ \-]?[0-9]){6,29}"
)
_LONGEST, _REACH = 30, 60  # digits of an account number, and characters with its separators
_AMOUNT = re.compile(r" ?(?:元|圆|万|萬|亿|億|美元|港元|港币|港幣|人民币)|,[0-9]{3}")


@RECOGNISERS.add("bank-account.v1")
class BankAccount(Shaped):
    """7 to 30 digits, in groups or not, behind a key word; not a date, an amount, a mobile number or a member's account."""

    kinds = frozenset({"BANK_ACCOUNT"})
    example = "开户行账号：0200 0013 0902 0123 456"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}([0-9](?:[ \-]?[0-9]){{6}})"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the digits behind the key word."""
        match = compiled(self.pattern).match(text, start, end)
        value = _VALUE.match(text, match.start(1), match.start(1) + _REACH) if match else None
        if value is None or cuts_a_word(text, start) or cuts_a_word(text, value.end()) or in_decimal(text, *value.span()):
            return ()
        number = self.normalise(value[0])
        is_other = len(number) > _LONGEST or _DATE.match(value[0]) or _MOBILE.fullmatch(number)
        is_amount = number == value[0] and _AMOUNT.match(text, value.end())
        if is_other or is_amount or _MEMBER.search(text, max(0, start - 4), start):
            return ()
        return (Span(*value.span(), "BANK_ACCOUNT", KEYWORDED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        number = draw.choice("0123456789") + digits(draw, draw.choice((9, 11, 14, 16, 18, 20)))
        value = draw.choice((number, grouped(number, (4, 4, 4, 4), " "), grouped(number, (3, 6), "-")))
        return behind(
            draw,
            "BANK_ACCOUNT",
            ("账号", "帐号", "开户行账号", "银行账号", "收款账号", "Account number", "A/C No", "account no.", "acct #"),
            value,
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same length under 0000.

        No standard keeps a range free; the first digits are the bank's own code of a branch, product or currency, which none numbers 0000.
        """
        return refill(value, "0000" + draw.text(DIGITS, len(value)))
