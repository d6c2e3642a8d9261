"""Text as the guard compares it: words without case, accents and what stands between them, so that no tokeniser and no layout tells two copies apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Scripts that set no spaces between words: each letter counts as one word. Thai, Lao, Tibetan and Burmese; Khmer; kana; Han.
_ALONE = "\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"(?=\w)[{_ALONE}]|[^\W_{_ALONE}]+")  # in text that `plain` returned
_LETTER = re.compile(f"[{_ALONE}]")
WHOLE = 2  # what a word counts; a letter of those scripts counts half: ten words of English say about as much as twenty Chinese characters


def plain(text: str) -> str:
    """Return text as it is compared: compatibility forms folded, without combining marks, without case.

    Each character is folded by itself (only marks ever change places, and none is left), so that plain(a) + plain(b) = plain(a + b):
    an answer can be read piece by piece.
    """
    if not text.isascii():
        text = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return text.casefold()


def weights(words: Sequence[str]) -> list[int]:
    """Return what each word counts, in halves of a word."""
    return [WHOLE if one < "\u0e00" or not _LETTER.match(one) else 1 for one in words]


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared."""
    return WORD.findall(plain(text))
