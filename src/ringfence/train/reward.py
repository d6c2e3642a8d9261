"""What every reward promises, and the registry of rewards."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ringfence.core.registry import Registry


class Case(NamedTuple):
    """A question, the answer that a row gives to it, and two that a model may give: the first is worth more."""

    question: str
    answer: str
    better: str
    worse: str


class Reward(Protocol):
    """What an answer is worth, 0 to 1. Pure: it follows from three texts alone; it runs no code of theirs and keeps nothing."""

    @property
    def case(self) -> Case:
        """Return an example: the contract test scores it."""
        ...

    def score(self, *, question: str, said: str, answer: str) -> float:
        """Return the worth of what a model said. question: as the model read it. answer: that the row gives."""
        ...


REWARDS = Registry[Reward]("reward", package="ringfence.train.rewards")
