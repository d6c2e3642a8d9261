"""Simple preference optimisation: a token of the preferred answer shall be more likely than one of the other, by a margin; no reference.

Source: Meng et al. 2024 (arXiv:2405.14734), equation 6.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Preference, Said


@OBJECTIVES.add("simpo.v1")
class SimplePreference(Preference):
    """−log σ(β · (mean log p of the preferred − mean log p of the other) − γ)."""

    needs_reference = False

    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""
        return -logsigmoid(self.settings.pref_beta * (chosen.mean - rejected.mean) - self.settings.simpo_gamma)
