"""Candidates for internal terms with what a person needs to judge them, as they lie in a sealed object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import ValidationError

from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.errors import NotCanonical, ObjectBroken
from ringfence.core.records import Record
from ringfence.core.settings import Settings
from ringfence.deid import discover
from ringfence.deid.batches import batches
from ringfence.deid.block import Block
from ringfence.deid.engine import Engine
from ringfence.deid.fold import whole
from ringfence.deid.recogniser import SEPARATOR

FILE = "candidates.json"  # inside the sealed object
_MASKED = "▇"
_CONTEXTS = 3
_AROUND = 30  # characters on each side
_SPACE = re.compile(r"\s+")
_BATCH = 1 << 20  # characters that are searched at once


class Row(Settings):
    """One candidate, as it was ranked."""

    term: str
    count: int
    score: float
    contexts: tuple[str, ...]

    @property
    def is_strong(self) -> bool:
        """Whether nobody should train before somebody looked at it."""
        return self.score >= discover.STRONG


class _File(Settings):
    format: Literal["ringfence.candidates/1"] = "ringfence.candidates/1"
    rows: tuple[Row, ...]


def to_bytes(rows: Iterable[Row]) -> bytes:
    """Return the file of a candidates object."""
    return canonical(_File(rows=tuple(rows)).model_dump(mode="json"))


def from_bytes(data: bytes) -> tuple[Row, ...]:
    """Return the candidates of a sealed file, the likeliest first.

    Raises: ObjectBroken.
    """
    try:
        return _File.model_validate(parse_canonical(data)).rows
    except (ValidationError, NotCanonical):
        raise ObjectBroken(file=0) from None  # the cause would quote it


class EvenSample:
    """An even sample of a set in bounded memory.

    Every record, until `most` characters are held; then every second of those held is let go and only every second is taken from there on, and
    so forth: between half of `most` and all of it are held, from everywhere in the set.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._held: list[Record] = []
        self._size = 0
        self._every = 1
        self.records = self.characters = 0  # of the whole set

    def take(self, records: Iterable[Record]) -> None:
        """Look at every record of the set, in order."""
        for number, record in enumerate(records):
            size = sum(map(len, record.texts))
            self.records += 1
            self.characters += size
            if number % self._every == 0:
                self._held.append(replace(record, fields={}))
                self._size += size
                while self._size > self._most and len(self._held) > 1:
                    self._held = self._held[::2]
                    self._every *= 2
                    self._size = sum(len(text) for held in self._held for text in held.texts)

    @property
    def held(self) -> Sequence[Record]:
        """The records of the sample."""
        return self._held


def blanked(engine: Engine, records: Sequence[Record]) -> list[str]:
    """Return the texts of `records` with NUL for every character that the engine masks anyway.

    That is what its recognisers, taggers and dictionary find, and every other occurrence of what they found for sure.
    """
    engine.learn(records)
    done: list[str] = []
    for batch in batches((text for record in records for text in record.texts), len, enough=_BATCH):
        block = Block(batch)
        known = block.by_text(engine.known.find(block.text))
        for row, (text, spans) in enumerate(zip(batch, engine.find_many(batch), strict=True)):
            done.append(_blank(text, [(s.start, s.end) for s in (*spans, *(span for span, _ in known.get(row, ())))]))
    return done


def _blank(text: str, ranges: Iterable[tuple[int, int]]) -> str:
    pieces, at = [], 0
    for start, end in sorted(ranges):
        if end > at:
            pieces += [text[at:start], SEPARATOR * (end - max(start, at))]
            at = end
    return "".join([*pieces, text[at:]])


def with_contexts(found: Iterable[discover.Candidate], texts: Sequence[str]) -> Iterator[Row]:
    """Yield each candidate with up to three places where it stands, of different texts; what is masked shows as ▇."""
    for candidate in found:
        pattern = discover.pattern(candidate.term)
        contexts: dict[str, None] = {}
        for text in texts:
            if match := pattern.search(text):
                contexts[_context(text, *match.span())] = None
                if len(contexts) == _CONTEXTS:
                    break
        yield Row(term=candidate.term, count=candidate.occurrences, score=candidate.score, contexts=tuple(contexts))


def _context(text: str, start: int, end: int) -> str:
    cut = text[max(0, start - _AROUND) : end + _AROUND]
    plain = whole(re.sub(f"{SEPARATOR}+", _MASKED, cut))
    return _SPACE.sub(" ", f"{'…' if start > _AROUND else ''}{plain}{'…' if end + _AROUND < len(text) else ''}").strip()
