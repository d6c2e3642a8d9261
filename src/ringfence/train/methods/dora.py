"""DoRA: LoRA for the direction of each output's weights, and a number of its own for their length.

Source: Liu et al. 2024 (arXiv:2402.09353), as peft implements it.
"""

from __future__ import annotations

from ringfence.train.method import METHODS
from ringfence.train.methods.lora import Lora


@METHODS.add("dora.v1")
class Dora(Lora):
    """LoRA with a length [out] beside each pair. Not under privacy: the length of a direction is no layer's output for a row."""

    use_dora = True
