"""Keys and tokens of many services, by the rules of gitleaks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from itertools import takewhile
from random import Random
from typing import Any, ClassVar

from ringfence.deid.draw import DIGITS, LOWER, UPPER, Draw
from ringfence.deid.recogniser import RECOGNISERS, SECRET, SEPARATOR, Shaped, Span
from ringfence.deid.recognisers.api_key import entropy
from ringfence.deid.specimen import Specimen, bare, text

_DATA = json.loads((files("ringfence.deid") / "data" / "gitleaks.json").read_text(encoding="utf-8"))
_REACH, _LINE = 2_048, 200  # characters: behind a key word, and of a line before or behind a match
_SHARPER = {"ey": "ey[a-z0-9]{12}", "sk": "sk[0-9a-f]{8}", "s.": r"s\.[a-z0-9]{12}"}  # key words that English is full of
_IDENTIFIER = re.compile(r"[\w.-]{0,50}$", re.ASCII)
_PEM = "-----BEGIN"
_LONGEST = 64  # characters of a stand-in


class _Allow:
    """What a rule finds and is no secret."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._target, self._words = data.get("target", "secret"), data.get("stopwords", ())
        self._regex = re.compile("|".join(f"(?:{regex})" for regex in data["regexes"]), re.ASCII) if data.get("regexes") else None

    def holds(self, secret: str, *, match: str, line: str) -> bool:
        target = {"secret": secret, "match": match, "line": line}[self._target]
        lowered = secret.lower()
        return bool(self._regex and self._regex.search(target)) or any(word in lowered for word in self._words)


class _Rule:
    """One rule of gitleaks."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.id, self._data = data["id"], data
        self.keywords: list[str] = data["keywords"]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(self._data["regex"], re.ASCII)

    @cached_property
    def _allow(self) -> list[_Allow]:
        return [_EVERYWHERE, *map(_Allow, self._data.get("allow", ()))]

    def find(self, text: str, at: int) -> tuple[int, int] | None:
        """Return the range of the first secret that the rule finds around the key word at `at`."""
        reach, before = self._data.get("reach", _REACH), self._data.get("before", 0)
        stop = text.find(SEPARATOR, at, at + reach)
        stop = at + reach if stop < 0 else stop
        if not before:
            match = self._regex.match(text, at, stop)
            return self._secret(match) if match else None
        begin = max(text.rfind(SEPARATOR, max(0, at - before), at) + 1, at - before)
        near = takewhile(lambda match: match.start() <= at + self._data["near"], self._regex.finditer(text, max(0, begin), stop))
        return next((secret for match in near if (secret := self._secret(match))), None)

    def _secret(self, match: re.Match[str]) -> tuple[int, int] | None:
        group = self._data.get("group", next((n for n, found in enumerate(match.groups(), 1) if found), 0))
        start, end = match.span(group)
        secret = match.string[start:end]
        trimmed = secret.strip("\n\"'")
        start += secret.index(trimmed)
        if not trimmed or entropy(trimmed) <= self._data.get("entropy", 0):
            return None
        line = _line(match)
        identifier = _IDENTIFIER.search(line[0])
        whole = (identifier[0] if identifier else "") + match[0]
        if any(allow.holds(trimmed, match=whole, line="".join(line)) for allow in self._allow):
            return None
        return start, start + len(trimmed)


def _line(match: re.Match[str]) -> tuple[str, str, str]:
    """Return what stands on the lines of a match: before it, itself, behind it."""
    text, (start, end) = match.string, match.span()
    left = max(0, start - _LINE)
    first = max(left, 1 + max(text.rfind(mark, left, start) for mark in ("\n", SEPARATOR)))
    last = min(end + _LINE, len(text), *(place for mark in ("\n", SEPARATOR) if (place := text.find(mark, end, end + _LINE)) >= 0))
    return text[first:start], match[0], text[end:last]


_EVERYWHERE = _Allow(_DATA["allow"])
_RULES = [_Rule(data) for data in _DATA["rules"]]
_KEYWORDS = sorted({word for rule in _RULES for word in rule.keywords}, key=lambda word: (-len(word), word))
_SHORTEST, _LONGEST_WORD = min(map(len, _KEYWORDS)), max(map(len, _KEYWORDS))
_BY_START: dict[str, list[tuple[str, list[_Rule]]]] = {}  # first characters -> key words, the longest first, with their rules
for _word in _KEYWORDS:
    _BY_START.setdefault(_word[:_SHORTEST], []).append((_word, [rule for rule in _RULES if _word in rule.keywords]))


def _any_of(words: Sequence[str]) -> str:
    """Return a pattern of all words in any case, by first character: `re` then tries only those that begin like the text."""
    by_first: dict[str, list[str]] = {}
    for word in words:
        by_first.setdefault(word[0], []).append(_SHARPER.get(word, word[:1] + re.escape(word[1:]))[1:])
    return "|".join(f"[{re.escape(c)}{re.escape(c.upper())}](?i:{'|'.join(rests)})" for c, rests in sorted(by_first.items()))


@RECOGNISERS.add("secret-rules.v1")
class SecretRules(Shaped):
    """What the rules of gitleaks find at their key words, with their gates of entropy and lists of what is none; the span is the secret alone."""

    kinds = frozenset({"SECRET"})
    example = "npm_x3KqP9mZ7vR2tYwB5nLdx3KqP9mZ7vR2tYw0"
    pattern: ClassVar[str] = _any_of(_KEYWORDS)

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:  # noqa: ARG002  only where it begins matters
        """Return the longest secret that a rule of the key word finds."""
        lowered = text[start : start + _LONGEST_WORD].lower()
        rules = [rule for word, rules in _BY_START.get(lowered[:_SHORTEST], ()) if lowered.startswith(word) for rule in rules]
        places = [place for rule in rules if (place := rule.find(text, start))]
        return (Span(*max(places, key=lambda place: place[1] - place[0]), "SECRET", SECRET),) if places else ()

    def normalise(self, value: str) -> str:
        """Return the value as it is: secrets are case-sensitive."""
        return value

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        alnum = UPPER + LOWER + DIGITS
        return bare(
            "SECRET",
            draw.choice(
                (
                    lambda: "npm_" + text(draw, LOWER + UPPER + DIGITS, 36),
                    lambda: "sk_live_" + text(draw, alnum, 24),
                    lambda: "glpat-" + text(draw, alnum, 20),
                    lambda: "SG." + text(draw, alnum, 22) + "." + text(draw, alnum, 43),
                    lambda: "shpat_" + text(draw, "0123456789abcdef", 32),
                    lambda: "dop_v1_" + text(draw, "0123456789abcdef", 64),
                    lambda: "pypi-AgEIcHlwaS5vcmc" + text(draw, alnum, 60),
                    lambda: (
                        f"https://hooks.slack.com/services/T{text(draw, UPPER + DIGITS, 8)}/B{text(draw, UPPER + DIGITS, 8)}/{text(draw, alnum, 24)}"
                    ),
                    lambda: "hf_" + text(draw, LOWER + UPPER, 34),
                    lambda: "AGE-SECRET-KEY-1" + text(draw, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
                )
            )(),
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a value with the issuer's prefix and the word EXAMPLE, which no real key ends with."""
        if value.startswith(_PEM):
            return f"[private key {draw.text(LOWER + DIGITS, 8)}]"
        prefix = next((word for word in _KEYWORDS if value.lower().startswith(word) and not word[-1].isalnum()), "")
        alphabet = UPPER + DIGITS if value.isupper() else LOWER + DIGITS
        return value[: len(prefix)] + draw.text(alphabet, max(6, min(len(value), _LONGEST) - len(prefix) - 7)) + "EXAMPLE"
