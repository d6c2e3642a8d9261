"""A keyed source of choices: the same key and value always choose the same, and nobody without the key can tell which."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from struct import Struct
from typing import TypeVar

T = TypeVar("T")

DIGITS = "0123456789"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = "abcdefghijklmnopqrstuvwxyz"
_ALPHABETS = {character: alphabet for alphabet in (DIGITS, LOWER, UPPER) for character in alphabet}
_WORDS = Struct(">4Q")  # of a digest


class Draw:
    """A stream of choices, seeded by HMAC-SHA256(key, what is drawn for)."""

    def __init__(self, key: bytes, seed: bytes, *, attempt: int = 0) -> None:
        self._root, self._attempt = key, attempt
        self._key = hmac.digest(key, seed + b"\x00%d" % attempt, "sha256")
        self._words: list[int] = []  # the next one last
        self._block = 0

    def shared(self, part: str) -> Draw:
        """Return a draw that is the same for every value that holds this part, a surname for one."""
        return Draw(self._root, b"shared\x00" + part.encode("utf-8", "surrogatepass"), attempt=self._attempt)

    def below(self, limit: int) -> int:
        """Return an integer from 0 to limit - 1; the bias of 64 bits modulo a small limit is below 2^-40."""
        return (self._words or self._more()).pop() % limit

    def _more(self) -> list[int]:
        """Return the next words, of which there are none left."""
        block = hmac.digest(self._key, self._block.to_bytes(8, "big"), "sha256")
        self._block += 1
        self._words = list(_WORDS.unpack(block))
        return self._words

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def text(self, alphabet: str, length: int) -> str:
        """Return `length` characters of the alphabet."""
        size, words, made = len(alphabet), self._words, []
        for _ in range(length):
            words = words or self._more()
            made.append(alphabet[words.pop() % size])
        return "".join(made)

    def scramble(self, value: str) -> str:
        """Return a string of the same shape: digit for digit, letter for letter of the same case, the rest as it is."""
        below, alphabets = self.below, _ALPHABETS
        return "".join([alphabet[below(len(alphabet))] if (alphabet := alphabets.get(c)) else c for c in value])


def refill(template: str, characters: str) -> str:
    """Return `template` with its ASCII letters and digits replaced by `characters` in order; separators stay where they are."""
    fresh = iter(characters)
    return "".join([next(fresh) if c in _ALPHABETS else c for c in template])
