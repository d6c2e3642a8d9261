"""Anchored preference optimisation of judged answers: liked ones gain, disliked ones lose, each against what it was.

Source: D'Oosterlinck et al. 2024 (arXiv:2408.06266), equation 7, of answers that are not paired, as TRL has it.
"""

from __future__ import annotations

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Feedback


@OBJECTIVES.add("apo-zero-unpaired.v1")
class AnchoredFeedback(Feedback):
    """1 − σ(β · gain) of a liked answer, σ(β · gain) of another. Row i depends on example i alone."""
