"""E-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid import people
from ringfence.deid.draw import DIGITS, LOWER, Draw
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, framed, mailbox

_LOCAL = re.compile(r"[A-Za-z0-9._%+\-]+$", re.ASCII)
_USERINFO = re.compile(r"://[^\s/@:\x00]*:[^\s/@\x00]*$")  # in https://user:word@host the part before @ is no mailbox
_LONGEST_LOCAL = 64  # RFC 5321 §4.5.3.1.1
_LOOK_BACK = 160
_DOMAINS = ("example.com", "example.org", "example.net")  # RFC 2606 §3
_OTHERWISE = "mail.invalid"  # RFC 2606 §2


@RECOGNISERS.add("email.v1")
class Email(Shaped):
    """Mailbox at a dotted host name. Internal hosts count: a public suffix is not asked for."""

    kinds = frozenset({"EMAIL"})
    example = "zhang.wei@mail.corp"
    pattern: ClassVar[str] = r"@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the address around the @, without punctuation at its edges."""
        local = _LOCAL.search(text, max(0, start - _LONGEST_LOCAL - 1), start)
        if local is None or local.end() - local.start() > _LONGEST_LOCAL:
            return ()
        first = start - len(local[0].lstrip(".-%"))
        end -= len(text[start:end]) - len(text[start:end].rstrip("-"))
        labels = text[start + 1 : end].split(".")
        if first == start or not all(labels) or labels[-1].isdigit() or _USERINFO.search(text, max(0, first - _LOOK_BACK), start):
            return ()
        return (Span(first, end, "EMAIL", CHECKED),)

    def normalise(self, value: str) -> str:
        """Return the address in lower case."""
        return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        return framed("EMAIL", draw.choice(("", "", "邮箱：", "邮箱", "E-mail: ", "email ")), mailbox(draw))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a mailbox of the stand-in of a person's name, or of about the same length, at a domain reserved for examples; after many collisions at one that cannot exist."""
        local = value.partition("@")[0]
        name = people.mailbox(local, draw) or draw.choice(LOWER) + draw.text(LOWER + DIGITS, min(max(len(local), 6), 16) - 1)
        return f"{name}@{draw.choice((*_DOMAINS, *_DOMAINS, _OTHERWISE))}"
