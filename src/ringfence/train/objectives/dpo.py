"""Direct preference optimisation: the preferred answer shall gain more than the other one.

Source: Rafailov et al. 2023 (arXiv:2305.18290), equation 7; with `dpo_label_smoothing` the conservative form of Mitchell 2023, "A note on DPO with noisy
preferences", which takes that share of the preferences for swapped.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Preference, Said


@OBJECTIVES.add("dpo.v1")
class DirectPreference(Preference):
    """−(1 − s) · log σ(β · margin) − s · log σ(−β · margin), the margin being the difference of both gains."""

    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""
        margin = self.settings.pref_beta * (chosen.gain - rejected.gain)
        swapped = self.settings.dpo_label_smoothing
        return -(1 - swapped) * logsigmoid(margin) - swapped * logsigmoid(-margin)
