"""Exact match: the answer of the row, word for word."""

from __future__ import annotations

import unicodedata

from ringfence.train.reward import REWARDS, Case


@REWARDS.add("exact-match.v1")
class ExactMatch:
    """1 where both texts are the same but for white space, case and the width of characters (NFKC), else 0."""

    case = Case("Which ward?", "Ward 12", "ward  12\n", "Ward 13")

    def score(self, *, question: str, said: str, answer: str) -> float:  # noqa: ARG002  every reward is told all three
        """Return 1 or 0."""
        return float(_folded(said) == _folded(answer))


def _folded(text: str) -> list[str]:
    return unicodedata.normalize("NFKC", text).casefold().split()
