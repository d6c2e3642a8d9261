"""Settings and figures of `chat.v1` and `serve.v1`. Light: the host imports it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.order import Count, Counts, Figures
from ringfence.core.settings import Settings
from ringfence.deid.settings import DeidSettings
from ringfence.models.settings import Quantisation
from ringfence.train.settings import RuntimeHints, TrainSettings

Engine = Literal["ringfence", "vllm"]  # who computes
ACTIVE: dict[Engine, int] = {"ringfence": 4, "vllm": 16}  # answers that run at once: one batch costs little more than one answer
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM can be told to have room for (0.32, config/lora.py)
END_OF_TURN = "\x04"  # what the engine says after the last piece of an answer


class ChatSettings(Settings):
    """How a model answers."""

    train: TrainSettings | None = None  # of a sealed adapter: its shape; a bundle says it itself
    quantised: Quantisation | None = None  # the base, as it was in training
    system: Annotated[str, Field(max_length=10_000)] | None = None
    max_new_tokens: Annotated[int, Field(gt=0)] = 256
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0  # 0: always the likeliest token
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 42
    keep_history: bool = True
    filter: DeidSettings | None = None  # what is masked in answers; the conversation goes on with what the model said
    hints: RuntimeHints = RuntimeHints()


class ChatFigures(Figures):
    """How much was said."""

    turns: Count
    tokens: Count  # generated
    masked: Counts = Field(default_factory=dict)  # identifiers in answers, by kind
    blocked: Count = 0  # tokens that the replay guard refused

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the number of turns."""
        return frozenset({"turns"})


class ServeSettings(Settings):
    """How a bundle is served; what each request may choose comes with the request."""

    quantised: Quantisation | None = None  # the base, as it was in training
    filter: DeidSettings | None = None  # what is masked in answers
    engine: Engine = "ringfence"
    memory: Annotated[int, Field(gt=0)] | None = None  # bytes, by which vLLM sizes its cache; None: all that the job may take
    hints: RuntimeHints = RuntimeHints()


class ServeFigures(Figures):
    """How much was served."""

    answers: Count
    tokens: Count  # generated
    masked: Counts = Field(default_factory=dict)  # identifiers in answers, by kind
    blocked: Count = 0  # tokens that the replay guard refused

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the number of answers."""
        return frozenset({"answers"})
