"""The engine: fold, one scan, check, resolve, replace, and look again.

A set is read twice. `learn` collects the originals of all records and their structured fields; `rewrite` replaces what is found and
every other occurrence of a known original, and counts the originals that are still there afterwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from ringfence.core.records import Record
from ringfence.core.settings import PartName
from ringfence.deid import compiled, variants
from ringfence.deid import terms as dictionary
from ringfence.deid.block import Block
from ringfence.deid.fold import fold
from ringfence.deid.known import Known
from ringfence.deid.learned import Learned
from ringfence.deid.named import PERSON, STAND_INS, Shaped, StandIn
from ringfence.deid.namer import Namer, Seen
from ringfence.deid.operator import DEFAULT, OPERATORS, Occurrence, Operator, When
from ringfence.deid.recogniser import RECOGNISERS, Finder, Recogniser, Span, search
from ringfence.deid.resolve import joined, resolve
from ringfence.deid.scanner import ReScanner, Scanner, VectorScanner, has_vectorscan, parted
from ringfence.deid.settings import DeidSettings, EngineName
from ringfence.deid.surrogate import Surrogates
from ringfence.deid.tagger import TAGGERS, Tagger

_FOUND_ANYWHERE = variants.SHARED | {dictionary.KIND}  # without being known
_OTHERS = "*"  # stands for every kind that a profile does not name
_SURROGATE = OPERATORS.create(DEFAULT)
_BATCH = 1 << 20  # characters of text that are scanned at once


@dataclass(frozen=True, slots=True)
class Found:
    """One span in the coordinates of the original text, and what stands there now: the same, if the profile keeps it."""

    text: int  # which of the record's texts
    start: int
    end: int
    kind: str
    original: str
    instead: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A record without its originals and fields (None: dropped), what was replaced and kept in it, and how many originals are still in it."""

    record: Record | None
    found: tuple[Found, ...] = ()
    kept: tuple[Found, ...] = ()
    survivors: int = 0


class Engine:
    """De-identifies records under one key. Holds originals in memory only."""

    def __init__(
        self,
        parts: Sequence[Recogniser],
        *,
        scanner: Scanner,
        terms: Sequence[str],
        settings: DeidSettings,
        key: bytes,
        taggers: Sequence[Tagger] = (),
        own_way: Sequence[Finder] = (),
        generic: Mapping[str, str] | None = None,
    ) -> None:
        self._parts, self._scanner, self._namer = list(parts), scanner, Namer(taggers)
        self._operators: dict[str, list[tuple[When, Operator]]] = {
            kind: [(use.when, OPERATORS.create(use.use, **use.params)) for use in uses] for kind, uses in settings.operators.items()
        }
        by_kind: dict[str, StandIn] = {kind: Shaped() for tagger in taggers for kind in tagger.kinds}
        self._own_way = list(own_way)
        by_kind |= {kind: part for part in own_way for kind in part.kinds}
        by_kind |= {kind: part for part in parts for kind in part.kinds} | STAND_INS
        self.known = Known()
        self._has_terms = bool(terms)
        self._surrogates = Surrogates(key, parts=by_kind, terms=terms, is_taken=self._is_taken, generic=generic)

    @classmethod
    def build(
        cls,
        settings: DeidSettings,
        surrogate_key: bytes,
        *,
        terms: Iterable[str] = (),
        generic: Mapping[str, str] | None = None,
        models: Mapping[PartName, Path] | None = None,
        taught: Iterable[Tagger] = (),
        own_way: Sequence[Finder] = (),
        automata: compiled.Kept | None = None,
    ) -> Engine:
        """Return an engine with every part of the settings compiled into one scan.

        models: the folder of each tagger that needs one.  taught: taggers of the tenant's own.
        own_way: more recognisers, which search texts themselves.  automata: those that are kept compiled.
        generic: of terms that get no surrogate but a word that many share, by their normal form.

        Raises: UnknownPart, AutomatonChanged.
        """
        taggers = [TAGGERS.create(name, **({"folder": models[name]} if models and name in models else {})) for name in settings.taggers]
        taggers += taught
        parts = [RECOGNISERS.create(name) for name in sorted(set(settings.parts))]
        words = dictionary.folded_terms(terms)
        triggers = [p.trigger for p in parts]
        scanner = VectorScanner(triggers, words, kept=automata) if engine_name(settings) == "vectorscan" else ReScanner(triggers, words)
        return cls(
            parts, scanner=scanner, terms=words, settings=settings, key=surrogate_key, taggers=taggers, own_way=own_way, generic=generic
        )

    def load(self) -> None:
        """Load the taggers' models now; see `Namer.load`."""
        self._namer.load()

    def find(self, text: str) -> list[Span]:
        """Return the spans of one text: disjoint, in order, in its own coordinates."""
        return self.find_many([text])[0]

    def find_many(self, texts: Sequence[str], *, taggers: bool = True) -> list[list[Span]]:
        """Return the spans of each text. Without `taggers`: those of patterns and dictionary alone."""
        block = Block(texts)
        rows = block.by_text(joined(resolve(self._named(block.text) if taggers else self._claims(block.text)), block.text))
        return [[span for span, _ in rows.get(row, ())] for row in range(len(texts))]

    def replace(self, text: str, spans: Iterable[Span], *, subject: bytes = b"") -> str | None:
        """Return `text` with spans that `find` returned replaced; None when the profile drops a record that holds one of them."""
        spans = list(spans)
        instead = self._instead(text, [(span, fold(text[span.start : span.end]).text) for span in spans], subject)
        return None if instead is None else _with(text, spans, instead)

    def learn(self, records: Iterable[Record], into: Known | Learned | None = None) -> None:
        """Remember every original in the texts and fields of `records`: in `into`, by default in what this engine knows."""
        known = self.known if into is None else into
        for batch in _batches(records):
            block = Block([text for record in batch for text in chain(record.texts, _field_texts(record.fields))])
            for span in self._named(block.text):
                value = block.value(span)
                if span.kind in _FOUND_ANYWHERE or self._operator(span, value).keeps:
                    continue
                normal = self._surrogates.normal(span.kind, value)
                if variants.is_telling(span.kind, value, span.score):
                    known.add(span.kind, value, normal=normal, score=span.score)
                else:
                    known.note(span.kind, normal=normal)

    @property
    def seen(self) -> Mapping[str, Seen]:
        """How many persons two taggers of one language saw in what was searched so far, and how many both."""
        return self._namer.seen

    def mask(self, record: Record, found: Counter[str]) -> Record | None:
        """Return one record without originals or fields, None if the profile drops it, and count what was replaced."""
        self.learn([record])
        done = next(self.rewrite([record]))
        found.update(item.kind for item in done.found)
        return done.record

    def rewrite(self, records: Iterable[Record]) -> Iterator[Rewritten]:
        """Yield each record rewritten; `learn` must have seen all of them."""
        for batch in _batches(records):
            texts = [[*record.texts, *_field_texts(record.fields)] for record in batch]  # a person may be named in a field alone
            block = Block(list(chain.from_iterable(texts)))
            spans = joined(resolve(chain(self._named(block.text), self.known.find(block.text))), block.text)
            firsts = list(accumulate(map(len, texts), initial=0))
            rows = block.by_text(self._with_variants(block, spans, firsts))
            done = [
                self._rewrite_one(record, {n: rows[first + n] for n in range(len(record.texts)) if first + n in rows})
                for record, first in zip(batch, firsts, strict=False)
            ]
            yield from self._looked_at_again(done)

    def _named(self, text: str) -> list[Span]:
        """Return what recognisers, dictionary and taggers claim in a folded block."""
        return [*self._claims(text), *self._namer.find(text)]

    def _with_variants(self, block: Block, spans: list[Span], firsts: Sequence[int]) -> list[Span]:
        """Return the spans with what else names the persons, organisations and places of each record in that record.

        firsts: [records + 1], the number of each record's first text.
        """
        starts = [block.reach(first, first)[0] for first in firsts[:-1]]
        named: dict[int, Known] = {}
        for span in spans:
            if span.kind in STAND_INS:
                value = block.value(span)
                known = named.setdefault(bisect_right(starts, span.start) - 1, Known())
                for kind, form in ((span.kind, value), *(variants.of(value) if span.kind == PERSON else ())):
                    known.add(kind, form, normal=form, score=span.score)
        more: list[Span] = []
        for number, known in named.items():
            start, end = block.reach(firsts[number], firsts[number + 1])
            more += [Span(start + s.start, start + s.end, s.kind, s.score) for s in known.find(block.text[start:end])]
        return resolve(chain(spans, more)) if more else spans

    def _claims(self, text: str) -> list[Span]:
        """Return what recognisers and dictionary claim in a folded block; claims of different sources may overlap."""
        claims: list[Span] = []
        for number, ranges in self._scanner.scan(text).items():
            if number < len(self._parts):
                claims.extend(search(self._parts[number], text, ranges))
            else:
                claims.extend(dictionary.longest(text, ranges))
        for part in self._own_way:
            claims.extend(part.find(text))
        return claims

    def _rewrite_one(self, record: Record, rows: Mapping[int, list[tuple[Span, str]]]) -> Rewritten:
        if not rows:
            return Rewritten(replace(record, fields={}) if record.fields else record)
        subject, texts = record.unit.encode(), list(record.texts)
        found: list[Found] = []
        kept: list[Found] = []
        for n in sorted(rows):
            text, spans = texts[n], [span for span, _ in rows[n]]
            instead = self._instead(text, rows[n], subject)
            if instead is None:
                return Rewritten(None)
            texts[n] = _with(text, spans, instead)
            for (span, value), new in zip(rows[n], instead, strict=True):
                one = Found(n, span.start, span.end, span.kind, text[span.start : span.end], new)
                (kept if self._operator(span, value).keeps else found).append(one)
        return Rewritten(record.with_texts(tuple(texts), keep_fields=False), tuple(found), tuple(kept))

    def _instead(self, text: str, spans: Iterable[tuple[Span, str]], subject: bytes) -> list[str] | None:
        """Return what stands in place of each span; None when one of them takes the whole record away."""
        made: list[str] = []
        for span, value in spans:
            operator = self._operator(span, value)
            new = text[span.start : span.end] if operator.keeps else operator.apply(Occurrence(span.kind, value, subject), self._surrogates)
            if new is None:
                return None
            made.append(new)
        return made

    def _operator(self, span: Span, value: str) -> Operator:
        """Return the first operator of the span's kind whose condition holds; without one, surrogates."""
        uses = self._operators.get(span.kind) or self._operators.get(_OTHERS, [])
        return next((operator for when, operator in uses if when.holds(value, span.score)), _SURROGATE)

    def _looked_at_again(self, done: list[Rewritten]) -> Iterator[Rewritten]:
        """Yield the records with their number of survivors.

        A text in which nothing was found stands as it was searched, so only changed records are searched again. What a stand-in and the words
        beside it make up together is no original that was left: of `Sergeant Hugo` and `Captain Bobby` the one may become `Sergeant Bobby`.
        """
        changed = [item for item in done if item.found]
        texts = [(n, row, text) for n, item in enumerate(changed) if item.record for row, text in enumerate(item.record.texts)]
        block = Block([text for _, _, text in texts])
        left: Counter[int] = Counter()
        for number, spans in block.by_text(self._survivors(block.text)).items():
            owner, row, _ = texts[number]
            made = _made(changed[owner].found, row)
            left[owner] += sum(not any(_is_part_made(span, start, end) for start, end in made) for span, _ in spans)
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
        if not self.known.normal and not self._has_terms:
            return False
        return (kind != dictionary.KIND and self._is_original(kind, folded)) or bool(self._survivors(folded))


def _with(text: str, spans: Sequence[Span], instead: Sequence[str]) -> str:
    """Return `text` with each span, in order and disjoint, exchanged."""
    pieces, at = [], 0
    for span, new in zip(spans, instead, strict=True):
        pieces += [text[at : span.start], new]
        at = span.end
    return "".join([*pieces, text[at:]])


def _made(found: Iterable[Found], row: int) -> list[tuple[int, int]]:
    """Return where the stand-ins of one of a record's texts are now."""
    places, moved = [], 0
    for item in found:
        if item.text == row:
            start = item.start + moved
            places.append((start, start + len(item.instead)))
            moved += len(item.instead) - (item.end - item.start)
    return places


def _is_part_made(span: Span, start: int, end: int) -> bool:
    """Return True when a span shares characters with a stand-in and has others."""
    return span.start < end and start < span.end and not (start <= span.start and span.end <= end)


def keep_automata(settings: DeidSettings) -> compiled.Kept | None:
    """Have the automata of these settings compiled and kept for this account, and return them; None where they cannot be kept."""
    if engine_name(settings) != "vectorscan":
        return None
    return compiled.keep(filter(None, parted([RECOGNISERS.create(name).trigger for name in sorted(set(settings.parts))])))


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
