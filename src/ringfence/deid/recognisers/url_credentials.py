"""Credentials inside addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, LOWER, Draw
from ringfence.deid.recogniser import RECOGNISERS, SECRET, Shaped, Span
from ringfence.deid.specimen import WORDS, Specimen, account, digits, framed

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,20}$", re.ASCII)
_BEFORE_QUERY = re.compile(r"://[^\s\"'<>\x00]*$")
_LOOK_BACK = 1024
_LEAST_WORD = 6  # characters that a replaced word has at the least, so that it can hardly be guessed from its length


@RECOGNISERS.add("url-credentials.v1")
class UrlCredentials(Shaped):
    """`user:password` before the host, or a token in the query; the span is the secret alone, so that the address stays readable."""

    kinds = frozenset({"URL_CREDENTIALS"})
    example = "https://deploy:s3cr3t-W0rd@repo.corp.cn/x"
    pattern: ClassVar[str] = (
        r"://[A-Za-z0-9._~!$&'()*+,;=%\-]*:[A-Za-z0-9._~!$&'()*+,;=%:@\-]+@"
        r"|[?&](?i:access_?token|refresh_?token|auth_?token|token|api_?key|key|sig|signature|secret|password|passwd|pwd|auth)"
        r"=[A-Za-z0-9._~%+/=\-]{6,}"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return what stands between `://` and the last `@`, or the value of the query's token."""
        if text[start] == ":":
            is_url = _SCHEME.search(text, max(0, start - 21), start) and text[end : end + 1].strip("/?#\x00")
            return (Span(start + 3, end - 1, "URL_CREDENTIALS", SECRET),) if is_url else ()
        if not _BEFORE_QUERY.search(text, max(0, start - _LOOK_BACK), start):
            return ()
        value = text.index("=", start) + 1
        end = value + len(text[value:end].rstrip("."))
        return (Span(value, end, "URL_CREDENTIALS", SECRET),)

    def normalise(self, value: str) -> str:
        """Return the value as it is: secrets are case-sensitive."""
        return value

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        user, password = account(draw), draw.choice(WORDS) + draw.choice("!_-$.") + digits(draw, 4)
        scheme = draw.choice(("https", "http", "ftp", "mysql", "postgresql", "mongodb", "redis", "amqp", "ssh"))
        host = draw.choice(
            (
                f"db.{draw.choice(WORDS)}.internal:5432",
                f"10.0.{draw.randrange(256)}.{draw.randrange(256)}",
                f"repo.{draw.choice(WORDS)}.com",
            )
        )
        return framed("URL_CREDENTIALS", f"{scheme}://", f"{user}:{password}", f"@{host}/{draw.choice(WORDS)}")

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return random words in the places of the old ones."""
        user, colon, _ = value.partition(":")
        if not colon:
            return draw.text(LOWER + DIGITS, max(_LEAST_WORD, min(len(value), 40)))
        name = draw.choice(LOWER) + draw.text(LOWER + DIGITS, max(_LEAST_WORD, min(len(user), 20)) - 1) if user else ""
        return f"{name}:{draw.text(LOWER + DIGITS, 12)}"
