"""Many values looked up in a text at once, in the spellings that people use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ringfence.deid.recogniser import cuts_a_run

T = TypeVar("T")

# Scripts whose letters have cases, and whose words stand apart, lie below: Latin, Greek, Cyrillic, Armenian. So does the Latin of Vietnamese further up.
_CASED_END, _MORE_LATIN = 0x590, range(0x1E00, 0x1F00)
_LETTERS = "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u058f\u1e00-\u1eff"
_WORD = re.compile(rf"[0-9]+|[{_LETTERS}]+")
_NEXT = re.compile(rf"(?:[^\w\x00]|_){{0,8}}?([0-9]+|[{_LETTERS}]+)")  # eight: `-----BEGIN … KEY-----` and a line's end
_UNCASED = re.compile(rf"[^\W{_LETTERS}0-9_]")  # a character of another script
_PAIR = re.compile(rf"[^\W{_LETTERS}0-9_]{{2}}")
_STEM = 4  # characters of a word under which values are filed
_LONGEST = 256  # characters of a value that is found in other spellings
_LOOKED_AT = 4_096  # characters of a value by which a longer one is known: what is compared at each place has a bound
_ONE_BY_ONE = str.maketrans(
    "\u0130\u03a3\u03c2", "i\u03c3\u03c3"
)  # what lower case makes two characters of, or one or another by what follows
_LEAST_MIXED, _LEAST_DIGITS = 6, 8  # characters of such a value, and of one of digits alone: 12-34 and 1234 are too much like other numbers
_LOOSE = "\x01"  # begins the key of a value that is found in other spellings; text has none
_BITS = 20


class _Filed(NamedTuple):
    """What is filed under one stem."""

    loose: tuple[int, ...] = ()  # lengths of canonical forms
    exact: tuple[tuple[int, int], ...] = ()  # where in a value the stem stands, and how long the value is


class Literals(Generic[T]):
    """Values with what is known of each, by key.

    A value of letters and digits is found in any case and with any separators between its runs of letters and of digits, or without them:
    `ZY-2023-0415` in `zy20230415`. Two words of letters stay two: Anna Lee is not Annalee. A single word, a short number and what holds other scripts is
    found as it is written. Nothing is found where a run of digits or of letters goes on beyond its edge.

    A text costs one pass over its words and pairs of characters, and a look into a table for each that a value may begin with: neither how many
    values there are counts, nor how many begin alike.
    """

    def __init__(self) -> None:
        self.values: dict[str, T] = {}
        self._stems: dict[str, _Filed] = {}
        self._shared: dict[_Filed, _Filed] = {}  # one object for equal ones: there are few, and millions of stems
        self._bits: NDArray[np.bool_] = np.zeros(1 << _BITS, dtype=np.bool_)
        self._has_pairs = False

    def add(self, value: str, what: T, *, key: str | None = None) -> str | None:
        """File a value and return its key, which may be given; None if nothing in it can be looked up: it has no letter or digit, or a single one of a script without words."""
        key = key_of(value) if key is None else key
        if key in self.values:
            self.values[key] = what
            return key
        is_loose = key.startswith(_LOOSE)
        stems = list(_stems(value if is_loose else key, key))
        if not stems:
            return None
        self.values[key] = what
        for stem, at in stems:
            self._file(stem, length=len(key) - 1 if is_loose else None, place=(at, len(key)))
        return key

    def _file(self, stem: str, *, length: int | None, place: tuple[int, int]) -> None:
        filed = self._stems.get(stem, _Filed())
        if length is not None:
            now = filed if length in filed.loose else filed._replace(loose=tuple(sorted((*filed.loose, length))))
        else:
            now = filed if place in filed.exact else filed._replace(exact=(*filed.exact, place))
        if now is filed:
            return
        self._stems[stem] = self._shared.setdefault(now, now)
        if _is_pair(stem):
            self._has_pairs = True
        self._bits[_hash(stem)] = True

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, key) of every occurrence of a value in a folded text; occurrences may overlap."""
        if not self._stems:
            return
        ends: dict[tuple[int, int], int] = {}  # of long values, where the last occurrence ends: of those that overlap it none is looked for
        for start in self._candidates(text):
            match = _WORD.match(text, start)
            filed = self._stems.get(_lowered(match[0][:_STEM]) if match else text[start : start + 2])
            if filed is None:
                continue
            if filed.loose and match:
                yield from self._loosely(text, match, filed.loose)
            for offset, length in filed.exact:
                begin, end = start - offset, start - offset + length
                if begin < 0 or end > len(text) or (length > _LONGEST and begin < ends.get((offset, length), 0)):
                    continue
                value = text[begin:end]
                if value in self.values and not cuts(text, begin) and not (length < _LOOKED_AT and cuts(text, end)):
                    if length > _LONGEST:
                        ends[offset, length] = end
                    yield begin, end, value

    def _loosely(self, text: str, match: re.Match[str], lengths: tuple[int, ...]) -> Iterator[tuple[int, int, str]]:
        start, key, most = match.start(), _LOOSE + _lowered(match[0]), lengths[-1] + 1
        end = match.end()
        while len(key) <= most:
            if len(key) - 1 in lengths and key in self.values:
                yield start, end, key
            further = _NEXT.match(text, end)
            if further is None:
                return
            key, end = _joined(key, _lowered(further[1])), further.end()

    def _candidates(self, text: str) -> list[int]:
        """Return where the hash of a word's or pair's first characters is one of a stem's: a few places too many."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.dtype(np.uint32).newbyteorder("<"))
        classes, lower = _tables()
        small = np.minimum(codes, _MORE_LATIN.stop)
        kind = np.concatenate((classes[small], np.zeros(_STEM, dtype=np.uint8)))
        folded = np.concatenate((lower[small], np.zeros(_STEM, dtype=np.uint32)))
        begins = np.flatnonzero((kind != np.concatenate((np.zeros(1, dtype=np.uint8), kind[:-1]))) & (kind != 0) & (kind != _OTHER))
        value = folded[begins]
        goes_on = np.ones(len(begins), dtype=np.bool_)
        for n in range(1, _STEM):
            goes_on &= kind[begins + n] == kind[begins]
            value = value * np.uint32(_FACTOR) + np.where(goes_on, folded[begins + n], np.uint32(0))
        places: list[int] = begins[self._bits[_mixed(value)]].tolist()
        if self._has_pairs and not text.isascii():
            is_other = kind[: len(codes)] == _OTHER
            pairs = np.flatnonzero(is_other[:-1] & is_other[1:])
            value = codes[pairs] * np.uint32(_FACTOR) + codes[pairs + 1] * np.uint32(_SECOND)
            places += pairs[self._bits[_mixed(value)]].tolist()
        return places


def key_of(value: str) -> str:
    """Return the key of a folded value: the same for all spellings in which it is found."""
    as_written = value[:_LOOKED_AT]
    if not value.isascii() and _UNCASED.search(value):
        return as_written
    words = _WORD.findall(value)
    letters = sum(word[0].isalpha() for word in words)
    if letters == len(words) <= 1:
        return as_written
    key = _LOOSE
    for word in words:
        key = _joined(key, _lowered(word))
    is_long_enough = len(key) - 1 >= (_LEAST_MIXED if letters else _LEAST_DIGITS)
    return key if is_long_enough and len(key) - 1 <= _LONGEST and _is_walked(value, len(words)) else as_written


def is_loose(value: str) -> bool:
    """Return True when a folded value is found in other spellings, too."""
    return key_of(value).startswith(_LOOSE)


def _is_walked(value: str, words: int) -> bool:
    """Return True when the words of a value are near enough to each other to be found one from the other."""
    match = _WORD.search(value)
    count = 0
    while match:
        count += 1
        match = _NEXT.match(value, match.end())
    return count == words


def _joined(key: str, word: str) -> str:
    return f"{key} {word}" if key[-1].isalpha() and word[0].isalpha() else key + word


def _stems(value: str, key: str) -> Iterator[tuple[str, int]]:
    """Yield what a value is filed under, and where in it that stands."""
    if key.startswith(_LOOSE):  # as it is written, and with what follows its first run glued to it
        for match in (_WORD.search(value), _WORD.match(key, 1)):
            if match:
                yield _lowered(match[0][:_STEM]), match.start()
    elif match := _PAIR.search(value):
        yield match[0], match.start()
    elif match := _WORD.search(value):
        yield _lowered(match[0][:_STEM]), match.start()


def cuts(text: str, at: int) -> bool:
    """Return True when `at` stands between two digits, or two letters of a script with cases: a name inside a longer word is another word."""
    return cuts_a_run(text, at) or (0 < at < len(text) and all(c.lower() != c.upper() for c in text[at - 1 : at + 1]))


# ── hashes of stems ─────────────────────────────────────────────────────────────────────────────────────────────────

_MASK = 0xFFFFFFFF
_FACTOR, _SECOND, _SPREAD = 0x01000193, 0x85EBCA6B, 0x9E3779B1  # any odd numbers do


def _mixed(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (value * np.uint32(_SPREAD)) >> np.uint32(32 - _BITS)


def _is_pair(stem: str) -> bool:
    return ord(stem[0]) >= _CASED_END and ord(stem[0]) not in _MORE_LATIN


def _hash(stem: str) -> int:
    if _is_pair(stem):
        value = ord(stem[0]) * _FACTOR + ord(stem[1]) * _SECOND
    else:
        value = 0
        for n in range(_STEM):
            value = value * _FACTOR + (_lower(stem[n]) if n < len(stem) else 0)
    return (((value & _MASK) * _SPREAD) & _MASK) >> (32 - _BITS)


def _lowered(word: str) -> str:
    """Return a word in lower case, as many characters as it has, each whatever stands beside it."""
    return word.lower() if word.isascii() else word.translate(_ONE_BY_ONE).lower()


def _lower(character: str) -> int:
    return ord(_lowered(character))


_OTHER = 3


@cache
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return, per character up to the last Latin one and one for all others, its class (1 digit, 2 letter, 3 another script, 0 none) and what stands for it in any case."""
    characters = list(map(chr, range(_MORE_LATIN.stop)))
    classes = [(1 if c in "0123456789" else 2) if _WORD.fullmatch(c) else _OTHER if ord(c) >= _CASED_END else 0 for c in characters]
    return np.array([*classes, _OTHER], dtype=np.uint8), np.array([*map(_lower, characters), 0], dtype=np.uint32)
