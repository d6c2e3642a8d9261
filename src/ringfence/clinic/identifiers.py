"""Made-up identifiers that are valid in form, so that a recogniser has to find them, and belong to nobody living.

Written apart from the recognisers on purpose: check digits computed twice by different code test each other.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

_UPPER = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_LOWER = "abcdefghjkmnpqrstuvwxyz"
_DIGITS = "0123456789"
_REGIONS = ("110101", "120101", "310101", "330102", "420102", "440103", "510104", "610102")


class Source(NamedTuple):
    """How one kind of identifier is made and introduced in both languages."""

    make: Callable[[Random], str]
    lead: str
    lead_zh: str


def _digits(draw: Random, count: int) -> str:
    return "".join(draw.choices(_DIGITS, k=count))


def _word(draw: Random, count: int) -> str:
    return "".join(draw.choices(_LOWER, k=count))


def _resident(draw: Random) -> str:
    """Born 1900 to 1909: nobody with such a number lives. Check character such that 1 ≡ Σ a_i·2^(i-1) mod 11, from the right."""
    body = f"{draw.choice(_REGIONS)}190{draw.randrange(10)}{draw.randrange(1, 13):02d}{draw.randrange(1, 29):02d}{_digits(draw, 3)}"
    rest = sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(body))
    check = (1 - rest) % 11
    return body + ("X" if check == 10 else str(check))  # noqa: PLR2004  ten is written X


def _mobile(draw: Random) -> str:
    return "1990000" + _digits(draw, 4)


def _card(draw: Random) -> str:
    """Under 4111 11, which payment networks keep for tests; the last digit makes the Luhn sum end in 0."""
    body = "411111" + _digits(draw, 9)
    return next(body + d for d in _DIGITS if _luhn(body + d))


def _luhn(number: str) -> bool:
    doubled = [int(d) * (1 + (i % 2 == len(number) % 2)) for i, d in enumerate(number)]
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0  # noqa: PLR2004  the digit sum of a doubled digit


def _email(draw: Random) -> str:
    return f"{_word(draw, 4)}{_digits(draw, 2)}@{draw.choice(('mail.example', 'ward.internal', 'clinic.example'))}"


def _ip(draw: Random) -> str:
    return f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"


def _passport(draw: Random) -> str:
    return f"{draw.choice('EG')}0000{_digits(draw, 4)}"


def _plate(draw: Random) -> str:
    return f"藏Z{_digits(draw, 5)}"


def _ssn(draw: Random) -> str:
    return f"899-{draw.randrange(1, 100):02d}-{draw.randrange(1, 10_000):04d}"


def _url(draw: Random) -> str:
    return f"{_word(draw, 3)}:{_word(draw, 4)}{_digits(draw, 3)}"


def _key(draw: Random) -> str:
    return "AKIA" + "".join(draw.choices(_UPPER, k=6)) + _digits(draw, 3) + "EXAMPLE"


SOURCES: dict[str, Source] = {
    "API_KEY": Source(_key, "key ", "密钥"),
    "BANK_CARD": Source(_card, "card ", "卡号"),
    "CN_MOBILE": Source(_mobile, "tel ", "手机"),
    "CN_PLATE": Source(_plate, "plate ", "车牌"),
    "CN_RESIDENT_ID": Source(_resident, "ID ", "证号"),
    "EMAIL": Source(_email, "mail ", "邮箱"),
    "IP_ADDRESS": Source(_ip, "host ", "主机"),
    "PASSPORT": Source(_passport, "passport ", "护照"),
    "URL_CREDENTIALS": Source(_url, "ftp://", "ftp://"),
    "US_SSN": Source(_ssn, "SSN ", "社安号"),
}
TAIL = {"URL_CREDENTIALS": "@pacs.lan"}  # what has to follow the identifier
