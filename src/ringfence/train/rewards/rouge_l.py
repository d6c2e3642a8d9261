"""ROUGE-L: how much of the row's answer is said in its order, and nothing else.

Source: Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries.
"""

from __future__ import annotations

from ringfence.train.reward import REWARDS, Case


@REWARDS.add("rouge-l.v1")
class RougeL:
    """The F-measure of the longest common subsequence of words, Chinese characters one by one: the figure that `ringfence eval` shows."""

    case = Case("What to do?", "Rest and drink for a week.", "Rest, drink for a week", "Come back tomorrow")

    def __init__(self) -> None:
        from ringfence.train.words import rouge  # noqa: PLC0415  heavy: the host only looks names up

        self._scorer = rouge()

    def score(self, *, question: str, said: str, answer: str) -> float:  # noqa: ARG002  every reward is told all three
        """Return the F-measure, 0 to 1."""
        return float(self._scorer.score(answer, said)["rougeL"].fmeasure)
