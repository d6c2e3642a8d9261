"""Alipay accounts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN, NO
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, cuts_a_word
from ringfence.deid.recognisers.cn_mobile import CnMobile
from ringfence.deid.recognisers.email import Email
from ringfence.deid.specimen import Specimen, behind, cn_mobile, digits, mailbox

_WORDS = rf"(?:支付宝|支付寶)(?:账|帐|賬|帳)?(?:户|戶)?(?:UID|PID|ID|id)?|(?i:(?:alipay|zhifubao)(?:[ _](?:user[ _]?|account[ _]?)?{NO}|[ _]account)?)"
_VALUE = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{2,63}){1,4}|2088[0-9]{12}|1[3-9][0-9]{9}")
_LONGEST = 160
_PARTNER = 16  # digits


@RECOGNISERS.add("alipay.v1")
class Alipay(Shaped):
    """Behind a key word: a mobile number, a mailbox, or the 16 digits beginning 2088 that Alipay gives its users."""

    kinds = frozenset({"ALIPAY"})
    example = "支付宝账号：2088102146225135"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}([A-Za-z0-9])"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the account that begins where the candidate ends."""
        match = _VALUE.match(text, end - 1, end - 1 + _LONGEST)
        if match is None or cuts_a_word(text, start) or cuts_a_word(text, match.end()):
            return ()
        return (Span(match.start(), match.end(), "ALIPAY", KEYWORDED),)

    def normalise(self, value: str) -> str:
        """Return the account in lower case."""
        return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice((lambda: "2088" + digits(draw, 12), lambda: cn_mobile(draw), lambda: mailbox(draw)))()
        return behind(draw, "ALIPAY", ("支付宝", "支付宝账号", "支付宝帐号", "支付宝账户", "Alipay", "alipay account", "Alipay ID"), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a mobile number or a mailbox that nobody has, or 16 digits beginning 2080: those of Alipay begin 2088."""
        if "@" in value:
            return Email().surrogate(value, draw)
        return "2080" + draw.text(DIGITS, 12) if len(value) == _PARTNER else CnMobile().surrogate(value, draw)
