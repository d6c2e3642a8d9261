"""Folding: one spelling for the many ways to write a digit, a letter or a separator, with the way back to the original characters.

Three steps: first every character for itself, then those that are written as escapes (see `escapes`), then what only several characters together
tell: digits written in Chinese or with a space after each, and the @ and the dot that people spell out to keep an address from machines.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from ringfence.deid.escapes import MARKS, Escape, escapes

_KEPT = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz@._%+-:/=&~ ")
_BLOCKS = (  # where compatibility forms of ASCII live: superscripts, punctuation, enclosed, full-width, mathematical
    (0x00A0, 0x0100),
    (0x2000, 0x2500),
    (0x3000, 0x3001),
    (0xFE50, 0xFE70),
    (0xFF00, 0xFFF0),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F190),
)
_DIGIT_BLOCKS = ((0x0660, 0x2000), (0xA620, 0xABFA), (0x104A0, 0x11DAA), (0x1FBF0, 0x1FBFA))  # decimal digits of other scripts
_HAN_FORMS = ((0x2F00, 0x2FD6), (0xF900, 0xFADA))  # radicals, as PDF files hold them, and compatibility forms of Chinese characters
_COMBINING = (0x0300, 0x0370)
_MOST_COMBINING = 3  # on a letter that Unicode has as one character
_HYPHENS = "‐‑‒–—―−﹘﹣－"
_INVISIBLE = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x180B, 0x180F),
    (0x200B, 0x200F),  # zero-width space, joiners, direction marks
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),
    (0xE0000, 0xE01EF),  # tags, variation selectors supplement
)


_LEAST_CHINESE = 4  # digits written in Chinese, in a run of at least seven digits: `13800138000一个` ends before its last character
_LEAST_DIGITS = 7
_CHINESE_DIGITS = "零〇○一二三四五六七八九壹贰叁肆伍陆柒捌玖貳參陸幺"
_CHINESE = str.maketrans(_CHINESE_DIGITS, "0001234567891234567892361")
_LONE = re.compile(r"[\ud800-\udfff]")
_APART = re.compile(r"(?<![0-9])[0-9](?: [0-9]){6,}(?![0-9])")
_MARKS = tuple(
    (mark, re.compile(rf"(?<=[A-Za-z0-9]) ?[\[({{<#] ?(?:{words}) ?[\])}}>#] ?(?=[A-Za-z0-9])"))
    for mark, words in (("@", "at|At|AT"), (".", "dot|Dot|DOT|点"))
)
_LONGEST_MARK = 12  # characters: ` [ dot ] x`
_SHORT = 256  # characters of a text that is looked at by one expression first: tables pay for longer ones alone
_LAYERS = 4  # of escapes of one sort inside those of another: what is wrapped more often stays wrapped, so that the time has a bound

# Sorts of characters, one byte each: a megabyte is searched by its sorts first, because what is looked for is rare and they are searched fast.
_DIGIT, _HAN_DIGIT, _OTHER = b"01x"
_MARK_SORT = b"^"
_LETTERS = {"a": b"aA", "t": b"tT", "d": b"dD", "o": b"oO"}
_OPENINGS = b"[({<#])}>"
_APART_SORTS = b"0 0 0 0 0 0 0"
_MARK_SORTS = re.compile(rb"\((?= ?(?:at|dot|p) ?\()")
_FOLDS = ord("F")  # becomes something else

_RESIZED = 0x110000  # beyond Unicode: this character becomes none or several
Codes = NDArray[np.uint32]
Sorts = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text, and where its characters come from.

    `firsts` and `origins`: where a stretch of folded characters begins, and where the original characters behind it do; inside a stretch both
    go on one by one. Of stretches that begin alike the last one counts; without stretches the places are the same.
    `widths`: for each stretch, how many original characters stand behind each of its folded ones; if more than one, it has a single character.
    """

    text: str
    firsts: Sequence[int] = ()  # ascending
    origins: Sequence[int] = ()
    widths: Sequence[int] = ()  # empty: 1 everywhere

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of original characters behind the folded range `start:end`, which must not be empty."""
        return (self.place(start), self.place(end - 1) + self.width(end - 1)) if self.firsts else (start, end)

    def width(self, at: int) -> int:
        """Return how many original characters stand behind the folded character `at`."""
        return self.widths[bisect_right(self.firsts, at) - 1] if self.widths else 1

    def place(self, at: int) -> int:
        """Return the index of the original character behind the folded character `at`."""
        stretch = bisect_right(self.firsts, at) - 1
        return self.origins[stretch] + at - self.firsts[stretch]

    def places(self, origins: Iterable[int]) -> list[int]:
        """Return where the first folded character stands that comes from each original character or from a later one."""
        found = []
        for origin in origins:
            stretch = bisect_left(self.origins, origin)
            inside = self.firsts[stretch - 1] + origin - self.origins[stretch - 1] if stretch else origin
            found.append(min(inside, self.firsts[stretch]) if stretch < len(self.firsts) else inside)
        return found


def fold(text: str) -> Folded:
    """Return `text` in one spelling: `１３８`, `1 3 8 0 0 …`, `一三八零零…`, `%31%33%38` and `bob [at] corp [dot] com` as an identifier is usually written.

    Only what an identifier may consist of is touched: `，` stays what it is, and so do Chinese numbers of fewer than seven digits.
    """
    if len(text) <= _SHORT and not _may_fold().search(text):
        return Folded(text)
    folded, sorts = _by_character(text)
    for layer in range(_LAYERS):
        if found := _composable(folded.text, sorts, escapes(folded.text, sorts)):
            folded, sorts = _unescaped(folded, sorts, found)
        elif layer:
            break
        for step in (_in_chinese, _apart, _spelt_out):
            if edits := list(step(folded.text, sorts)):
                folded, sorts = _edited(folded, sorts, edits)
    return folded


def whole(text: str) -> str:
    """Return `text` with U+FFFD for each half of a character: no model was made for one, and UTF-8 has none."""
    return _LONE.sub("\ufffd", text)


def _by_character(text: str) -> tuple[Folded, bytes]:
    """Return the text with each character folded for itself, and its sorts."""
    if text.isascii():
        return Folded(text), _sorted(text)
    codes, sorts = _coded(text)
    places = np.flatnonzero(sorts == _FOLDS)
    if places.size == 0:
        return Folded(text), sorts.tobytes()
    single, several = _tables()
    codes, sorts = codes.copy(), sorts.copy()
    changed = single[codes[places]]
    resized = places[changed == _RESIZED]
    instead = [several[code] for code in codes[resized].tolist()]
    changed[changed == _RESIZED] = ord("x")
    codes[places], sorts[places] = changed, _sort_table()[changed]
    folded = codes.tobytes().decode("utf-32-le", "surrogatepass")
    return _resized(folded, sorts.tobytes(), resized.tolist(), instead) if instead else (Folded(folded), sorts.tobytes())


def _resized(text: str, sorts: bytes, places: list[int], instead: list[str]) -> tuple[Folded, bytes]:
    """Return a text and its sorts with other characters, none or several, at some places."""
    pieces, kinds, firsts, origins, at, length = [], [], [0], [0], 0, 0
    for place, written in zip(places, instead, strict=True):
        pieces += [text[at:place], written]
        kinds += [sorts[at:place], _sorted(written)]
        length += place - at + len(written)
        firsts += range(length - len(written), length + 1)
        origins += [place] * len(written) + [place + 1]
        at = place + 1
    return Folded("".join([*pieces, text[at:]]), firsts, origins), b"".join([*kinds, sorts[at:]])


def _sorted(text: str) -> bytes:
    """Return the sort of each character."""
    return text.encode().translate(_ascii_sorts()) if text.isascii() else _coded(text)[1].tobytes()


def _coded(text: str) -> tuple[Codes, Sorts]:
    """Return the code points of a text and their sorts, each [characters]."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return codes, _sort_table().take(codes)


_Edit = tuple[int, int, str]  # a range, and what stands there instead: its characters, those without spaces, or one for all


def _in_chinese(text: str, sorts: bytes) -> Iterator[_Edit]:
    """Yield the runs of digits, with at most one space or hyphen between two of them, in which enough digits are Chinese."""
    if sorts.count(_HAN_DIGIT) < _LEAST_CHINESE:
        return
    sort = np.frombuffer(sorts, dtype=np.uint8)
    is_chinese = sort == _HAN_DIGIT
    places = np.flatnonzero(is_chinese | (sort == _DIGIT))  # [digits]
    gaps = np.diff(places)
    between = sort[places[:-1] + 1]
    goes_on = (gaps == 1) | ((gaps == 1 + 1) & ((between == ord(" ")) | (between == ord("-"))))
    firsts = np.flatnonzero(np.concatenate(([True], ~goes_on)))  # [runs]
    sizes = np.diff(firsts, append=len(places))
    chinese = np.add.reduceat(is_chinese[places].astype(np.int64), firsts)
    for run in np.flatnonzero((sizes >= _LEAST_DIGITS) & (chinese >= _LEAST_CHINESE)).tolist():
        start, end = int(places[firsts[run]]), int(places[firsts[run] + sizes[run] - 1]) + 1
        yield start, end, text[start:end].translate(_CHINESE)


def _apart(text: str, sorts: bytes) -> Iterator[_Edit]:
    at = sorts.find(_APART_SORTS)
    while at >= 0:
        match = _APART.match(text, at)
        if match:
            yield match.start(), match.end(), match[0].replace(" ", "")
        at = sorts.find(_APART_SORTS, match.end() if match else at + 1)


def _spelt_out(text: str, sorts: bytes) -> Iterator[_Edit]:
    found, ends = [], dict.fromkeys(("@", "."), 0)
    for hint in _MARK_SORTS.finditer(sorts):
        start = hint.start() - (text[hint.start() - 1 : hint.start()] == " ")
        for mark, pattern in _MARKS:
            if start >= ends[mark] and (match := pattern.match(text, start, start + _LONGEST_MARK)):
                found.append((start, match.end(), mark))
                ends[mark] = match.end()
    return iter(sorted(found))


def _edited(folded: Folded, sorts: bytes, edits: list[_Edit]) -> tuple[Folded, bytes]:
    """Return a folded text and its sorts after edits."""
    pieces, kinds, firsts, places, at, length = [], [], [0], [0], 0, 0  # places: in the text that is edited
    for start, end, written in edits:
        before = folded.text[at:start]
        pieces += [before, written]
        kinds += [sorts[at:start], _sorted(written)]
        length += len(before)
        behind = range(start, end)
        kept = behind[:1] if len(written) == 1 else [n for n in behind if len(written) == len(behind) or folded.text[n] != " "]
        firsts += range(length, length + len(written))
        places += kept
        length += len(written)
        firsts.append(length)
        places.append(end)
        at = end
    text = "".join([*pieces, folded.text[at:]])
    mapped = _composed(firsts, places, folded, length=len(text)) if folded.firsts else (firsts, places)
    return Folded(text, *mapped), b"".join([*kinds, sorts[at:]])


def _composed(firsts: list[int], places: list[int], inner: Folded, *, length: int) -> tuple[list[int], list[int], list[int]]:
    """Return stretches of a text that came from an edited one, in the places of what that one came from."""
    starts: list[int] = []
    origins: list[int] = []
    widths: list[int] = []
    for first, place, end in zip(firsts, places, [*firsts[1:], length], strict=True):
        if first == end:
            continue
        for start, origin, width in _stretches(inner, place, place + end - first):
            starts.append(start + first - place)
            origins.append(origin)
            widths.append(width)
    return starts, origins, widths if inner.widths else []


def _stretches(folded: Folded, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the stretches of a range of folded characters that is not empty: first folded character, original one, width."""
    if not folded.firsts:
        yield start, start, 1
        return
    firsts, origins, widths = folded.firsts, folded.origins, folded.widths
    stretch = bisect_right(firsts, start) - 1
    yield start, origins[stretch] + start - firsts[stretch], widths[stretch] if widths else 1
    stretch += 1
    while stretch < len(firsts) and firsts[stretch] < end:
        yield firsts[stretch], origins[stretch], widths[stretch] if widths else 1
        stretch += 1


def _composable(text: str, sorts: bytes, found: list[Escape]) -> list[Escape]:
    """Return escapes and, beside them, letters with the accents behind them that Unicode has as one character: é written as e and an accent is é."""
    at = sorts.find(_MARK_SORT)
    if at < 0:
        return found
    inside = {end - 1 for _, end, _ in found}
    letters: list[Escape] = []
    while at >= 0:
        end = at
        while sorts[end : end + 1] == _MARK_SORT:
            end += 1
        for last in range(min(end, at + _MOST_COMBINING), at, -1):
            one = unicodedata.normalize("NFC", text[at - 1 : last]) if at else ""
            if len(one) == 1 and at - 1 not in inside:
                letters.append((at - 1, last, one))
                break
        at = sorts.find(_MARK_SORT, end)
    return sorted([*found, *letters]) if letters else found


def _unescaped(folded: Folded, sorts: bytes, found: list[Escape]) -> tuple[Folded, bytes]:
    """Return a folded text and its sorts with escapes exchanged for what they stand for, folded: each character of that stands for the whole escape."""
    pieces: list[str] = []
    kinds: list[bytes] = []
    firsts: list[int] = []
    origins: list[int] = []
    widths: list[int] = []
    at, length = 0, 0
    for start, end, character in (*found, (len(folded.text), len(folded.text), "")):
        if at < start:
            for first, origin, width in _stretches(folded, at, start):
                firsts.append(length + first - at)
                origins.append(origin)
                widths.append(width)
            pieces.append(folded.text[at:start])
            kinds.append(sorts[at:start])
            length += start - at
        if start == end:  # behind the last escape: a text may begin there, although it is empty
            firsts.append(length)
            origins.append(_end(folded))
            widths.append(1)
            break
        written, sort = _folded_character(character)
        pieces.append(written)
        kinds.append(sort)
        origin, last = folded.original(start, end)
        firsts += range(length, length + len(written))
        origins += [origin] * len(written)
        widths += [last - origin] * len(written)
        length += len(written)
        at = end
    return Folded("".join(pieces), firsts, origins, widths), b"".join(kinds)


def _end(folded: Folded) -> int:
    """Return where the original characters behind a text that is not empty end."""
    return folded.original(len(folded.text) - 1, len(folded.text))[1]


@lru_cache(maxsize=1 << 14)
def _folded_character(character: str) -> tuple[str, bytes]:
    folded, sorts = _by_character(character)
    return folded.text, sorts


@cache
def _sort_table() -> Sorts:
    """Return the sort of each code point."""
    single, _ = _tables()
    table = np.full(_RESIZED, _OTHER, dtype=np.uint8)
    table[single != np.arange(_RESIZED, dtype=np.uint32)] = _FOLDS
    for sort, characters in _LETTERS.items():
        table[list(characters)] = ord(sort)
    table[list(_OPENINGS)] = ord("(")
    table[list(b"0123456789")] = _DIGIT
    table[[ord(c) for c in _CHINESE_DIGITS]] = _HAN_DIGIT
    table[list(MARKS)] = list(MARKS)
    combining = table[slice(*_COMBINING)]
    combining[combining == _OTHER] = ord(_MARK_SORT)
    for character, sort in ((" ", " "), ("-", "-"), ("点", "p")):
        table[ord(character)] = ord(sort)
    return table


@cache
def _may_fold() -> re.Pattern[str]:
    """Return what finds something in every text that is not its own folding: a character that folds, or what begins a spelling of several."""
    codes = np.flatnonzero(_sort_table() == _FOLDS)
    firsts = codes[np.diff(codes, prepend=-2) > 1]
    lasts = codes[np.diff(codes, append=_RESIZED + 1) > 1]
    ranges = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True))
    return re.compile(rf"[{ranges}{_CHINESE_DIGITS}\u0300-\u036f\\%&\[({{<#]|[0-9] [0-9]")


@cache
def _ascii_sorts() -> bytes:
    return _sort_table()[:256].tobytes()


@cache
def _tables() -> tuple[Codes, dict[int, str]]:
    """Return the folding of each code point that becomes one character, and of those that become none or several."""
    table = {code: folded for first, last in _BLOCKS for code in range(first, last) if (folded := _compatibility(chr(code)))}
    for first, last in _DIGIT_BLOCKS:
        table |= {code: str(digit) for code in range(first, last) if (digit := unicodedata.decimal(chr(code), None)) is not None}
    table |= {code: unicodedata.normalize("NFKC", chr(code)) for first, last in _HAN_FORMS for code in range(first, last)}
    table |= dict.fromkeys(map(ord, _HYPHENS), "-")
    table |= {code: "" for first, last in _INVISIBLE for code in range(first, last + 1)}
    single = np.arange(_RESIZED, dtype=np.uint32)
    for code, folded in table.items():
        single[code] = ord(folded) if len(folded) == 1 else _RESIZED
    return single, {code: folded for code, folded in table.items() if len(folded) != 1}


def _compatibility(character: str) -> str | None:
    folded = unicodedata.normalize("NFKC", character)
    if folded == character or not folded.isascii():
        return None
    return folded if (len(folded) == 1 and folded in _KEPT) or folded.isalnum() else None
