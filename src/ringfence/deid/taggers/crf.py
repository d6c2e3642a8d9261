"""Conditional random fields that ship with ringfence: names in Chinese and English without a model to import.

Source: Lafferty, McCallum, Pereira 2001, Conditional Random Fields. Trained by tools/taggers.py on generated text and on text under permissive
licences; see data/taggers.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any, ClassVar

from ringfence.deid import features
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import NAMED, TAGGERS

KINDS = {"P": PERSON, "O": ORGANISATION, "L": LOCATION}


class _Crf:
    """A field of python-crfsuite over the parts of a sentence."""

    kinds = frozenset(KINDS.values())
    language: ClassVar[str]
    model = None

    def __init__(self, *, data: bytes | None = None) -> None:
        """`data`: the model's bytes; by default those that ship with ringfence."""
        self._data = data

    @cached_property
    def _field(self) -> Any:  # noqa: ANN401  the library is untyped
        import pycrfsuite  # noqa: PLC0415  of the extra `deid`

        field = pycrfsuite.Tagger()
        self._data = self._data or (files("ringfence.deid") / "data" / f"names-{self.language}.crf").read_bytes()
        field.open_inmemory(self._data)  # which keeps no reference, so this object does
        return field


@TAGGERS.add("zh-names.v1")
class ChineseNames(_Crf):
    """Persons, organisations and places in Chinese sentences, character by character."""

    language = "zh"

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each sentence."""
        return [spans(self._field.tag(features.characters(s)), [(i, i + 1) for i in range(len(s))]) for s in sentences]


@TAGGERS.add("en-names.v1")
class EnglishNames(_Crf):
    """Persons, organisations and places in English text, word by word."""

    language = "en"

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each text."""
        found = []
        for sentence in sentences:
            ranges = features.tokens(sentence)
            tags = self._field.tag(features.words([sentence[a:b] for a, b in ranges])) if ranges else []
            found.append(spans(tags, ranges))
        return found


def spans(
    tags: Sequence[str], ranges: Sequence[tuple[int, int]], kinds: Mapping[str, str] | None = None, *, score: float = NAMED
) -> list[Span]:
    """Return the spans of a sequence of tags: B or I with what stands for a kind (by default a letter of `KINDS`), or O for what is no name."""
    found: list[Span] = []
    for tag, (start, end) in zip(tags, ranges, strict=True):
        if tag == "O":
            continue
        kind = (kinds or KINDS)[tag[1:]]
        if tag[0] == "I" and found and found[-1].kind == kind and found[-1].end <= start and _is_next(found[-1], start, ranges):
            found[-1] = Span(found[-1].start, end, kind, score)
        else:
            found.append(Span(start, end, kind, score))
    return found


def _is_next(last: Span, start: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Return True when no part stands between the span and `start`."""
    return not any(last.end <= a < start for a, _ in ranges)
