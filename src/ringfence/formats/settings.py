"""Settings and figures of `formats.v1`. Light: the host imports it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.core.order import Count, Figures
from ringfence.core.settings import Name, Settings
from ringfence.release.formats import Format, Parity
from ringfence.train.settings import RuntimeHints, TrainSettings


class FormatSettings(Settings):
    """What an adapter becomes."""

    name: Name  # of the bundle: what a GGUF file calls itself
    train: TrainSettings  # the shape of the adapter
    closing: Count | None = None  # the token by which the run closes answers; None: the tokeniser's own end token
    formats: Annotated[tuple[Format, ...], Field(min_length=1)]
    hints: RuntimeHints = RuntimeHints()


class FormatFigures(Figures):
    """How each format compares with the adapter, in the order of the settings."""

    parity: Annotated[tuple[Parity, ...], Field(max_length=8)]

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return every name: the prompts are everybody's, and the weights that answer them leave by the same release."""
        return frozenset(cls.model_fields)
