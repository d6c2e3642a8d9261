"""Settings and figures of `model.v1`. Light: the host imports it."""

from __future__ import annotations

from typing import Literal

from ringfence.core.order import Count, Figures
from ringfence.core.settings import Settings


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
