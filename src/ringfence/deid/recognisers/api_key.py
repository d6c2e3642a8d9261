"""Keys, tokens and passwords."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log2
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, LOWER, UPPER, Draw
from ringfence.deid.recogniser import RECOGNISERS, SECRET, SEPARATOR, Shaped, Span, Trigger, stands_alone
from ringfence.deid.specimen import WORDS, Specimen, digits, framed, text

_FIXED = (  # the forms that their issuers document; no key word needed
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}"
    r"|sk-[A-Za-z0-9_\-]{20,}"  # OpenAI and those who copied its form
    r"|xox[abeprs]-[A-Za-z0-9\-]{10,}"  # Slack
    r"|AIza[A-Za-z0-9_\-]{35}|glpat-[A-Za-z0-9_\-]{20}"
)
_JWT_TAIL = r"\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{5,}"  # the last two parts of a JSON web token; the first lies to the left
_PEM = r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
_WORDS = r"(?i:(?:api|access|secret|auth|private|client)[_ \-]?(?:key|token|secret)|token|secret|password|passwd|pwd)|密码|口令|密钥|令牌"
_BEHIND = r"[\"' ]{0,2}[:=][\"' ]{0,2}[A-Za-z0-9_+/=.~!@#$%^&*\-]{8,}"
_NAMED = f"(?:{_WORDS}){_BEHIND}"
# The last words alone: an automaton that must know which of several words one inside the other began first takes ten times as long.
# Of what has no end the least is enough: what may follow is looked for behind it.
_SHORTEST = f"{_FIXED}|\\.eyJ[A-Za-z0-9_\\-]{{10}}".replace(",}", "}")
_VALUE_CLASS = r"[A-Za-z0-9_+/=.~!@#$%^&*\-]"
_LAST_WORDS, _BEFORE = "(?:(?i:key|token|secret|passwd|password|pwd)|密码|口令|密钥|令牌)", 12  # and what may stand before them

_FIXED_FORM = re.compile(_FIXED, re.ASCII)
_PREFIX = re.compile(r"AKIA|ASIA|AGPA|AIDA|AROA|ANPA|gh[pousr]_|github_pat_|sk-|xox[abeprs]-|AIza|glpat-", re.ASCII)
_VALUE = re.compile(r"[:=][\"' ]{0,2}(?=[A-Za-z0-9_+/=.~!@#$%^&*\-]{8})", re.ASCII)
_PASSWORD = re.compile(r"passw|pwd|密码|口令", re.IGNORECASE)
_HEADER = re.compile(r"eyJ[A-Za-z0-9_\-]{10,}$", re.ASCII)
_LONGEST_HEADER = 1_024
_PEM_END = "PRIVATE KEY-----"
_PEM_LONGEST = 16_384  # characters from the first line to the last
_KEY_LENGTH, _KEY_BITS = 12, 3.0  # of a value after a key word: characters, and bits of entropy per character
_PASSWORD_LENGTH, _PASSWORD_BITS = 8, 2.5


def entropy(value: str) -> float:
    """Return the Shannon entropy of the characters of `value`, in bits per character."""
    size = len(value)
    return -sum([n / size * log2(n / size) for n in Counter(value).values()])


@RECOGNISERS.add("api-key.v1")
class ApiKey(Shaped):
    """Documented key forms, PEM private keys, and values after a key word that look random. The span is the secret alone."""

    kinds = frozenset({"API_KEY"})
    example = "AKIAIOSFODNN7EXAMPLE"
    pattern: ClassVar[str] = f"{_FIXED}|{_JWT_TAIL}|{_PEM}|{_NAMED}"

    @property
    def trigger(self) -> Trigger:
        """Return the pattern with shorter key words, and as little as there may be of what can be long."""
        return Trigger(f"{_SHORTEST}|{_PEM}|{_LAST_WORDS}{_BEHIND}".replace(",}", "}"), before=_BEFORE, behind=_VALUE_CLASS)

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the secret if it has a documented form or looks random enough."""
        if text.startswith("-----BEGIN", start):
            stop = text.find(SEPARATOR, end, end + _PEM_LONGEST)
            last = text.find(_PEM_END, end, end + _PEM_LONGEST if stop < 0 else stop)
            return (Span(start, end if last < 0 else last + len(_PEM_END), "API_KEY", SECRET),)
        if text[start] == ".":
            header = _HEADER.search(text, max(0, start - _LONGEST_HEADER), start)
            return (Span(header.start(), end, "API_KEY", SECRET),) if header else ()
        if (fixed := _FIXED_FORM.match(text, start, end)) and fixed.end() == end:
            looks_random = entropy(fixed[0]) >= _KEY_BITS and any(c.isdigit() for c in fixed[0])
            return (Span(start, end, "API_KEY", SECRET),) if looks_random and stands_alone(text, start, end) else ()
        return self._after_word(text, start, end)

    def _after_word(self, text: str, start: int, end: int) -> Sequence[Span]:
        lead = _VALUE.search(text, start, end)
        if lead is None:
            return ()
        value = text[lead.end() : end].rstrip(".!*")
        is_password = _PASSWORD.search(text, start, lead.start()) is not None
        length, bits = (_PASSWORD_LENGTH, _PASSWORD_BITS) if is_password else (_KEY_LENGTH, _KEY_BITS)
        mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        if len(value) < length or not mixed or entropy(value) < bits:
            return ()
        return (Span(lead.end(), lead.end() + len(value), "API_KEY", SECRET),)

    def normalise(self, value: str) -> str:
        """Return the value as it is: secrets are case-sensitive."""
        return value

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        alnum = UPPER + LOWER + DIGITS
        password = draw.choice(WORDS).title() + draw.choice("@#!_") + digits(draw, 4) + text(draw, LOWER, 2)
        lead, value = draw.choice(
            (
                ("", draw.choice(("AKIA", "ASIA")) + text(draw, UPPER + "234567", 16)),
                ("", draw.choice(("ghp_", "gho_", "ghs_")) + text(draw, alnum, 36)),
                ("", "AIza" + text(draw, alnum + "-_", 35)),
                ("", "sk-" + text(draw, alnum, 48)),
                ("", f"xoxb-{digits(draw, 12)}-{digits(draw, 12)}-{text(draw, alnum, 24)}"),
                (draw.choice(("api_key=", "API key: ", "token: ", 'secret="', "access_token=")), text(draw, alnum, draw.randint(20, 40))),
                (draw.choice(("password: ", "密码：", "pwd=", "口令：")), password),
            )
        )
        return framed("API_KEY", lead, value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a value with the issuer's prefix and the word EXAMPLE, which no real key ends with."""
        if value.startswith("-----BEGIN"):
            return f"[private key {draw.text(LOWER + DIGITS, 8)}]"
        prefix = match[0] if (match := _PREFIX.match(value)) else ""
        alphabet = UPPER + DIGITS if value.isupper() else LOWER + DIGITS
        return prefix + draw.text(alphabet, max(6, min(len(value), 64) - len(prefix) - 7)) + "EXAMPLE"
