"""Internet addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, SHAPE, Shaped, Span, stands_alone
from ringfence.deid.specimen import Specimen, framed

_VERSION_WORD = re.compile(r"(?:version|ver\.?|build|release|版本号?|固件)[ :]{0,2}$", re.IGNORECASE)
_NAME = re.compile("(?:IP|ip)$")
_TAIL = re.compile(r"[0-9A-Fa-f:.]{0,45}")
_GROUP_CHARACTERS = frozenset("0123456789ABCDEFabcdef:")
_LONGEST = 39  # characters of an address
_FEW_GROUPS = 3
_FIRST_GROUP = 3  # hex digits that a short address like fe80::1 begins with, at the least
_DOCUMENTATION = ("192.0.2.", "198.51.100.", "203.0.113.")  # RFC 5737
_BENCHMARK = "198.18."  # RFC 2544: the wider space for the second choice, never routed


@RECOGNISERS.add("ip-address.v1")
class IpAddress(Shaped):
    """IPv4 and IPv6 addresses; not loopback, netmasks, version numbers or C++ scopes."""

    kinds = frozenset({"IP_ADDRESS"})
    example = "10.23.4.17"
    pattern: ClassVar[str] = r"::|(?:[0-9A-Fa-f]{1,4}:){7}|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the address if it parses and stands for a host."""
        if ":" in text[start:end]:
            return self._check6(text, start, end)
        touches = text[max(0, start - 1) : start] == "." or (text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit())
        if touches or not _is_alone(text, start, end) or _VERSION_WORD.search(text, max(0, start - 12), start):
            return ()
        return (Span(start, end, "IP_ADDRESS", SHAPE),) if _is_host4(text[start:end]) else ()

    def _check6(self, text: str, start: int, end: int) -> Sequence[Span]:
        before = text[max(0, start - 2) : start]
        is_behind_name = before[1:] == ":" and before[0].isalnum() and before[0] not in _GROUP_CHARACTERS  # `IP:::ffff:…`
        if (text[start - 1 : start] == ":" and not is_behind_name) or text[end : end + 1] == ":":
            return ()  # three in a row: no address, and perhaps a very long row
        first = start
        while not is_behind_name and first > max(0, start - _LONGEST) and text[first - 1] in _GROUP_CHARACTERS:
            first -= 1
        first += not is_behind_name and text[first] == ":" and text[first + 1] != ":"  # `IP:2001:…`
        last = _TAIL.match(text, end)
        trimmed = text[first : last.end() if last else end].rstrip(".")
        trimmed = trimmed[:-1] if trimmed.endswith(":") and not trimmed.endswith("::") else trimmed
        end = first + len(trimmed)
        if not _is_alone(text, first, end) or not _is_host6(trimmed):
            return ()
        return (Span(first, end, "IP_ADDRESS", CHECKED),)

    def normalise(self, value: str) -> str:
        """Return the shortest spelling of the address."""
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        four = ".".join(
            map(
                str,
                draw.choice(
                    (
                        (10, *draw.choices(range(256), k=3)),
                        (192, 168, *draw.choices(range(256), k=2)),
                        (draw.randint(1, 223), *draw.choices(range(256), k=3)),
                    )
                ),
            )
        )
        groups = [f"{draw.randrange(65_536):x}" for _ in range(8)]
        six = draw.choice(
            (
                ":".join(["2001", *groups[1:]]),
                f"fe80::{groups[0]}:{groups[1]}:{groups[2]}",
                f"2409:{groups[0]}::{groups[1]}",
                f"240e:{':'.join(groups[:3])}::1",
                f"::ffff:{four}",
            )
        )
        return framed("IP_ADDRESS", draw.choice(("", "", "IP：", "ip ", "from ", "登录IP")), draw.choice((four, four, four, six)))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an address of the documentation ranges: RFC 5737 (one in eight: the benchmark range of RFC 2544), RFC 3849."""
        if ":" in value:
            return "2001:db8:" + ":".join(f"{draw.below(0xFFFF) + 1:x}" for _ in range(6))
        if draw.below(8) == 0:
            return f"{_BENCHMARK}{draw.below(256)}.{draw.below(254) + 1}"
        return f"{draw.choice(_DOCUMENTATION)}{draw.below(254) + 1}"


def _is_alone(text: str, start: int, end: int) -> bool:
    """Return True when no letter or digit touches an address but those of its name: 登录IP10.0.0.1."""
    first = start - 2 if _NAME.search(text, max(0, start - 3), start) else start
    return stands_alone(text, first, end)


def _is_host4(value: str) -> bool:
    try:
        address = ipaddress.IPv4Address(value)  # refuses numbers over 255 and leading zeros
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or value.startswith("255."))


def _is_host6(value: str) -> bool:
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return False
    groups = [group for group in value.split(":") if group]
    if address.is_loopback or address.is_unspecified or not any(c.isdigit() for c in value):
        return False
    return len(groups) >= _FEW_GROUPS or len(groups[0]) >= _FIRST_GROUP
