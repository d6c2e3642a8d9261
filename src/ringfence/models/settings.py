"""Settings and figures of `model.v1`. Light: the host imports it."""

from __future__ import annotations

from typing import Literal

from ringfence.core.order import Count, Figures
from ringfence.core.settings import Settings


class Quantisation(Settings):
    """How the linear layers of a base model, its head left out, are held: in bitsandbytes' numbers of 4 or 8 bits, the latter always int8."""

    bits: Literal[4, 8]
    kind: Literal["nf4", "fp4"] = "nf4"  # of 4 bits: NormalFloat (arXiv:2305.14314), or floating point
    double: bool = True  # of 4 bits: the scales of the blocks are quantised as well


class ModelSettings(Settings):
    """What the source is and how it becomes safetensors. bfloat16 keeps more digits than four-bit weights ever had."""

    source: Literal["gguf", "lac", "e5"] = "gguf"
    dtype: Literal["float32", "bfloat16"] = "bfloat16"


class ModelFigures(Figures):
    """What was rebuilt."""

    parameters: Count
    tensors: Count
    layers: Count
    vocabulary: Count

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return every name: base models hold no private rows."""
        return frozenset(cls.model_fields)
