"""Anchored preference optimisation, APO-zero: the preferred answer gains, the other one loses, each against what it was.

Source: D'Oosterlinck et al. 2024 (arXiv:2408.06266), equation 7.
"""

from __future__ import annotations

from torch import Tensor

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Preference, Said


@OBJECTIVES.add("apo-zero.v1")
class AnchoredPreference(Preference):
    """(1 − σ(β · gain of the preferred)) + σ(β · gain of the other)."""

    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""
        beta = self.settings.pref_beta
        return (-beta * chosen.gain).sigmoid() + (beta * rejected.gain).sigmoid()
