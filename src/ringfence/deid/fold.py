"""Folding: one spelling for the many ways to write a digit, a letter or a separator, with the way back to the original characters."""

from __future__ import annotations

import unicodedata
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
    """Return `text` with full-width and other compatibility forms as ASCII and invisible characters removed.

    Only characters that an identifier may consist of are touched: `，` stays what it is.
    """
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
