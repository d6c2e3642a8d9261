"""Odds ratio preference optimisation: supervised fine-tuning of the preferred answer, and its odds against the other one's.

Source: Hong et al. 2024 (arXiv:2403.07691), equations 4, 6 and 7; probabilities are geometric means over the tokens of an answer.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ringfence.train.objective import OBJECTIVES
from ringfence.train.preference import Preference, Said


@OBJECTIVES.add("orpo.v1")
class OddsRatioPreference(Preference):
    """−mean log p of the preferred − β · log σ(log odds of the preferred − log odds of the other)."""

    needs_reference = False

    def loss(self, chosen: Said, rejected: Said) -> Tensor:
        """Return the loss of each pair [pairs]."""
        ratio = _log_odds(chosen.mean) - _log_odds(rejected.mean)
        return -chosen.mean - self.settings.pref_beta * logsigmoid(ratio)


def _log_odds(log_p: Tensor) -> Tensor:
    """Return log(p / (1 − p)); no more than 16 for an answer that is as good as certain, whose odds a float32 cannot tell from infinite ones."""
    log_p = log_p.clamp(max=-torch.finfo(torch.float32).eps)
    return log_p - (-log_p.expm1()).log()
