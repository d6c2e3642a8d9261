"""Folding: one spelling for the many ways to write a digit, a letter or a separator, with the way back to the original characters.

Two steps: first every character for itself, then what only several characters together tell: digits written in Chinese or with a space after each,
and the @ and the dot that people spell out to keep an address from machines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

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
_CHINESE_DIGITS = "零〇○一二三四五六七八九壹贰叁肆伍陆柒捌玖貳參陸幺"
_CHINESE = str.maketrans(_CHINESE_DIGITS, "0001234567891234567892361")
_CHINESE_RUN = re.compile(f"[0-9{_CHINESE_DIGITS}](?:[ -]?[0-9{_CHINESE_DIGITS}]){{6,}}")
_APART = re.compile(r"(?<![0-9])[0-9](?: [0-9]){6,}(?![0-9])")


def _mark(mark: str, words: tuple[str, ...]) -> tuple[str, list[str], re.Pattern[str]]:
    """Return a mark, strings of which a text that spells it out holds one, and the pattern of what is spelt out."""
    hints = [word + gap + end for word in words for gap in ("", " ") for end in "])}>#"]
    return mark, hints, re.compile(rf"(?<=[A-Za-z0-9]) ?[\[({{<#] ?(?:{'|'.join(words)}) ?[\])}}>#] ?(?=[A-Za-z0-9])")


_MARKS = (_mark("@", ("at", "At", "AT")), _mark(".", ("dot", "Dot", "DOT", "点")))
_RESIZED = 0x110000  # beyond Unicode: this character becomes none or several
Codes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. `origin[i]` is the index of the original character behind folded character i; None = the same index."""

    text: str
    origin: NDArray[np.int64] | None = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of original characters behind the folded range `start:end`, which must not be empty."""
        if self.origin is None:
            return start, end
        return int(self.origin[start]), int(self.origin[end - 1]) + 1


def fold(text: str) -> Folded:
    """Return `text` in one spelling: `１３８`, `1 3 8 0 0 …`, `一三八零零…` and `bob [at] corp [dot] com` as an identifier is usually written.

    Only what an identifier may consist of is touched: `，` stays what it is, and so do Chinese numbers of fewer than seven digits.
    """
    folded = fold_characters(text)
    for step in (_in_chinese, _apart, _spelt_out):
        if edits := list(step(folded.text)):
            folded = _edited(folded, edits)
    return folded


def fold_characters(text: str) -> Folded:
    """Return `text` with full-width and other compatibility forms as ASCII and invisible characters removed."""
    if text.isascii():
        return Folded(text)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    single, several = _tables()
    folded = single[codes]
    resized = np.flatnonzero(folded == _RESIZED)
    if resized.size == 0:
        return Folded(text if np.array_equal(folded, codes) else _decode(folded))
    sizes = np.ones(len(codes), dtype=np.int64)
    sizes[resized] = [len(several[code]) for code in codes[resized].tolist()]
    origin = np.repeat(np.arange(len(codes), dtype=np.int64), sizes)
    folded = folded[origin]
    inserted = "".join(several[code] for code in codes[resized].tolist())
    folded[folded == _RESIZED] = [ord(c) for c in inserted]
    return Folded(_decode(folded), origin)


_Edit = tuple[int, int, str]  # a range, and what stands there instead: its characters, those without spaces, or one for all


def _in_chinese(text: str) -> Iterator[_Edit]:
    for match in () if text.isascii() else _CHINESE_RUN.finditer(text):
        written = match[0].translate(_CHINESE)
        if sum(a != b for a, b in zip(written, match[0], strict=True)) >= _LEAST_CHINESE:
            yield match.start(), match.end(), written


def _apart(text: str) -> Iterator[_Edit]:
    return ((m.start(), m.end(), m[0].replace(" ", "")) for m in _APART.finditer(text))


def _spelt_out(text: str) -> Iterator[_Edit]:
    found = [(m.start(), m.end(), mark) for mark, hints, pattern in _MARKS if any(h in text for h in hints) for m in pattern.finditer(text)]
    return iter(sorted(found))


def _edited(folded: Folded, edits: list[_Edit]) -> Folded:
    origin = np.arange(len(folded.text), dtype=np.int64) if folded.origin is None else folded.origin
    texts, origins, at = [], [], 0
    for start, end, written in edits:
        places = np.arange(start, end)
        if len(written) == 1:
            places = places[:1]
        elif len(written) < end - start:
            places = places[[c != " " for c in folded.text[start:end]]]
        texts += [folded.text[at:start], written]
        origins += [origin[at:start], origin[places]]
        at = end
    return Folded("".join([*texts, folded.text[at:]]), np.concatenate([*origins, origin[at:]]))


def _decode(codes: Codes) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


@cache
def _tables() -> tuple[Codes, dict[int, str]]:
    """Return the folding of each code point that becomes one character, and of those that become none or several."""
    table = {code: folded for first, last in _BLOCKS for code in range(first, last) if (folded := _compatibility(chr(code)))}
    for first, last in _DIGIT_BLOCKS:
        table |= {code: str(digit) for code in range(first, last) if (digit := unicodedata.decimal(chr(code), None)) is not None}
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
