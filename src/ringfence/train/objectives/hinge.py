"""Preference with a hinge: a pair whose margin is large enough asks for nothing more.

Source: Zhao et al. 2023, SLiC-HF (arXiv:2305.10425), on the margin of direct preference optimisation: Liu et al. 2023, RSO (arXiv:2309.06657).
"""

from __future__ import annotations

from torch import Tensor

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Preference, Said


@OBJECTIVES.add("hinge.v1")
class Hinge(Preference):
    """max(0, 1 − β · margin), the margin being the difference of both gains."""

    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""
        return (1 - self.settings.pref_beta * (chosen.gain - rejected.gain)).relu()
