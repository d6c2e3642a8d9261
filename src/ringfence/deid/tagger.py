"""What a tagger is: a model that finds persons, organisations and places in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ringfence.core.registry import Registry
from ringfence.deid.recogniser import Span

TAUGHT = 0.65  # the same of a tenant's own tagger: where it and a general one claim the same characters, its kind counts
NAMED = 0.6  # how sure a tagger's span is: below what a key word says, above a shape
BOTH = "zh+en"  # the language of a tagger that reads Chinese and English


class Needs(NamedTuple):
    """What a tagger imports beyond what ringfence always has, and the extra that brings it."""

    extra: str
    libraries: tuple[str, ...]


CRFSUITE = Needs("deid", ("pycrfsuite",))
ONNX = Needs("deid", ("onnx", "onnxruntime", "safetensors"))


class Tagger(Protocol):
    """Tags sentences in batches. Deterministic: a sentence gets the same spans in any company."""

    @property
    def kinds(self) -> frozenset[str]:
        """Which kinds its spans have."""
        ...

    @property
    def language(self) -> str:
        """Which sentences it is asked about: `zh`, `en` or `BOTH`."""
        ...

    @property
    def model(self) -> str | None:
        """The `model_type` of the registered model that it needs; such a tagger is made with its `folder`."""
        ...

    @property
    def needs(self) -> Needs | None:
        """What has to be installed for it; None = nothing more."""
        ...

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each sentence, in order and disjoint."""
        ...


TAGGERS = Registry[Tagger]("tagger", package="ringfence.deid.taggers")
