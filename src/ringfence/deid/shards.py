"""A set's shards are the unit of work: what one of them teaches, and what becomes of it.

Masking a shard needs the settings, the key and the originals of the whole set, all of which an engine holds, and nothing of other shards: whoever
masks it, and in which order, the rows are the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ringfence.core.copies import Say
from ringfence.core.records import Record
from ringfence.deid.engine import Engine, Found, Rewritten
from ringfence.deid.learned import Learned
from ringfence.deid.namer import Seen
from ringfence.deid.remembered import Packed
from ringfence.deid.residual import Crowd, Sample
from ringfence.vault.index import row_hmac
from ringfence.vault.sets import SetReader

SAMPLE = 500  # records, in whose texts identifiers are hidden to see whether they are found
_SAY_EVERY = 1_000  # records between two messages


class Lesson(NamedTuple):
    """What reading one shard taught."""

    learned: Learned
    records: int
    characters: int
    sample: Sample
    seen: Mapping[str, Seen]  # of taggers, by language
    found: Mapping[bytes, Packed]  # what was found, for when the shard is read again


@dataclass
class Tally:
    """What happened to records; those of several shards add up, in the order of the shards."""

    crowd: Crowd
    spans: Counter[str] = field(default_factory=Counter)  # replaced, by kind
    kept: Counter[str] = field(default_factory=Counter)  # left in the text, by kind
    dropped: int = 0  # records
    survivors: int = 0  # originals in the output
    noted: int = 0  # places of names too short to be looked up
    changed: int = 0  # characters

    def add(self, other: Tally) -> None:
        """Count what the other one counted."""
        self.spans.update(other.spans)
        self.kept.update(other.kept)
        self.dropped += other.dropped
        self.survivors += other.survivors
        self.noted += other.noted
        self.changed += other.changed
        self.crowd.add(other.crowd)

    def see(self, done: Rewritten) -> None:
        """Count what happened to one record."""
        if done.record is None:
            self.dropped += 1
            return
        self.kept.update(item.kind for item in done.kept)
        self.survivors += done.survivors
        self.noted += done.noted
        said = ((item.kind, item.instead) for item in sorted((*done.found, *done.kept), key=_place))
        self.crowd.see(done.record.unit, _own_words(done.record.texts, done.found), said)
        for item in done.found:
            self.spans[item.kind] += 1
            self.changed += item.end - item.start


class Row(NamedTuple):
    """A masked record as a set stores it."""

    line: bytes
    record_id: bytes
    unit_id: bytes
    content_hmac: bytes | None


@dataclass
class Masked:
    """One shard masked: its rows in order, its part of the span table, and what happened."""

    tally: Tally
    rows: list[Row] = field(default_factory=list)
    spans: bytes = b""


def records_of(source: SetReader, shard: int) -> Iterator[Record]:
    """Yield the records of one shard.

    Raises: ObjectBroken.
    """
    rows = source.index.shard_rows
    first = sum(rows[:shard])
    return source.rows(first, first + rows[shard])


def learn(engine: Engine, records: Iterable[Record], say: Say = lambda _: None) -> Lesson:
    """Return what a shard teaches; the engine itself learns nothing."""
    learned, sample, records_read, characters = Learned(), Sample(SAMPLE), 0, 0
    for before in engine.seen.values():
        before.taken()

    def counted() -> Iterator[Record]:
        nonlocal records_read, characters
        for record in _aloud(records, say):
            records_read += 1
            characters += sum(map(len, record.texts))
            sample.see(record)
            yield record

    engine.learn(counted(), into=learned)
    seen = {language: now.taken() for language, now in engine.seen.items()}
    return Lesson(learned, records_read, characters, sample, seen, engine.remembered.handed_over())


def mask(
    engine: Engine,
    records: Iterable[Record],
    *,
    content_key: bytes | None,
    has_units: bool = False,
    kinds: frozenset[str] = frozenset(),
    alone: bool = False,
    say: Say = lambda _: None,
) -> Masked:
    """Return a shard masked by an engine that knows the originals of the whole set; with `alone`, each record as if there were no other.

    content_key: for the HMAC of each row; None for rows without one.  has_units: several rows may be one person's.
    kinds: by which people are compared (`residual.true_kinds`).
    """
    hmac = row_hmac(content_key) if content_key is not None else None
    masked, lines = Masked(Tally(Crowd(has_units, kinds))), []
    for done in (engine.rewrite_alone if alone else engine.rewrite)(_aloud(records, say)):
        masked.tally.see(done)
        if (record := done.record) is not None:
            own = hmac(record.content()) if hmac else None
            masked.rows.append(Row(record.to_line(), bytes.fromhex(record.id), bytes.fromhex(record.unit), own))
            if done.found:
                lines.append(_line(record, done))
    masked.spans = b"".join(lines)
    return masked


def _aloud(records: Iterable[Record], say: Say) -> Iterator[Record]:
    number = 0
    for number, record in enumerate(records, 1):
        yield record
        if number % _SAY_EVERY == 0:
            say(_SAY_EVERY)
    say(number % _SAY_EVERY)


def _place(item: Found) -> tuple[int, int]:
    return item.text, item.start


def _own_words(texts: Sequence[str], found: Iterable[Found]) -> list[str]:
    """Return masked texts with a space for everything that was put in: a stand-in for a name may hold 男."""
    pieces: list[list[str]] = [[] for _ in texts]
    ends, moved = [0] * len(texts), [0] * len(texts)
    for item in found:  # in order
        start = item.start + moved[item.text]
        pieces[item.text] += [texts[item.text][ends[item.text] : start], " "]
        ends[item.text] = start + len(item.instead)
        moved[item.text] += len(item.instead) - (item.end - item.start)
    return ["".join([*some, text[end:]]) for some, text, end in zip(pieces, texts, ends, strict=True)]


def _line(record: Record, done: Rewritten) -> bytes:
    spans = [
        {"text": f.text, "start": f.start, "end": f.end, "kind": f.kind, "original": f.original, "instead": f.instead} for f in done.found
    ]
    return json.dumps({"id": record.id, "spans": spans}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
