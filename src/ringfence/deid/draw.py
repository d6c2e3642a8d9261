"""A keyed source of choices: the same key and value always choose the same, and nobody without the key can tell which."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

DIGITS = "0123456789"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = "abcdefghijklmnopqrstuvwxyz"


class Draw:
    """A stream of choices, seeded by HMAC-SHA256(key, what is drawn for)."""

    def __init__(self, key: bytes, seed: bytes, *, attempt: int = 0) -> None:
        self._root, self._attempt = key, attempt
        self._key = hmac.digest(key, seed + b"\x00%d" % attempt, "sha256")
        self._pool, self._left, self._block = 0, 0, 0

    def shared(self, part: str) -> Draw:
        """Return a draw that is the same for every value that holds this part, a surname for one."""
        return Draw(self._root, b"shared\x00" + part.encode("utf-8", "surrogatepass"), attempt=self._attempt)

    def below(self, limit: int) -> int:
        """Return an integer from 0 to limit - 1; the bias of 64 bits modulo a small limit is below 2^-40."""
        if self._left == 0:
            block = hmac.digest(self._key, self._block.to_bytes(8, "big"), "sha256")
            self._pool, self._left, self._block = int.from_bytes(block, "big"), 4, self._block + 1
        word = self._pool & 0xFFFFFFFFFFFFFFFF
        self._pool >>= 64
        self._left -= 1
        return word % limit

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def text(self, alphabet: str, length: int) -> str:
        """Return `length` characters of the alphabet."""
        return "".join(self.choice(alphabet) for _ in range(length))

    def scramble(self, value: str) -> str:
        """Return a string of the same shape: digit for digit, letter for letter of the same case, the rest as it is."""
        return "".join(self._like(c) for c in value)

    def _like(self, character: str) -> str:
        for alphabet in (DIGITS, LOWER, UPPER):
            if character in alphabet:
                return self.choice(alphabet)
        return character


def refill(template: str, characters: str) -> str:
    """Return `template` with its ASCII letters and digits replaced by `characters` in order; separators stay where they are."""
    fresh = iter(characters)
    return "".join(next(fresh) if c.isascii() and c.isalnum() else c for c in template)
