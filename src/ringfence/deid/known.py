"""The values that were found in a set, looked up in any other text of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ringfence.deid.literals import Literals, key_of
from ringfence.deid.recogniser import KNOWN, SHAPE, Span


class _Rank(NamedTuple):
    """How a value was claimed: of several claims the least counts. One that counts in the whole set goes before one that does not."""

    is_noted: bool
    minus_score: float
    kind: str


class Known:
    """Originals by value, in any spelling of them. Lives in the memory of one job and is never written.

    Some are only noted: they are too short to be looked up in other records than those in which they were recognised, and are only counted there.
    """

    def __init__(self) -> None:
        self._literals: Literals[_Rank] = Literals()
        self._normal: set[int] = set()  # hashes of (kind, normal form) of values whose spelling tells less than their normal form
        self._ranks: dict[_Rank, _Rank] = {}  # one object for equal ones
        self._maybe: dict[tuple[str, str], str | None] = {}  # (kind, value) -> whose it is; None: several people's

    def __bool__(self) -> bool:
        return bool(self._literals.values or self._normal)

    def add(self, kind: str, value: str, *, normal: str, score: float) -> None:
        """Remember an original and look it up from now on.

        Of several kinds the surest counts, of equally sure ones the first by the alphabet: the order in which they are seen decides nothing.
        """
        key = self._file(value, _Rank(False, -score, kind))
        if key is None or key_of(normal) != key:
            self._normal.add(hash((kind, normal)))

    def note(self, kind: str, value: str, *, score: float) -> None:
        """Remember an original that is too short to be looked up anywhere: 高明 is a name in one record and an adjective in the next."""
        self._file(value, _Rank(True, -score, kind))

    def maybe(self, kind: str, value: str, *, owner: str) -> None:
        """Remember a value that is an original if it stands in the columns of one person only: what several share is a category."""
        at = (kind, value)
        self._maybe[at] = owner if self._maybe.get(at, owner) == owner else None

    def settle(self) -> None:
        """Take what has been one person's so far as originals; no more of their values may come."""
        for (kind, value), owner in self._maybe.items():
            if owner is not None:
                self.add(kind, value, normal=value, score=SHAPE)
        self._maybe = {}

    def _file(self, value: str, rank: _Rank) -> str | None:
        now = self._literals.values.get(key_of(value))
        rank = self._ranks.setdefault(rank, rank)
        return self._literals.add(value, rank if now is None else min(now, rank))

    def has(self, kind: str, value: str, *, normal: str) -> bool:
        """Return True when a folded value is an original of that kind that counts in the whole set, in some spelling."""
        if hash((kind, normal)) in self._normal:
            return True
        return any(rank is not None and not rank.is_noted for rank in map(self._literals.values.get, {key_of(value), key_of(normal)}))

    def find(self, text: str) -> list[Span]:
        """Return every occurrence of a value that counts in the whole set in a folded text; occurrences may overlap."""
        return [span for span, is_noted in self.occurrences(text) if not is_noted]

    def occurrences(self, text: str) -> Iterator[tuple[Span, bool]]:
        """Yield every occurrence of a value, and whether it is only noted."""
        for start, end, key in self._literals.find(text):
            rank = self._literals.values[key]
            yield Span(start, end, rank.kind, KNOWN), rank.is_noted
