"""Reads the spans that people corrected: what a tagger of the tenant's own learns from.

A file is JSON Lines, one text with its spans a line, or what Label Studio exports; a review brings its texts itself. Spans are ranges of characters of
the text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ringfence.core.errors import LessonsUnreadable
from ringfence.deid.fold import fold, whole
from ringfence.deid.label_studio import Labelled, from_tasks
from ringfence.deid.named import GIVEN_NAME, LOCATION, ORGANISATION, PERSON, REGION
from ringfence.deid.namer import LANGUAGES, may_hold_a_name, pieces
from ringfence.deid.recogniser import SEPARATOR, Span

NAMES = (PERSON, ORGANISATION, LOCATION)  # kinds that are learnt without being declared
_READ_AS = {  # other words for them in label sets
    "PER": PERSON,
    "NAME": PERSON,
    GIVEN_NAME: PERSON,
    "ORG": ORGANISATION,
    "ORGANIZATION": ORGANISATION,
    "LOC": LOCATION,
    "GPE": LOCATION,
    "PLACE": LOCATION,
    REGION: LOCATION,
}
_MOST_BYTES = 256 << 20


class Sentence(NamedTuple):
    """A folded sentence with its labelled spans, disjoint and in order."""

    text: str
    spans: tuple[Span, ...] = ()


class Document(NamedTuple):
    """A text as it was labelled. Those of one `group` are never parted."""

    group: str
    text: str
    spans: tuple[Span, ...]


@dataclass
class Lessons:
    """The sentences of a file by language and document, and what was left out."""

    sentences: dict[str, list[tuple[int, Sentence]]] = field(default_factory=lambda: {language: [] for language in LANGUAGES})
    documents: int = 0
    unreviewed: int = 0  # texts with proposals that nobody looked at
    ignored: Counter[str] = field(default_factory=Counter)  # spans of kinds that patterns find
    undeclared: Counter[str] = field(default_factory=Counter)  # spans of kinds that nobody knows


def kind_of(label: str) -> str:
    """Return the kind that a label means: in upper case, `PER` and the like as the kind of that name."""
    kind = re.sub(r"[\s-]+", "_", label.strip().upper())
    return _READ_AS.get(kind, kind)


def read(data: bytes) -> tuple[list[Document], int]:
    """Return the labelled texts of a file, and how many of Label Studio's tasks nobody annotated: those are proposals, and are left out.

    Raises: LessonsUnreadable, LabelsUnreadable.
    """
    if len(data) > _MOST_BYTES:
        raise LessonsUnreadable(line=0)
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        items = from_tasks(data)
        found = [Document(f"t{item.id}", item.text, _named(item.spans)) for item in items if item.is_annotated]
        return found, len(items) - len(found)
    return list(_lines(data)), 0


def _lines(data: bytes) -> Iterator[Document]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            try:
                document = _document(json.loads(line), number)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                document = None  # not raised from there: a JSON error carries the text
            if document is None:
                raise LessonsUnreadable(line=number)
            yield document


def _document(row: dict[str, Any], number: int) -> Document:
    text, spans = row["text"], [(s["start"], s["end"], s["kind"]) for s in row["spans"]]
    for start, end, kind in spans:
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text) or not isinstance(kind, str):
            raise ValueError("no span of the text")  # True is an int, too
    if not isinstance(text, str):
        raise TypeError("no text")
    group = f"d{row['document']}" if "document" in row else f"n{number}"
    return Document(group, text, _named(Span(start, end, kind, 1.0) for start, end, kind in spans))


def _named(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(Span(s.start, s.end, kind_of(s.kind), 1.0) for s in spans)


def lessons(data: bytes, *, learnt: Collection[str], known: Collection[str], reviewed: Iterable[Labelled] = ()) -> Lessons:
    """Return the sentences of a file, as the tagger will see them: folded, cut, and those alone that can hold a name in their language.

    learnt: kinds that are learnt.  known: kinds that recognisers find, which are left out.  Any other kind is undeclared.
    reviewed: texts of a review, whose ids are `ROW.TEXT`; those of one row are one document.

    Raises: LessonsUnreadable, LabelsUnreadable.
    """
    documents, unreviewed = read(data)
    documents += [Document(f"r{item.id.rpartition('.')[0]}", item.text, _named(item.spans)) for item in reviewed]
    found = Lessons(unreviewed=unreviewed)
    numbers: dict[str, int] = {}
    for document in documents:
        number = numbers.setdefault(document.group, len(numbers))
        found.ignored.update(s.kind for s in document.spans if s.kind not in learnt and s.kind in known)
        found.undeclared.update(s.kind for s in document.spans if s.kind not in learnt and s.kind not in known)
        text, spans = _folded(document, learnt)
        for language in LANGUAGES:
            for start, piece in pieces(text, language):
                if may_hold_a_name(piece, language):
                    found.sentences[language].append((number, Sentence(piece, tuple(_clipped(spans, start, start + len(piece))))))
    found.documents = len(numbers)
    return found


def _folded(document: Document, learnt: Collection[str]) -> tuple[str, list[Span]]:
    """Return the folded text and the spans in it, disjoint and in order: of two that overlap the longer stays."""
    folded = fold(document.text.replace(SEPARATOR, " "))
    wanted = sorted((s for s in document.spans if s.kind in learnt), key=lambda s: (s.start - s.end, s.start, s.kind))
    kept: list[Span] = []
    for span in wanted:
        start, end = folded.places((span.start, span.end))
        if start < end and all(end <= other.start or other.end <= start for other in kept):
            kept.append(Span(start, end, span.kind, 1.0))
    return whole(folded.text), sorted(kept)


def _clipped(spans: list[Span], start: int, end: int) -> Iterator[Span]:
    for span in spans:
        a, b = max(span.start, start) - start, min(span.end, end) - start
        if a < b:
            yield Span(a, b, span.kind, 1.0)
