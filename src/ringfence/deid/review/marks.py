"""What reviewers decided on a sample: a list of actions, and what it comes to. Pure."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from ringfence.deid.label_studio import Labelled
from ringfence.deid.recogniser import Span, cuts_a_run
from ringfence.deid.review.bound import most_bad, share_of_a_stream
from ringfence.deid.review.sample import Moved, Place, Row, before, stretches
from ringfence.deid.review.settings import By, ReviewFigures

Verb = Literal["done", "leak", "reject", "retype", "clear"]


class At(NamedTuple):
    """A place in a masked text of the sample. For `done` the row alone counts, for `clear` row and text."""

    row: int  # its position in the sample
    text: int = 0
    start: int = 0
    end: int = 0


class Action(NamedTuple):
    """One decision, on one place or on many alike.

    done: nothing else is left in the row.  leak: an identifier is left here.  reject: what was replaced here is no identifier, or the leak is none.
    retype: it is of another kind.  clear: forget what was decided on the text.  is_leak: of reject and retype: it is about leaks, not about places.
    """

    do: Verb
    at: tuple[At, ...]
    kind: str = ""
    is_leak: bool = False


Mark = Literal["done", "leaks", "rejected", "retyped"]


@dataclass
class Review:
    """A sample with what was decided on it."""

    rows: Sequence[Row]
    actions: list[Action] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    leaks: dict[At, str] = field(default_factory=dict)  # with their kinds
    rejected: set[At] = field(default_factory=set)
    retyped: dict[At, str] = field(default_factory=dict)
    _by_row: dict[int, set[At]] = field(default_factory=lambda: defaultdict(set))  # places that were ever marked
    _before: list[list[tuple[Mark, At, str | None]]] = field(default_factory=list)  # of each action: what it changed, and what was there

    def __post_init__(self) -> None:
        for action in self.actions:
            self._apply(action)

    def take(self, action: Action) -> None:
        """Decide."""
        self.actions.append(action)
        self._apply(action)

    def undo(self) -> Action | None:
        """Take back the last decision and return it; None when there is none."""
        if not self.actions:
            return None
        for mark, at, value in reversed(self._before.pop()):
            self._write(mark, at, value)
        return self.actions.pop()

    def _apply(self, action: Action) -> None:
        self._before.append([])
        for at in action.at:
            if action.do == "done":
                self._put("done", at, "")
            elif action.do == "leak":
                self._put("leaks", at, action.kind)
            elif action.do == "clear":
                for one in [one for one in self._by_row[at.row] if one.text == at.text]:
                    for mark in ("leaks", "retyped", "rejected"):
                        self._put(mark, one, None)
            elif action.is_leak:
                self._put("leaks", at, None if action.do == "reject" else action.kind)
            elif action.do == "reject":
                self._put("rejected", at, "")
                self._put("retyped", at, None)
            else:
                self._put("retyped", at, action.kind)
                self._put("rejected", at, None)

    def _put(self, mark: Mark, at: At, value: str | None) -> None:
        """Mark a place, or with None take the mark away, and remember what was there."""
        there = "" if at.row in self.done else None
        if mark != "done":
            there = (
                self.leaks.get(at)
                if mark == "leaks"
                else self.retyped.get(at)
                if mark == "retyped"
                else ""
                if at in self.rejected
                else None
            )
        if there != value:
            self._before[-1].append((mark, at, there))
            self._write(mark, at, value)

    def _write(self, mark: Mark, at: At, value: str | None) -> None:
        if mark == "done":
            self.done.discard(at.row) if value is None else self.done.add(at.row)
            return
        if mark == "rejected":
            self.rejected.discard(at) if value is None else self.rejected.add(at)
        else:
            kinds = self.leaks if mark == "leaks" else self.retyped
            kinds.pop(at, None) if value is None else kinds.update({at: value})
        self._by_row[at.row].add(at)

    # ── finding what a decision is about ──────────────────────────────────────────────────────────────────────────────

    def leaks_of(self, row: int) -> list[At]:
        """Return the leaks of a row, in order."""
        return sorted(at for at in self._by_row[row] if at in self.leaks)

    def alike(self, place: Place) -> tuple[At, ...]:
        """Return every place of the sample that held the same value, that one among them."""
        return tuple(
            At(n, other.text, other.start, other.end)
            for n, one in enumerate(self.rows)
            for other in one.places
            if other.value == place.value
        )

    def occurrences(self, words: str, rows: Iterable[int], *, loosely: bool = False) -> tuple[At, ...]:
        """Return where `words` stand in the masked texts of these rows and are not marked as a leak yet.

        loosely: also inside a longer word or number.
        """
        found = []
        for n in rows:
            leaks = self.leaks_of(n)
            for number, text in enumerate(self.rows[n].texts):
                taken = [at for at in leaks if at.text == number]
                for start in _starts(text, words):
                    end = start + len(words)
                    if not loosely and (cuts_a_run(text, start) or cuts_a_run(text, end)):
                        continue
                    if all(end <= at.start or at.end <= start for at in taken):
                        found.append(At(n, number, start, end))
        return tuple(found)

    def kind_of(self, row: int, place: Place) -> str:
        """Return the kind of a place, as corrected."""
        return self.retyped.get(At(row, place.text, place.start, place.end), place.kind)

    # ── what it comes to ──────────────────────────────────────────────────────────────────────────────────────────────

    def counted(self) -> range:
        """Return the positions up to the last finished row: a random sample however long it is, and no row of it was chosen."""
        return range(max(self.done, default=-1) + 1)

    def leaking(self) -> int:
        """Return how many of the counted rows leak; a row that was skipped counts as one that does."""
        marked = {at.row for at in self.leaks}
        return sum(n not in self.done or n in marked for n in self.counted())

    def figures(self, total: int, *, by: By = "chance", other_draws: int = 0) -> ReviewFigures:
        """Return the figures. total: rows of the whole set.  by: how the sample was chosen; only one by chance bounds anything."""
        counted = len(self.counted())
        leaking = self.leaking()
        leaks = Counter(kind for at, kind in self.leaks.items() if at.row < counted)
        is_random = by == "chance" and counted > 0
        bound = most_bad(total, counted, leaking) if is_random else None
        return ReviewFigures(
            rows=total,
            sample=len(self.rows),
            reviewed=len(self.done),
            counted=counted,
            leaking=leaking,
            leaks=leaks.total(),
            rejected=sum(at.row < counted for at in self.rejected),
            retyped=sum(at.row < counted for at in self.retyped),
            leaks_by_kind=dict(sorted(leaks.items())),
            by=by,
            other_draws=other_draws,
            bound_rows=bound,
            bound_share=bound / total if bound is not None else None,
            bound_of_source=share_of_a_stream(counted, leaking) if is_random else None,
        )

    # ── corrected spans ───────────────────────────────────────────────────────────────────────────────────────────────

    def masked_spans(self, row: int, number: int) -> tuple[Span, ...]:
        """Return the spans of a masked text as corrected: replaced places that are identifiers, and leaks outside them."""
        spans = [
            Span(place.start, place.end, self.kind_of(row, place), 1.0)
            for place in self.rows[row].places
            if place.text == number and place.start < place.end and not self._is_rejected(row, place)
        ]
        gaps = _gaps(self.rows[row], number)
        for at in self.leaks_of(row):
            if at.text == number:
                spans += [Span(a, b, self.leaks[at], 1.0) for a, b in _cut(at.start, at.end, gaps)]
        return _disjoint(spans)

    def original_spans(self, row: int, number: int, values: Sequence[str]) -> tuple[Span, ...]:
        """Return the spans of a text before masking as corrected. values: what stood in the row's places."""
        one = self.rows[row]
        moved = Moved(one, number, values)
        spans = [
            Span(*moved.place_before(n), self.kind_of(row, place), 1.0)
            for n, place in enumerate(one.places)
            if place.text == number and values[n] and not self._is_rejected(row, place)
        ]
        for at in self.leaks_of(row):
            if at.text == number:
                spans += [Span(a, b, self.leaks[at], 1.0) for a, b in moved.unchanged(at.start, at.end, is_before=False)]
        return _disjoint(spans)

    def lessons(self, originals: Sequence[Sequence[str]]) -> Iterator[Labelled]:
        """Yield every text of the finished rows before masking, with corrected spans: what a tagger learns from.

        originals: what stood in the places of each row.
        """
        for n in sorted(self.done):
            for number in range(len(self.rows[n].texts)):
                text = before(self.rows[n], number, originals[n])
                spans = self.original_spans(n, number, originals[n])
                yield Labelled(f"{self.rows[n].id}.{number}", text, spans, is_annotated=True)

    def _is_rejected(self, row: int, place: Place) -> bool:
        return At(row, place.text, place.start, place.end) in self.rejected

    # ── on disk ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_lines(self) -> Iterator[bytes]:
        """Yield the actions as lines of JSON."""
        for action in self.actions:
            yield json.dumps([action.do, action.at, action.kind, action.is_leak], separators=(",", ":")).encode() + b"\n"


def actions_of(lines: Iterable[bytes]) -> list[Action]:
    """Return the actions of `Review.to_lines`."""
    found = []
    for line in lines:
        do, places, kind, is_leak = json.loads(line)
        found.append(Action(do, tuple(At(*at) for at in places), kind, is_leak))
    return found


def corrections(review: Review, n: int, number: int, spans: Sequence[Span], values: Sequence[str] | None) -> Iterator[Action]:
    """Yield the decisions by which a person's spans of one text differ from its places.

    values: what stood in the row's places, for spans of the text before masking; None for spans of the masked text. A place that no span
    touches is rejected, one that a span of another kind covers is retyped, and what a span covers outside all places is a leak.
    """
    row = review.rows[n]
    moved = Moved(row, number, values) if values is not None else None
    gaps = _gaps(row, number)
    inside = [at for at in review.leaks_of(n) if at.text == number and not any(_cut(at.start, at.end, gaps))]
    kept = [Action("leak", (at,), review.leaks[at]) for at in inside]  # in a replaced place, where no second span can be drawn
    yield Action("clear", (At(n, number),))
    yield from kept
    for p, place in enumerate(row.places):
        if place.text != number:
            continue
        start, end = moved.place_before(p) if moved else (place.start, place.end)
        if start == end:
            continue  # nothing stands there that a person could mark: removed, or nothing before
        at = (At(n, number, place.start, place.end),)
        touching = [span for span in spans if span.start < end and start < span.end]
        if not touching:
            yield Action("reject", at)
        elif place.kind not in {span.kind for span in touching}:
            yield Action("retype", at, touching[0].kind)
    text = row.texts[number]
    for span in spans:
        parts = moved.unchanged(span.start, span.end, is_before=True) if moved else _cut(span.start, span.end, gaps)
        if left := tuple(At(n, number, a, b) for a, b in parts if text[a:b].strip()):
            yield Action("leak", left, span.kind)


def _starts(text: str, words: str) -> Iterator[int]:
    at = text.find(words) if words else -1
    while at >= 0:
        yield at
        at = text.find(words, at + len(words))


def _gaps(row: Row, number: int) -> list[tuple[int, int]]:
    """Return the ranges of a masked text that masking left as they were."""
    found, at = [], 0
    for stretch in stretches(row, number, None):
        if stretch.place is None:
            found.append((at, at + len(stretch.after)))
        at += len(stretch.after)
    return found


def _cut(start: int, end: int, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range that lie in the others."""
    for low, high in ranges:
        if max(start, low) < min(end, high):
            yield max(start, low), min(end, high)


def _disjoint(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the spans in order. Places and the gaps between them are disjoint, and so are leaks: a fault here would spoil what is learnt."""
    ordered = tuple(sorted(spans))
    if any(left.end > right.start for left, right in pairwise(ordered)):
        raise ValueError("spans overlap")
    return ordered


def by_number(review: Review, n: int) -> Mapping[int, Place | At]:
    """Return the places of a row, then its leaks, by the numbers that the reviewer sees."""
    items: list[Place | At] = [*review.rows[n].places, *review.leaks_of(n)]
    return dict(enumerate(items, 1))
