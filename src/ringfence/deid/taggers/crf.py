"""Conditional random fields that ship with ringfence: names in Chinese and English without a model to import.

Source: Lafferty, McCallum, Pereira 2001, Conditional Random Fields. Trained by tools/taggers.py on generated text and on text under permissive
licences; see data/taggers.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.deid import crfmodel, features
from ringfence.deid.field import ChineseField
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import CRFSUITE, NAMED, TAGGERS

OUTSIDE = "O"
KINDS = {"P": PERSON, "O": ORGANISATION, "L": LOCATION}


def shipped(language: str) -> bytes:
    """Return the model that ships for a language."""
    return (files("ringfence.deid") / "data" / f"names-{language}.crf").read_bytes()


@TAGGERS.add("zh-names.v1")
class ChineseNames:
    """Persons, organisations and places in Chinese sentences, character by character."""

    kinds = frozenset(KINDS.values())
    language = "zh"
    model = None
    needs = None

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each sentence."""
        return [spans_of(numbers, self._field.tags) for numbers in self._field.best(sentences)]

    @cached_property
    def _field(self) -> ChineseField:
        return ChineseField(crfmodel.read(shipped(self.language)))


@TAGGERS.add("en-names.v1")
class EnglishNames:
    """Persons, organisations and places in English text, word by word."""

    kinds = frozenset(KINDS.values())
    language = "en"
    model = None
    needs = CRFSUITE

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each text."""
        found = []
        for sentence in sentences:
            ranges = features.tokens(sentence)
            tags = self._field.tag(features.words([sentence[a:b] for a, b in ranges])) if ranges else []
            found.append([cut for span in spans(tags, ranges) if (cut := _whole(span, ranges, sentence))])
        return found

    @cached_property
    def _field(self) -> Any:  # noqa: ANN401  the library is untyped
        import pycrfsuite  # noqa: PLC0415  of the extra `deid`

        field = pycrfsuite.Tagger()
        self._data = shipped(self.language)
        field.open_inmemory(self._data)  # which keeps no reference, so this object does
        return field


def _whole(span: Span, ranges: Sequence[tuple[int, int]], sentence: str) -> Span | None:
    """Return the span without a last word that digits follow at once: of `Muzin M72` the name alone."""
    if not sentence[span.end : span.end + 1].isdigit():
        return span
    ends = [end for start, end in ranges if span.start <= start and end < span.end]
    return Span(span.start, ends[-1], span.kind, span.score) if ends else None


def spans(
    tags: Sequence[str], ranges: Sequence[tuple[int, int]], kinds: Mapping[str, str] | None = None, *, score: float = NAMED
) -> list[Span]:
    """Return the spans of a sequence of tags: B or I with what stands for a kind (by default a letter of `KINDS`), or O for what is no name."""
    found: list[Span] = []
    is_open = False  # the part before this one is in a span
    for tag, (start, end) in zip(tags, ranges, strict=True):
        if tag == OUTSIDE:
            is_open = False
            continue
        kind = (kinds or KINDS)[tag[1:]]
        if tag[0] == "I" and is_open and found[-1].kind == kind:
            found[-1] = Span(found[-1].start, end, kind, score)
        else:
            found.append(Span(start, end, kind, score))
        is_open = True
    return found


def spans_of(
    numbers: NDArray[np.int64], names: Sequence[str], kinds: Mapping[str, str] | None = None, *, score: float = NAMED
) -> list[Span]:
    """Return the spans of characters whose tags are given by number; few of them are in one, so only those are looked at."""
    tags: list[str] = []
    ranges: list[tuple[int, int]] = []
    for at in np.flatnonzero(numbers != names.index(OUTSIDE)).tolist():
        if ranges and ranges[-1][1] < at:
            tags.append(OUTSIDE)
            ranges.append((ranges[-1][1], at))
        tags.append(names[numbers[at]])
        ranges.append((at, at + 1))
    return spans(tags, ranges, kinds, score=score)
