"""Addresses on the web."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import LOWER, Draw
from ringfence.deid.recogniser import RECOGNISERS, SHAPE, Shaped, Span, cuts_a_word
from ringfence.deid.specimen import FIRST_NAMES, WORDS, Specimen, digits, framed

_RUN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986 §2
_PARTS = re.compile(r"((?:https?|ftp)://)?(?:[^/?#:@]*@)?([A-Za-z0-9\-.]*[A-Za-z0-9])(?::[0-9]+)?([/?#].*)?", re.IGNORECASE)
_PASSWORD = re.compile(r"[^/?#]*://[^/?#:]*:[^/?#]*@")
_HERE = re.compile(r"localhost|127\.[0-9.]+|0\.0\.0\.0", re.IGNORECASE)
_LONGEST = 2_048
_CLOSING = {")": "(", "]": "["}
_DOMAINS = ("example.com", "example.org")  # RFC 2606 §3
_MOST_STEPS = 8


@RECOGNISERS.add("url.v1")
class Url(Shaped):
    """http, https, ftp and www. with a host, up to closing punctuation or another script; url-credentials.v1 has those with a password."""

    kinds = frozenset({"URL"})
    example = "https://oa.corp.cn/login?u=1"
    pattern: ClassVar[str] = r"(?i:https?|ftp)://[A-Za-z0-9]|(?i:www)\.[A-Za-z0-9]"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:  # noqa: ARG002  only where it begins matters
        """Return the address that begins with the candidate."""
        run = _RUN.match(text, start, start + _LONGEST)
        parts = _PARTS.match(run[0] if run else "")
        if parts is None or _PASSWORD.match(parts.string) or not _is_host(parts[2]):
            return ()
        if not parts[1] and (cuts_a_word(text, start) or parts[2].count(".") < 2):  # noqa: PLR2004  www.corp.cn
            return ()
        return (Span(start, start + len(_without_closing(parts[0])), "URL", SHAPE),)

    def normalise(self, value: str) -> str:
        """Return scheme and host in lower case; the path keeps its case."""
        parts = _PARTS.match(value)
        head = parts.end(2) if parts else 0
        return value[:head].lower() + value[head:]

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        host = draw.choice(
            (
                f"www.{draw.choice(WORDS)}{draw.choice(WORDS)}.com",
                f"{draw.choice(WORDS)}.{draw.choice(WORDS)}.cn",
                f"{draw.choice(WORDS)}.github.io",
                f"oa.{draw.choice(WORDS)}.internal:8080",
                f"{draw.choice(WORDS)}.edu.cn",
            )
        )
        path = draw.choice(
            (
                "",
                "/",
                f"/{draw.choice(WORDS)}/{digits(draw, 4)}",
                f"/user?id={digits(draw, 6)}&p={draw.choice(WORDS)}",
                f"/{draw.choice(FIRST_NAMES)}.html",
                f"/a/b#{draw.choice(WORDS)}",
            )
        )
        return framed(
            "URL",
            draw.choice(("", "", "网址：", "see ", "链接")),
            draw.choice(("https://", "http://", "https://", "ftp://", "")) + host + path
            if host.startswith("www")
            else draw.choice(("https://", "http://")) + host + path,
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an address of the same scheme and depth below example.com or example.org (RFC 2606); query and fragment are dropped."""
        parts = _PARTS.match(value)
        if parts is None:
            return draw.scramble(value)
        path = re.split(r"[?#]", parts[3] or "", maxsplit=1)[0]
        steps = [step for step in path.split("/") if step][:_MOST_STEPS]
        host = ("www." if parts[2].lower().startswith("www.") else "") + f"{_word(draw)}.{draw.choice(_DOMAINS)}"
        return (parts[1] or "") + host + "".join(f"/{_word(draw)}" for _ in steps) + ("/" if path.endswith("/") else "")


def _is_host(host: str) -> bool:
    """Return True for a dotted name whose last part has two characters or more, or a name without dots; not for this machine, nor for `www`."""
    last = host.rpartition(".")[2]
    return (len(last) > 1 or last.isdigit()) and host.lower() != "www" and not _HERE.fullmatch(host)


def _word(draw: Draw) -> str:
    return draw.text(LOWER, 4 + draw.below(5))


def _without_closing(value: str) -> str:
    while value[-1] in ".,;:!?'*" or (value[-1] in _CLOSING and value.count(value[-1]) > value.count(_CLOSING[value[-1]])):
        value = value[:-1]
    return value
