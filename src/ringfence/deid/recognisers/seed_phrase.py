"""Seed phrases of wallets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.recogniser import RECOGNISERS, SECRET, SEPARATOR, Shaped, Span, cuts_a_word
from ringfence.deid.specimen import Specimen, framed

_LISTS = ("english", "chinese_simplified", "chinese_traditional")
_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,8}(?![A-Za-z])|[一-鿿]")
_GAP = re.compile(r"[\s,，、;；.:：0-9()（）\-]{1,6}")
_SIZES = (24, 21, 18, 15, 12)  # words
_NEAR = 80  # characters from the key word to the first word
_LONGEST = 480
_TRIES = 64


@RECOGNISERS.add("seed-phrase.v1")
class SeedPhrase(Shaped):
    """At least 12 words of one BIP-39 list in a row, English or Chinese, some 12 to 24 of which pass its check, within 80 characters behind a key word.

    The key word is asked for because twelve short words in a row are no cheap pattern; a phrase that nothing announces is not found.
    """

    kinds = frozenset({"SEED_PHRASE"})
    example = "mnemonic: legal winner thank year wave sausage worth useful legal winner thank yellow"
    pattern: ClassVar[str] = (
        r"(?i:(?:seed|recovery|backup|secret|mnemonic|wallet)[ _\-](?:phrase|words|seed)|mnemonics?|bip-?39|wallets?)"
        r"|助记词|助記詞|(?:恢复|恢復|种子|種子|备份|備份|私钥|私鑰)(?:短语|短語|词|詞|密语|密語)|钱包|錢包"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the run of words behind the key word."""
        if cuts_a_word(text, start) or cuts_a_word(text, end):
            return ()
        stop = text.find(SEPARATOR, end, end + _LONGEST)
        stop = min(len(text), end + _LONGEST) if stop < 0 else stop
        words = list(_WORD.finditer(text, end, stop))
        for place in map(_indices, _LISTS):
            for run in _runs(text, words, place):
                if run[0].start() <= end + _NEAR and _passes([place[match[0].lower()] for match in run]):
                    return (Span(run[0].start(), run[-1].end(), "SEED_PHRASE", SECRET),)
        return ()

    def normalise(self, value: str) -> str:
        """Return the words in lower case, joined by blanks."""
        return " ".join(match[0].lower() for match in _WORD.finditer(value))

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        size, name = draw.choice((12, 12, 24, 18)), draw.choice(("english", "english", "chinese_simplified"))
        entropy = draw.randbytes(size * 4 // 3)
        bits = int.from_bytes(entropy, "big") << size // 3 | sha256(entropy).digest()[0] >> (8 - size // 3)
        words = [list(_indices(name))[bits >> 11 * n & 2047] for n in reversed(range(size))]
        lead = draw.choice(("助记词：", "钱包助记词: ", "恢复短语：", "seed phrase: ", "mnemonic: ", "recovery phrase: ", "wallet seed: "))
        return framed("SEED_PHRASE", lead, " ".join(words))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return as many words of the same list that do not pass the check: no wallet makes or takes such a phrase."""
        words = [match[0].lower() for match in _WORD.finditer(value)]
        names = next((list(place) for place in map(_indices, _LISTS) if words and all(word in place for word in words)), None)
        if names is None:
            return draw.scramble(value)
        drawn: list[int] = []
        for _ in range(_TRIES):
            drawn = [draw.below(len(names)) for _ in words]
            if not _passes(drawn):
                break
        fresh = iter(drawn)
        return _WORD.sub(lambda _: names[next(fresh)], value)


def _runs(text: str, words: Sequence[re.Match[str]], place: dict[str, int]) -> list[list[re.Match[str]]]:
    """Return the longest runs of at least twelve words of the list with nothing but separators between them."""
    runs: list[list[re.Match[str]]] = [[]]
    for word in words:
        if word[0].lower() not in place:
            runs.append([])
        elif runs[-1] and not _GAP.fullmatch(text, runs[-1][-1].end(), word.start()):
            runs.append([word])
        else:
            runs[-1].append(word)
    return [run for run in runs if len(run) >= _SIZES[-1]]


def _passes(indices: Sequence[int]) -> bool:
    return any(is_phrase(indices[i : i + size]) for size in _SIZES for i in range(len(indices) - size + 1))


def is_phrase(indices: Sequence[int]) -> bool:
    """Return True when the last bits of the words are the first bits of the hash of those before them. Source: BIP-39."""
    bits = 0
    for index in indices:
        bits = bits << 11 | index
    check = len(indices) * 11 // 33
    entropy = (bits >> check).to_bytes(4 * check, "big")
    return sha256(entropy).digest()[0] >> (8 - check) == bits & ((1 << check) - 1)


@cache
def _indices(name: str) -> dict[str, int]:
    """Return the place of each word in a list."""
    words = (files("ringfence.deid") / "data" / "bip39" / f"{name}.txt").read_text(encoding="utf-8").split()
    return {word: n for n, word in enumerate(words)}
