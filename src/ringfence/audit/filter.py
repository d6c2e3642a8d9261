"""The keyed filter of a run's canaries: tells that an answer said one of them, without holding any.

An answer leaks a canary when it says the canary's digits in a conversation that names whom they belong to. It may say only the last of them, where the
others stand before it: an answer of a few tokens is asked for its rest.

The filter holds one keyed hash for each name, and one for each pair of name and digits: a conversation's many names are asked for once each, and only
those that are planted with each number of the answer. Whoever reads it without its key learns nothing. Whoever has the key can ask about any name and
any pair, and could try them all: the filter is for its vault alone.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field

from ringfence.audit.settings import DIGITS, Canary
from ringfence.core.digest import canonical, keyed, parse_canonical
from ringfence.core.errors import NotCanonical, ObjectBroken
from ringfence.core.settings import Settings

FILE = "filter"  # the one file of the object
_KEY, _TAG = 32, 16  # bytes
_CHINESE = 5  # characters of a name
_WORDS = 2  # of an English one
_LAST = 64  # characters of a conversation in which a name may begin: more than the longest has
_NUMBERS = 4  # the last ones before an answer that its first ones may go on from
_RUN = re.compile(r"[0-9]+")
_BETWEEN = re.compile(r"(?<=[0-9])[\W_]{1,4}(?=[0-9])")  # neither letters nor digits: how an answer sets digits apart
_ENGLISH = re.compile(r"[a-z]+")
_HAN = re.compile("[一-鿿]+")
_Tag = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * _TAG}}}$")]


class CanaryFilter(Settings):
    """What `serve` asks."""

    format: Literal["ringfence.filter/2"] = "ringfence.filter/2"
    key: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * _KEY}}}$", repr=False)]
    names: frozenset[_Tag]
    tags: frozenset[_Tag]  # of pairs

    @classmethod
    def of(cls, canaries: Iterable[Canary]) -> Self:
        """Return the filter of the canaries that were planted, under a fresh key."""
        key, planted = secrets.token_hex(_KEY), [one for one in canaries if one.is_in]
        names, tags = (_tag(key, one.who) for one in planted), (_tag(key, one.who, one.secret) for one in planted)
        return cls(key=key, names=frozenset(names), tags=frozenset(tags))

    def to_bytes(self) -> bytes:
        """Return the bytes of the object's file."""
        return canonical({"format": self.format, "key": self.key, "names": sorted(self.names), "tags": sorted(self.tags)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the filter that `to_bytes` wrote.

        Raises: ObjectBroken.
        """
        try:
            return cls.model_validate(parse_canonical(data))
        except (ValueError, NotCanonical) as cause:
            raise ObjectBroken(file=0) from cause

    def watch(self, conversation: str, said: str = "") -> Watch:
        """Return what looks at one answer as it grows. conversation: all that stands before it. said: the model's own part of that."""
        return Watch(self, conversation, said)

    def told(self, conversation: str, answer: str) -> int:
        """Return how many planted canaries the answer tells: their digits in it, their name in it or in the conversation before."""
        return self.watch(conversation)(answer)


class Watch:
    """One answer under the filter. No name, and no pair of name and digits, is asked for twice, however many pieces the answer comes in."""

    def __init__(self, filter_: CanaryFilter, conversation: str, said: str) -> None:
        self._filter = filter_
        self._last = conversation.rstrip()[-_LAST:].split()[-_WORDS:]  # a name may begin in the question and end in the answer
        self._seen: set[str] = set()  # names that were asked for
        plain = _plain(conversation)
        self._begun = _begun(plain, _plain(said))
        self._names = self._planted(_names(plain))
        self._codes: set[str] = set()
        self._told: set[str] = set()

    def __call__(self, answer: str) -> int:
        """Return how many canaries the answer, as far as it has come, tells."""
        last = " ".join(self._last)
        codes = set(_codes(_plain(answer), self._begun)) - self._codes
        names = self._planted([*_names(_plain(f"{last} {answer}")), *_names(_plain(last + answer[:_LAST]))])  # or in the middle of a word
        self._ask(self._names | names, codes)
        self._ask(names, self._codes)
        self._codes |= codes
        self._names |= names
        return len(self._told)

    def _planted(self, names: Iterable[str]) -> set[str]:
        """Return those of the names not seen before that a canary has."""
        new = set(names) - self._seen
        self._seen |= new
        return {name for name in new if _tag(self._filter.key, name) in self._filter.names}

    def _ask(self, names: Iterable[str], codes: Iterable[str]) -> None:
        key = self._filter.key
        self._told |= self._filter.tags & {_tag(key, name, code) for name in names for code in codes}


def _plain(text: str) -> str:
    """Return text as it is compared: compatibility forms folded, in lower case."""
    return unicodedata.normalize("NFKC", text).casefold()


def _tag(key: str, who: str, code: str = "") -> str:
    """Return the keyed hash of a name, or of a pair of name and digits."""
    return keyed(bytes.fromhex(key), f"{' '.join(_plain(who).split())}|{code}".encode()).hex()


def _begun(conversation: str, said: str) -> set[str]:
    """Return what a code may begin with before an answer, and too few digits for a whole one: what was asked tells none by itself.

    It is the end of each of the last numbers, of all digits in a row, and of those of earlier answers in a row, whatever stands between them ("go on").
    """
    numbers = _numbers(conversation)
    return {one[1 - DIGITS :] for one in (*numbers[-_NUMBERS:], "".join(numbers[1 - DIGITS :]), "".join(_numbers(said)[1 - DIGITS :]))}


def _codes(answer: str, begun: Iterable[str]) -> Iterator[str]:
    """Yield every run of digits as long as a secret, also inside a longer run; of the first numbers also as they go on from what was begun before."""
    for place, number in enumerate(_numbers(answer)):
        before = begun if place < _NUMBERS else ()
        for digits in (number, *(one + number[: DIGITS - 1] for one in before)):
            yield from (digits[at : at + DIGITS] for at in range(len(digits) - DIGITS + 1))


def _numbers(text: str) -> list[str]:
    """Return every run of digits, also across whatever is laid out between digits."""
    return _RUN.findall(_BETWEEN.sub("", text))


def _names(text: str) -> Iterator[str]:
    words = _ENGLISH.findall(text)
    yield from (" ".join(words[at : at + _WORDS]) for at in range(len(words) - _WORDS + 1))
    for found in _HAN.finditer(text):
        run = found.group()
        yield from (run[at : at + _CHINESE] for at in range(len(run) - _CHINESE + 1))
