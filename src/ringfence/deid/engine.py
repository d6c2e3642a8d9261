"""The engine: fold, one scan, check, resolve, replace, and look again.

A set is read twice. `learn` collects the originals of all records and their structured fields; `rewrite` replaces what is found and
every other occurrence of a known original, and counts the originals that are still there afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ringfence.core.records import Record
from ringfence.deid import terms as dictionary
from ringfence.deid.block import Block
from ringfence.deid.fold import fold
from ringfence.deid.known import Known
from ringfence.deid.operator import DEFAULT, OPERATORS, Occurrence, Operator, When
from ringfence.deid.recogniser import RECOGNISERS, Recogniser, Span, search
from ringfence.deid.resolve import resolve
from ringfence.deid.scanner import ReScanner, Scanner, VectorScanner, has_vectorscan
from ringfence.deid.settings import DeidSettings, EngineName
from ringfence.deid.surrogate import Surrogates

_OTHERS = "*"  # stands for every kind that a profile does not name
_SURROGATE = OPERATORS.create(DEFAULT)
_BATCH = 1 << 20  # characters of text that are scanned at once


@dataclass(frozen=True, slots=True)
class Found:
    """One replaced span in the coordinates of the original text."""

    text: int  # which of the record's texts
    start: int
    end: int
    kind: str
    original: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A record without its originals and fields (None: dropped), what was replaced and kept in it, and how many originals are still in it."""

    record: Record | None
    found: tuple[Found, ...] = ()
    kept: tuple[str, ...] = ()  # kinds
    survivors: int = 0


class Engine:
    """De-identifies records under one key. Holds originals in memory only."""

    def __init__(self, parts: Sequence[Recogniser], *, scanner: Scanner, terms: Sequence[str], settings: DeidSettings, key: bytes) -> None:
        self._parts, self._scanner = list(parts), scanner
        self._operators: dict[str, list[tuple[When, Operator]]] = {
            kind: [(use.when, OPERATORS.create(use.use, **use.params)) for use in uses] for kind, uses in settings.operators.items()
        }
        by_kind = {kind: part for part in parts for kind in part.kinds}
        self.known = Known()
        self._surrogates = Surrogates(key, parts=by_kind, terms=terms, is_taken=self._is_taken)

    @classmethod
    def build(cls, settings: DeidSettings, surrogate_key: bytes, *, terms: Iterable[str] = ()) -> Engine:
        """Return an engine with every part of the settings compiled into one scan.

        Raises: UnknownPart.
        """
        parts = [RECOGNISERS.create(name) for name in sorted(set(settings.parts))]
        words = dictionary.folded_terms(terms)
        kind = VectorScanner if engine_name(settings) == "vectorscan" else ReScanner
        return cls(parts, scanner=kind([p.pattern for p in parts], words), terms=words, settings=settings, key=surrogate_key)

    def find(self, text: str) -> list[Span]:
        """Return the spans of one text: disjoint, in order, in its own coordinates."""
        return self.find_many([text])[0]

    def find_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text."""
        block = Block(texts)
        rows = block.by_text(resolve(self._claims(block.text)))
        return [[span for span, _ in rows.get(row, ())] for row in range(len(texts))]

    def replace(self, text: str, spans: Iterable[Span], *, subject: bytes = b"") -> str | None:
        """Return `text` with spans that `find` returned replaced; None when the profile drops a record that holds one of them."""
        return self._replaced(text, [(span, fold(text[span.start : span.end]).text) for span in spans], subject)

    def learn(self, records: Iterable[Record]) -> None:
        """Remember every original in the texts and fields of `records`."""
        for batch in _batches(records):
            block = Block([text for record in batch for text in chain(record.texts, _field_texts(record.fields))])
            for span in self._claims(block.text):
                value = block.value(span)
                is_term = span.kind == dictionary.KIND  # terms are in the dictionary and are found wherever they stand
                if not is_term and not self._operator(span, value).keeps:
                    self.known.add(span.kind, value, normal=self._surrogates.normal(span.kind, value), score=span.score)

    def mask(self, record: Record, found: Counter[str]) -> Record | None:
        """Return one record without originals or fields, None if the profile drops it, and count what was replaced."""
        self.learn([record])
        done = next(self.rewrite([record]))
        found.update(item.kind for item in done.found)
        return done.record

    def rewrite(self, records: Iterable[Record]) -> Iterator[Rewritten]:
        """Yield each record rewritten; `learn` must have seen all of them."""
        for batch in _batches(records):
            block = Block([text for record in batch for text in record.texts])
            spans = resolve(chain(self._claims(block.text), self.known.find(block.text)))
            rows = block.by_text(spans)
            first, done = 0, []
            for record in batch:
                done.append(self._rewrite_one(record, {n: rows[first + n] for n in range(len(record.texts)) if first + n in rows}))
                first += len(record.texts)
            yield from self._looked_at_again(done)

    def _claims(self, text: str) -> list[Span]:
        """Return what recognisers and dictionary claim in a folded block; claims of different sources may overlap."""
        claims: list[Span] = []
        for number, ranges in self._scanner.scan(text).items():
            if number < len(self._parts):
                claims.extend(search(self._parts[number], text, ranges))
            else:
                claims.extend(dictionary.longest(text, ranges))
        return claims

    def _rewrite_one(self, record: Record, rows: Mapping[int, list[tuple[Span, str]]]) -> Rewritten:
        if not rows:
            return Rewritten(replace(record, fields={}) if record.fields else record)
        subject = record.unit.encode()
        texts = [self._replaced(text, rows[n], subject) if n in rows else text for n, text in enumerate(record.texts)]
        if None in texts:
            return Rewritten(None)
        spans = [(n, span, self._operator(span, value).keeps) for n in sorted(rows) for span, value in rows[n]]
        found = tuple(Found(n, s.start, s.end, s.kind, record.texts[n][s.start : s.end]) for n, s, is_kept in spans if not is_kept)
        kept = tuple(span.kind for _, span, is_kept in spans if is_kept)
        return Rewritten(record.with_texts(tuple(text for text in texts if text is not None), keep_fields=False), found, kept)

    def _replaced(self, text: str, spans: Iterable[tuple[Span, str]], subject: bytes) -> str | None:
        pieces, at = [], 0
        for span, value in spans:
            operator = self._operator(span, value)
            instead = (
                text[span.start : span.end] if operator.keeps else operator.apply(Occurrence(span.kind, value, subject), self._surrogates)
            )
            if instead is None:
                return None
            pieces += [text[at : span.start], instead]
            at = span.end
        return "".join([*pieces, text[at:]])

    def _operator(self, span: Span, value: str) -> Operator:
        """Return the first operator of the span's kind whose condition holds; without one, surrogates."""
        uses = self._operators.get(span.kind) or self._operators.get(_OTHERS, [])
        return next((operator for when, operator in uses if when.holds(value, span.score)), _SURROGATE)

    def _looked_at_again(self, done: list[Rewritten]) -> Iterator[Rewritten]:
        """Yield the records with their number of survivors.

        A text in which nothing was found stands as it was searched, so only changed records are searched again.
        """
        changed = [item for item in done if item.found]
        texts = [(n, text) for n, item in enumerate(changed) if item.record for text in item.record.texts]
        block = Block([text for _, text in texts])
        owners = [n for n, _ in texts]
        left = Counter(owners[row] for row, spans in block.by_text(self._survivors(block.text)).items() for _ in spans)
        counts = iter(range(len(changed)))
        for item in done:
            yield replace(item, survivors=left[next(counts)]) if item.found else item

    def _survivors(self, text: str) -> list[Span]:
        """Return the originals that stand in a folded output: as they were written, in another spelling, or as terms."""
        spans = {(s.start, s.end): s for s in self.known.find(text)}
        spans |= {(s.start, s.end): s for s in self._claims(text) if self._is_original(s.kind, text[s.start : s.end])}
        return sorted(spans.values())

    def _is_original(self, kind: str, value: str) -> bool:
        return kind == dictionary.KIND or (kind, self._surrogates.normal(kind, value)) in self.known.normal

    def _is_taken(self, kind: str, candidate: str) -> bool:
        folded = fold(candidate).text
        return (kind != dictionary.KIND and self._is_original(kind, folded)) or bool(self._survivors(folded))


def engine_name(settings: DeidSettings) -> EngineName:
    """Return the engine that these settings get on this machine."""
    return "vectorscan" if settings.engine == "auto" and has_vectorscan() else "re"


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += sum(map(len, record.texts))
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _field_texts(value: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401  any JSON value
    """Yield every scalar below `value` as `column: value`, so that a column's name can serve as the key word."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _field_texts(below, str(key))
    elif isinstance(value, list):
        for below in value:
            yield from _field_texts(below, name)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield f"{name}: {value}"
