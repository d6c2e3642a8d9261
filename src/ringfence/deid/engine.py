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
from typing import Any, NamedTuple

from ringfence.core.records import Record
from ringfence.core.settings import PartName
from ringfence.deid import compiled, variants
from ringfence.deid import terms as dictionary
from ringfence.deid.batches import batches
from ringfence.deid.block import Block
from ringfence.deid.fold import fold
from ringfence.deid.known import Known
from ringfence.deid.learned import Learned
from ringfence.deid.literals import Literals
from ringfence.deid.named import CODE, STAND_INS, Shaped, StandIn
from ringfence.deid.namer import Namer, Seen
from ringfence.deid.operator import DEFAULT, OPERATORS, Occurrence, Operator, When, is_label, label
from ringfence.deid.recogniser import KNOWN, RECOGNISERS, Finder, Recogniser, Span, search
from ringfence.deid.remembered import Remembered
from ringfence.deid.resolve import apart, joined, resolve
from ringfence.deid.scanner import ReScanner, Scanner, VectorScanner, has_vectorscan, parted
from ringfence.deid.settings import DeidSettings, EngineName
from ringfence.deid.surrogate import Surrogates
from ringfence.deid.tagger import TAGGERS, Tagger

_FOUND_ANYWHERE = variants.SHARED | {dictionary.KIND}  # without being known
_OTHERS = "*"  # stands for every kind that a profile does not name
_SURROGATE = OPERATORS.create(DEFAULT)
_BATCH = 1 << 20  # characters of text that are scanned at once


class Instead(NamedTuple):
    """What stands in place of a span, and whether that is the span itself."""

    text: str
    is_kept: bool


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
    """A record without its originals and fields (None: dropped), what was replaced and kept in it, and how many originals are still in it.

    noted: places where the characters of a name stand that is too short to be looked up outside the record in which it was recognised.
    """

    record: Record | None
    found: tuple[Found, ...] = ()
    kept: tuple[Found, ...] = ()
    survivors: int = 0
    noted: int = 0


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
        self._parts, self._scanner, self._namer = list(parts), scanner, Namer(taggers, keeps=self._keeps)
        self._operators: dict[str, list[tuple[When, Operator]]] = {
            kind: [(use.when, OPERATORS.create(use.use, **use.params)) for use in uses] for kind, uses in settings.operators.items()
        }
        self._may_keep = {kind for kind, uses in self._operators.items() if any(operator.keeps for _, operator in uses)}
        by_kind: dict[str, StandIn] = {kind: Shaped() for kind in chain((CODE,), *(tagger.kinds for tagger in taggers))}
        self._own_way = list(own_way)
        self._shipped = {kind for part in parts for kind in part.kinds} | STAND_INS.keys()
        by_kind |= {kind: part for part in own_way for kind in part.kinds}
        by_kind |= {kind: part for part in parts for kind in part.kinds} | STAND_INS
        self.known, self.remembered = Known(), Remembered()
        self._has_terms = bool(terms)
        self._surrogates = Surrogates(key, parts=by_kind, terms=terms, taken=self._taken, generic=generic)

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
        instead = self.instead(text, spans, subject=subject)
        return None if instead is None else with_instead(text, spans, instead)

    def instead(self, text: str, spans: Sequence[Span], *, subject: bytes = b"") -> list[Instead] | None:
        """Return what stands in place of each span that `find` returned; None when the profile drops a record that holds one of them."""
        folded = [(span, fold(text[span.start : span.end]).text) for span in spans]
        return self._replacements([text], {0: folded}, [subject])[0]

    def learn(self, records: Iterable[Record], into: Known | Learned | None = None) -> None:
        """Remember every original in the texts and fields of `records`: in `into`, by default in what this engine knows."""
        known = self.known if into is None else into
        for batch in _batches(records):
            fields = [list(_fields(record.fields)) for record in batch]
            texts = [[*record.texts, *map(_field_text, own)] for record, own in zip(batch, fields, strict=True)]
            block = Block(list(chain.from_iterable(texts)))
            spans = self._named(block.text)
            self.remembered.put(block.text, spans)
            for span in spans:
                value = block.value(span)
                if span.kind in _FOUND_ANYWHERE or self._operator(span, value).keeps:
                    continue
                if variants.is_telling(span.kind, value, span.score):
                    for spelling in filter(None, (value, variants.closed_up(span.kind, value))):
                        known.add(span.kind, spelling, normal=self._surrogates.normal(span.kind, spelling), score=span.score)
                elif variants.is_countable(span.kind, value):
                    known.note(span.kind, value, score=span.score)
            for record, code in _unclaimed(batch, fields, texts, block, spans):
                known.maybe(CODE, code, owner=record.unit)

    @property
    def seen(self) -> Mapping[str, Seen]:
        """The different names of persons that two taggers of one language saw in what was searched since they were last taken."""
        return self._namer.seen

    def mask(self, record: Record, found: Counter[str]) -> Record | None:
        """Return one record without originals or fields, None if the profile drops it, and count what was replaced."""
        self.learn([record])
        done = next(self.rewrite([record]))
        found.update(item.kind for item in done.found)
        return done.record

    def rewrite_alone(self, records: Iterable[Record]) -> Iterator[Rewritten]:
        """Yield each record rewritten as if there were no other: what it becomes depends on itself, the key and the settings."""
        for record in records:
            self.known, self.remembered = Known(), Remembered()
            self._surrogates.forget()
            self.learn([record])
            yield from self.rewrite([record])

    def rewrite(self, records: Iterable[Record]) -> Iterator[Rewritten]:
        """Yield each record rewritten; `learn` must have seen all of them."""
        self.known.settle()
        for batch in _batches(records):
            # a person may be named in a field alone
            texts = [[*record.texts, *map(_field_text, _fields(record.fields))] for record in batch]
            block = Block(list(chain.from_iterable(texts)))
            firsts = list(accumulate(map(len, texts), initial=0))
            claims = self.remembered.take(block.text)
            if claims is None:
                claims = self._named(block.text)
            noted: list[Span] = []
            for span, is_noted in self.known.occurrences(block.text):
                (noted if is_noted else claims).append(span)
            spans = joined(self._resolved(block, claims), block.text)
            if more := self._variants(block, spans, firsts):
                spans = self._resolved(block, [*spans, *more])
            rows = block.by_text(spans)
            short = Counter(row for row, some in block.by_text(_outside(resolve(noted), spans)).items() for _ in some) if noted else {}
            owners = [number for number, own in enumerate(texts) for _ in own]
            rows = {row: some for row, some in rows.items() if row - firsts[owners[row]] < len(batch[owners[row]].texts)}
            made = self._replacements(list(chain.from_iterable(texts)), rows, [batch[number].unit.encode() for number in owners])
            done = []
            for record, first in zip(batch, firsts, strict=False):
                own = range(len(record.texts))
                one = _rewritten(record, {n: (rows[first + n], made[first + n]) for n in own if first + n in rows})
                left = sum(short.get(first + n, 0) for n in own)
                done.append(replace(one, noted=left) if left and one.record else one)
            yield from self._looked_at_again(done)

    def _named(self, text: str) -> list[Span]:
        """Return what recognisers, dictionary and taggers claim in a folded block."""
        return [*self._claims(text), *self._namer.find(text)]

    def _resolved(self, block: Block, claims: Sequence[Span]) -> list[Span]:
        """Return disjoint spans that cover what is claimed; where something that is not kept is claimed, nothing that is kept covers it."""
        if not self._may_keep.isdisjoint({span.kind for span in claims}) or _OTHERS in self._may_keep:
            claims = apart(claims, is_kept=lambda span: self._operator(span, block.value(span)).keeps, shields=variants.SHARED)
        return resolve(claims)

    def _variants(self, block: Block, spans: Iterable[Span], firsts: Sequence[int]) -> list[Span]:
        """Return what else names the persons, organisations and places of each record in that record.

        firsts: [records + 1], the number of each record's first text.
        """
        starts = [block.reach(first, first)[0] for first in firsts[:-1]]
        owners: Literals[dict[int, tuple[float, str]]] = Literals()  # of a form: which records it is looked up in, and as what
        for span in spans:
            if span.kind in STAND_INS:
                value, number = block.value(span), bisect_right(starts, span.start) - 1
                for kind, text, key in variants.forms(span.kind, value):
                    owned = owners.values.get(key)
                    if owned is None:
                        owners.add(text, {number: (-span.score, kind)}, key=key)
                    else:
                        owned[number] = min(owned.get(number, (0.0, "")), (-span.score, kind))
        more: list[Span] = []
        for start, end, key in owners.find(block.text):
            owned, number = owners.values[key], bisect_right(starts, start) - 1
            if number in owned and end <= block.reach(firsts[number], firsts[number + 1])[1]:
                more.append(Span(start, end, owned[number][1], KNOWN))
        return more

    def _claims(self, text: str) -> list[Span]:
        """Return what recognisers and dictionary claim in a folded block; claims of different sources may overlap."""
        claims: list[Span] = []
        for number, ranges in self._scanner.scan(text).items():
            if number < len(self._parts):
                claims.extend(search(self._parts[number], text, ranges))
            else:
                claims.extend(dictionary.longest(text, ranges))
        for part in self._own_way:
            claims.extend(span for span in part.find(text) if not self._keeps(span, text))
        return claims

    def _keeps(self, span: Span, text: str) -> bool:
        """Return True when the profile leaves a span of a folded text that is of a shipped kind.

        A tenant's own recogniser or tagger cannot claim such a one: as a date or a region that stays, it would shield what others find.
        """
        return span.kind in self._shipped and self._operator(span, text[span.start : span.end]).keeps

    def _replacements(
        self, texts: Sequence[str], rows: Mapping[int, Sequence[tuple[Span, str]]], subjects: Sequence[bytes]
    ) -> dict[int, list[Instead] | None]:
        """Return what stands in place of each span of the texts in `rows`; None for a text of which a span takes the whole record away.

        What an operator makes of a value may be another original, a network for one: then the kind alone is left.
        """
        operators = {row: [self._operator(span, value) for span, value in some] for row, some in rows.items()}
        self._surrogates.prepare(
            (span.kind, value)
            for row, some in rows.items()
            for (span, value), operator in zip(some, operators[row], strict=True)
            if isinstance(operator, type(_SURROGATE))
        )
        made: dict[int, list[Instead] | None] = {}
        doubtful: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for row, some in rows.items():
            instead: list[Instead] = []
            for (span, value), operator in zip(some, operators[row], strict=True):
                new = value if operator.keeps else operator.apply(Occurrence(span.kind, value, subjects[row]), self._surrogates)
                if new is None:
                    break
                is_kept = operator.keeps or (operator.keeps_general and new == value)
                if is_kept:
                    new = texts[row][span.start : span.end]  # as it was written
                elif not isinstance(operator, type(_SURROGATE)) and not variants.is_shared(span.kind, new) and not is_label(new):
                    doubtful.setdefault((span.kind, new), []).append((row, len(instead)))
                instead.append(Instead(new, is_kept))
            made[row] = instead if len(instead) == len(some) else None
        for at, is_taken in zip(doubtful, self._taken(list(doubtful)), strict=True):
            for row, n in doubtful[at] if is_taken else ():
                if (whole := made[row]) is not None:
                    whole[n] = Instead(label(at[0]), is_kept=False)
        return made

    def _operator(self, span: Span, value: str) -> Operator:
        """Return the first operator of the span's kind whose condition holds; without one, surrogates."""
        uses = self._operators.get(span.kind) or self._operators.get(_OTHERS, [])
        return next((operator for when, operator in uses if when.holds(value, span.score)), _SURROGATE)

    def _looked_at_again(self, done: list[Rewritten]) -> Iterator[Rewritten]:
        """Yield the records with their number of survivors.

        A text in which nothing was replaced stands as it was searched, so only changed records are searched again. No original that was left is
        what the profile keeps, a label or a date made by us, and what a stand-in and the words beside it make up together: of `Sergeant Hugo`
        and `Captain Bobby` the one may become `Sergeant Bobby`.
        """
        changed = [item for item in done if item.found]
        texts = [(n, row, text) for n, item in enumerate(changed) if item.record for row, text in enumerate(item.record.texts)]
        block = Block([text for _, _, text in texts])
        left: Counter[int] = Counter()
        for number, spans in block.by_text(self._survivors(block.text)).items():
            owner, row, _ = texts[number]
            ours = _Ours(changed[owner], row)
            left[owner] += sum(not ours.holds(span) for span, _ in spans)
        counts = iter(range(len(changed)))
        for item in done:
            yield replace(item, survivors=left[next(counts)]) if item.found else item

    def _survivors(self, text: str) -> list[Span]:
        """Return the originals that stand in a folded output: as they were written, in another spelling, or as terms."""
        spans = {(s.start, s.end): s for s in self.known.find(text)}
        spans |= {(s.start, s.end): s for s in self._claims(text) if self._is_original(s.kind, text[s.start : s.end])}
        return sorted(spans.values())

    def _is_original(self, kind: str, value: str) -> bool:
        return kind == dictionary.KIND or self.known.has(kind, value, normal=self._surrogates.normal(kind, value))

    def _taken(self, candidates: Sequence[tuple[str, str]]) -> list[bool]:
        """Return which stand-ins, each with its kind, hold an original of the set."""
        if not candidates or not (self.known or self._has_terms):
            return [False] * len(candidates)
        block = Block([text for _, text in candidates])
        hit = block.by_text(self._survivors(block.text)).keys()
        return [
            row in hit or (kind != dictionary.KIND and self._is_original(kind, fold(text).text))
            for row, (kind, text) in enumerate(candidates)
        ]


def _rewritten(record: Record, rows: Mapping[int, tuple[Sequence[tuple[Span, str]], Sequence[Instead] | None]]) -> Rewritten:
    """Return the record with its spans exchanged. rows: of a text, its spans and what stands in their place; None if the record goes."""
    if not rows:
        return Rewritten(replace(record, fields={}) if record.fields else record)
    texts = list(record.texts)
    found: list[Found] = []
    kept: list[Found] = []
    for n, (some, instead) in sorted(rows.items()):
        if instead is None:
            return Rewritten(None)
        text, spans = texts[n], [span for span, _ in some]
        texts[n] = with_instead(text, spans, instead)
        for span, (new, is_kept) in zip(spans, instead, strict=True):
            one = Found(n, span.start, span.end, span.kind, text[span.start : span.end], new)
            (kept if is_kept else found).append(one)
    return Rewritten(record.with_texts(tuple(texts), keep_fields=False), tuple(found), tuple(kept))


def with_instead(text: str, spans: Sequence[Span], instead: Sequence[Instead]) -> str:
    """Return `text` with each span, in order and disjoint, exchanged."""
    pieces, at = [], 0
    for span, (new, _) in zip(spans, instead, strict=True):
        pieces += [text[at : span.start], new]
        at = span.end
    return "".join([*pieces, text[at:]])


class _Ours:
    """What was replaced and what was kept in one of a record's texts, where it stands now."""

    def __init__(self, done: Rewritten, row: int) -> None:
        items = [(item, is_kept) for some, is_kept in ((done.found, False), (done.kept, True)) for item in some if item.text == row]
        self._places: list[tuple[int, int, Found, bool]] = []  # disjoint, in order
        moved = 0
        for item, is_kept in sorted(items, key=lambda one: one[0].start):
            start = item.start + moved
            self._places.append((start, start + len(item.instead), item, is_kept))
            moved += len(item.instead) - (item.end - item.start)
        self._starts = [start for start, *_ in self._places]

    def holds(self, span: Span) -> bool:
        """Return True when a span of the text as it is now is no original that was left."""
        first = max(0, bisect_right(self._starts, span.start) - 1)
        for start, end, item, is_kept in self._places[first : bisect_right(self._starts, span.end - 1)]:
            if start <= span.start and span.end <= end:
                return is_kept or variants.is_shared(item.kind, item.instead) or is_label(item.instead)
            if not is_kept and span.start < end:
                return True  # it shares characters with a stand-in and has others
        return False


def _outside(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """Return those of disjoint spans that overlap none of the others; both in order."""
    starts = [span.start for span in others]
    left = []
    for span in spans:
        before = bisect_right(starts, span.end - 1) - 1
        if before < 0 or others[before].end <= span.start:
            left.append(span)
    return left


def keep_automata(settings: DeidSettings) -> compiled.Kept | None:
    """Have the automata of these settings compiled and kept for this account, and return them; None where they cannot be kept."""
    if engine_name(settings) != "vectorscan":
        return None
    return compiled.keep(filter(None, parted([RECOGNISERS.create(name).trigger for name in sorted(set(settings.parts))])))


def engine_name(settings: DeidSettings) -> EngineName:
    """Return the engine that these settings get on this machine."""
    return "vectorscan" if settings.engine == "auto" and has_vectorscan() else "re"


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    return batches(records, lambda record: sum(map(len, record.texts)), enough=_BATCH)


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401  any JSON value
    """Yield every scalar below `value` with its column. A whole number that a table program made a float of is one again."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _fields(below, str(key))
    elif isinstance(value, list):
        for below in value:
            yield from _fields(below, name)
    elif isinstance(value, float):
        yield name, str(int(value)) if value.is_integer() else str(value)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield name, str(value)


def _field_text(field: tuple[str, str]) -> str:
    """Return `column: value`, so that a column's name can serve as the key word."""
    return f"{field[0]}: {field[1]}"


def _unclaimed(
    batch: Sequence[Record],
    fields: Sequence[Sequence[tuple[str, str]]],
    texts: Sequence[Sequence[str]],
    block: Block,
    spans: Iterable[Span],
) -> Iterator[tuple[Record, str]]:
    """Yield what looks like a code in the records' columns and nobody claimed."""
    if not any(fields):
        return
    starts = sorted(span.start for span in spans)
    first = 0
    for record, own, rows in zip(batch, fields, texts, strict=True):
        for n, (_, value) in enumerate(own, first + len(record.texts)):
            begin, end = block.reach(n, n + 1)
            if bisect_right(starts, end - 1) == bisect_right(starts, begin - 1) and variants.is_code(code := fold(value).text.strip()):
                yield record, code
        first += len(rows)
