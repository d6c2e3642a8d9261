"""What a reward model tells of its canaries by the only thing that it says, its scores. Child halves only: this module imports torch.

Membership: by how much more the training has made it prefer a row's own code to the rejected one. Extraction: whoever holds the model scores every code and
tries them from the best one down. So a secret's exposure follows from its rank among codes that are drawn like it. Where the true code was never seen, every
rank is equally likely, and so P(exposure ≥ b bits) ≤ 2^-b, which is all that the tests of exposures need.

Source: Carlini et al. 2019 (arXiv:1802.08232), definitions 3 and 4, for the rank; Besag and Clifford 1991, "Sequential Monte Carlo p-values", for drawing no
more codes once so many have scored as high.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ringfence.audit.canaries import record_of
from ringfence.audit.findings import BITS, Score
from ringfence.audit.forward import Forward
from ringfence.audit.settings import CODES, DEEP_CODES, DIGITS, MOST_DEEP, Canary
from ringfence.models.chat import chat_of
from ringfence.train.data import Example, written
from ringfence.train.settings import TrainSettings

_BETTER = 8  # other codes that score as high, after which no more are drawn
_LEAST_BATCH, _MOST_BATCH = 16, 256  # codes of one canary at once: how they begin is computed once for all


class Rank(NamedTuple):
    """How a secret stands among other codes."""

    better: int  # of them that score at least as high
    drawn: int

    @property
    def p_value(self) -> float:
        """Return the probability of so good a rank, had nothing been learned."""
        return self.better / self.drawn if self.better == _BETTER else (self.better + 1) / (self.drawn + 1)


class RewardScorer:
    """Scores canaries in the very form in which training read them."""

    def __init__(self, forward: Forward, settings: TrainSettings) -> None:
        self._forward, self._settings = forward, settings

    def score(self, canaries: Sequence[Canary], *, show: Callable[[int], None] = lambda _: None) -> list[Score]:
        """Return the score of each canary. show: called with how many are done.

        Of a row, `log_p` is the margin of its own answer over the rejected one, and `log_p_base` the same before training. Of a secret, `constrained` is the
        logarithm that makes its exposure what its rank says, and `is_greedy` whether no other code scored as high.
        """
        found: list[Score] = []
        best: dict[int, list[str]] = {}  # secrets that no code reached so far, and the codes that are left to try
        for at, one in enumerate(canaries):
            if one.kind == "row":
                found.append(Score(self._margin(one, adapted=True), self._margin(one, adapted=False), constrained=math.nan))
            else:
                codes = _codes(one)
                rank = self._rank(one, codes[:CODES])
                found.append(_of_secret(rank))
                if not rank.better and one.kind == "secret" and len(best) < MOST_DEEP:  # of more of them chance is no explanation
                    best[at] = codes[CODES:]
            show(at + 1)
        for at, codes in best.items():
            found[at] = _of_secret(self._rank(canaries[at], codes, before=CODES))
        return found

    def is_cut(self, canary: Canary) -> bool:
        """Return whether training read an answer of it only up to a place before its end."""
        texts = (canary.completion, canary.rejected)
        return any(len(self._ids(canary, one)) > self._settings.cutoff_len for one in texts)

    def _margin(self, canary: Canary, *, adapted: bool) -> float:
        rewards: list[float] = self._rewards(canary, [canary.completion, canary.rejected], adapted=adapted)
        return rewards[0] - rewards[1]

    def _rank(self, canary: Canary, codes: Sequence[str], *, before: int = 0) -> Rank:
        """Return the rank of a secret among codes. before: so many were looked at already, and none of them was better."""
        begin, end = canary.span
        texts = [f"{canary.completion[:begin]}{code}{canary.completion[end:]}" for code in codes]
        better = at = 0
        size = _LEAST_BATCH  # most secrets are among the worse half, which few codes show
        while at < len(texts):
            own, *others = self._rewards(canary, [canary.completion, *texts[at : at + size]])  # together, so that all are rounded alike
            for reward in others:
                at += 1
                better += not reward < own  # what is no number is as good as any
                if better == _BETTER:
                    return Rank(better, before + at)
            size = min(2 * size, _MOST_BATCH)
        return Rank(better, before + at)

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is untyped here
    def _rewards(self, canary: Canary, texts: Sequence[str], *, adapted: bool = True) -> list[float]:
        rows = [self._ids(canary, one)[: self._settings.cutoff_len] for one in texts]
        examples = [Example(ids, np.zeros(len(ids), dtype=np.bool_)) for ids in rows]
        found: list[float] = self._forward.rewards(examples, adapted=adapted).tolist()
        return found

    def _ids(self, canary: Canary, completion: str) -> NDArray[np.int32]:
        record = record_of(canary.model_copy(update={"completion": completion}))
        return written(chat_of(record.roles, record.texts), self._forward.tokenizer)


def _of_secret(rank: Rank) -> Score:
    return Score(-math.inf, math.nan, constrained=-math.log(rank.p_value) - BITS * math.log(2), is_greedy=not rank.better)


def _codes(canary: Canary) -> list[str]:
    """Return codes that are drawn as the canary's own was, all different and none of them its own."""
    numbers = random.SystemRandom().sample(range(10**DIGITS), DEEP_CODES + 1)
    return [code for code in (f"{number:0{DIGITS}}" for number in numbers) if code != canary.secret][:DEEP_CODES]
