"""Presidio's objects here, and our engine as one of them. For the Python API: nothing of it runs in a job, and Presidio need not be installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ringfence.deid.draw import DIGITS, UPPER, Draw
from ringfence.deid.engine import Engine
from ringfence.deid.recogniser import CHECKED, SEPARATOR, Span


class _Result(Protocol):
    start: int
    end: int
    entity_type: str
    score: float


class EntityRecognizer(Protocol):
    """What we ask of Presidio's class of this name."""

    supported_entities: Sequence[str]

    def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> Sequence[_Result]:  # noqa: ANN401  Presidio's own
        """Return what the text holds."""
        ...


class Wrapped:
    """A Presidio recogniser as one of ours: `Engine.build(settings, key, own_way=[Wrapped(recogniser)])`.

    It gets folded texts one by one and no artefacts of an NLP engine: recognisers that need those find nothing here. min_score: what is less sure does
    not count.
    """

    def __init__(self, recogniser: EntityRecognizer, *, min_score: float = 0.4) -> None:
        self._inner, self._least = recogniser, min_score

    @property
    def kinds(self) -> frozenset[str]:
        """The entities that it supports."""
        return frozenset(self._inner.supported_entities)

    def find(self, text: str) -> Iterator[Span]:
        """Yield what Presidio's recogniser finds in each text of a block."""
        at = 0
        for piece in text.split(SEPARATOR):
            for found in self._inner.analyze(piece, list(self._inner.supported_entities), None) or ():
                if found.score >= self._least and found.end > found.start:
                    yield Span(at + found.start, at + found.end, found.entity_type, min(found.score, CHECKED))
            at += len(piece) + 1

    def normalise(self, value: str) -> str:
        """Return the value in lower case with single spaces."""
        return " ".join(value.lower().split())

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a random word of digits and letters as long as the value, at least eight."""
        return draw.text(UPPER + DIGITS, max(8, len(value)))


def as_recognizer(engine: Engine, kinds: Sequence[str], *, language: str = "en", name: str = "ringfence") -> Any:  # noqa: ANN401  a Presidio object
    """Return an `EntityRecognizer` of Presidio that asks our engine: `registry.add_recognizer(as_recognizer(engine, kinds))`.

    kinds: what it offers, for example `ringfence.deid.settings.kinds()`. One for each language that the analyzer is asked about.

    Raises: ImportError where Presidio is not installed.
    """
    from presidio_analyzer import EntityRecognizer as Base  # noqa: PLC0415  optional
    from presidio_analyzer import RecognizerResult  # noqa: PLC0415

    class Ringfence(Base):  # type: ignore[misc]  # Presidio is untyped here
        """ringfence's recognisers, dictionary and taggers."""

        def load(self) -> None:
            """Load the taggers' models."""
            engine.load()

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:  # noqa: ANN401, ARG002
            """Return the spans of the kinds that are asked for."""
            wanted = set(entities or self.supported_entities)
            return [RecognizerResult(s.kind, s.start, s.end, s.score) for s in engine.find(text) if s.kind in wanted]

    return Ringfence(supported_entities=list(kinds), name=name, supported_language=language)
