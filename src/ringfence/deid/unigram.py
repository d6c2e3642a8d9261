"""Cuts a text into the word pieces of a unigram model, with the characters that each piece stands for.

Source: Kudo 2018, Subword Regularization (arXiv:1804.10959), and SentencePiece: of all ways to cut a word, the one whose pieces have the greatest
sum of scores; a character that no piece holds is unknown. A piece never crosses a space, so that words are cut one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

SPACE = "\u2581"  # stands for the space before a word
_WORD = re.compile(rf"{SPACE}?[^{SPACE}]*")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\u3400-\u9fff\uf900-\ufaff]+")
_UNKNOWN = 10.0  # how far below the least score an unknown character lies
_KEPT = 1 << 16  # words whose pieces are remembered


class Piece(NamedTuple):
    """A piece by its number, and the characters of the text that it stands for: none for a space alone."""

    number: int
    start: int
    end: int


class Unigram:
    """A vocabulary of word pieces."""

    def __init__(
        self, texts: Sequence[str], scores: Sequence[float], *, read_as: Mapping[str, str], unknown: int, controls: frozenset[int]
    ) -> None:
        """`read_as`: characters that are read as others.  `controls`: pieces that stand for no text."""
        if any(SPACE in text[1:] for n, text in enumerate(texts) if n not in controls):
            raise ValueError("a piece crosses a space")
        self._known = {text: (scores[n], n) for n, text in enumerate(texts) if n not in controls and n != unknown}
        self._longest = max(map(len, self._known))
        self._least = min(scores) - _UNKNOWN
        self._unknown = unknown
        self._read_as = dict(read_as)
        self._word = lru_cache(_KEPT)(self._cut_word)

    def cut(self, text: str, *, han_apart: bool = False) -> list[Piece]:
        """Return the pieces of a text. han_apart: every Chinese character is cut off from what stands around it."""
        read, sources = self._read(text)
        found: list[Piece] = []
        at = 0
        for word in _WORD.findall(read):
            for part in _HAN.findall(word) if han_apart else [word] if word else []:
                for number, length in self._word(part):
                    first = at + (read[at] == SPACE)
                    start = sources[first] if first < at + length else sources[at]
                    found.append(Piece(number, start, sources[at + length - 1] + 1 if first < at + length else start))
                    at += length
        return found

    def _read(self, text: str) -> tuple[str, list[int]]:
        """Return the text as it is read, and for each of its characters the place in `text` of the one that it comes from."""
        characters: list[str] = []
        sources: list[int] = []
        for n, character in enumerate(text):
            for other in self._read_as.get(character, character):
                space = other == " "
                if not (space and characters and characters[-1] == SPACE):
                    characters.append(SPACE if space else other)
                    sources.append(n)
        if characters[:1] != [SPACE]:
            characters.insert(0, SPACE)
            sources.insert(0, 0)
        return "".join(characters), sources

    def _cut_word(self, word: str) -> tuple[tuple[int, int], ...]:
        """Return (number, characters) of the pieces of a word."""
        best = [0.0] + [float("-inf")] * len(word)
        back = [(self._unknown, 0)] * (len(word) + 1)  # (number, where the piece begins)
        for start in range(len(word)):
            for end in range(start + 1, min(start + self._longest, len(word)) + 1):
                known = self._known.get(word[start:end])
                if known and best[start] + known[0] > best[end]:
                    best[end], back[end] = best[start] + known[0], (known[1], start)
            if best[start] + self._least > best[start + 1]:
                best[start + 1], back[start + 1] = best[start] + self._least, (self._unknown, start)
        found: list[tuple[int, int]] = []
        end = len(word)
        while end:
            number, start = back[end]
            found.append((number, end - start))
            end = start
        return tuple(reversed(found))
