"""Concise: no longer than the row's answer."""

from __future__ import annotations

from ringfence.train.reward import REWARDS, Case


@REWARDS.add("concise.v1")
class Concise:
    """1 up to the length of the row's answer in characters, then less in proportion, and 0 from twice that length on; 0 for no answer at all.

    It says nothing of what is said: put it beside another reward.
    """

    case = Case("How long?", "Three days.", "Two days.", "It may be three days or longer.")

    def score(self, *, question: str, said: str, answer: str) -> float:  # noqa: ARG002  every reward is told all three
        """Return the worth of the length."""
        length, wanted = len(said.strip()), max(1, len(answer.strip()))
        return min(1.0, max(0.0, 2.0 - length / wanted)) if length else 0.0
