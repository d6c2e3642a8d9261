"""Identity preference optimisation: the margin shall be 1 / 2β, and no more.

Source: Azar et al. 2023 (arXiv:2310.12036), equation 17, with the gains of a token instead of those of an answer, as its authors and TRL compute it.
"""

from __future__ import annotations

from torch import Tensor

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Preference, Said


@OBJECTIVES.add("ipo.v1")
class IdentityPreference(Preference):
    """(margin − 1 / 2β)², the margin being the difference of both gains of a token."""

    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""
        chosen_gain, rejected_gain = (one.gain / one.tokens.clamp(min=1.0) for one in (chosen, rejected))
        return (chosen_gain - rejected_gain - 1 / (2 * self.settings.pref_beta)).square()
