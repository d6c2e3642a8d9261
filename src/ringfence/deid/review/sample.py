"""The sample of a masked set: which rows, their masked texts, the places in them, and what stood there before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

from ringfence.core.errors import NotReviewable
from ringfence.vault.sets import SetReader

_BEGIN = b'{"id":"'  # of a line of the span table, as it is written


class Place(NamedTuple):
    """A replaced place in a masked text. Places with the same `value` held the same original of the same kind."""

    text: int  # which of the row's texts
    start: int
    end: int
    kind: str
    value: int


@dataclass(frozen=True, slots=True)
class Row:
    """One masked row of the sample."""

    row: int  # its number in the set
    id: str
    roles: tuple[str, ...]
    texts: tuple[str, ...]
    places: tuple[Place, ...]  # in order

    def to_line(self) -> bytes:
        """Return the row as one line of JSON, newline included."""
        value = {"row": self.row, "id": self.id, "roles": self.roles, "texts": self.texts, "places": self.places}
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Row:
        """Return the row that `to_line` wrote."""
        value = json.loads(line)
        places = tuple(Place(*place) for place in value["places"])
        return cls(value["row"], value["id"], tuple(value["roles"]), tuple(value["texts"]), places)


def drawn(total: int, count: int, seed: int) -> list[int]:
    """Return `count` numbers below `total`, all of them if there are fewer, without replacement, in random order.

    Any beginning of the list is a random sample, too, and a longer list begins with the shorter one of the same seed.
    """
    draw, moved = random.Random(seed), dict[int, int]()  # noqa: S311  a sample that anybody can draw again, not a secret
    found = []
    for i in range(min(count, total)):  # Fisher and Yates, with only the moved numbers kept
        j = draw.randrange(i, total)
        found.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return found


def read_sample(reader: SetReader, table: Iterator[bytes], numbers: Sequence[int]) -> list[Row]:
    """Return these rows of a masked set with their places. table: the lines of its span table.

    Raises: NotReviewable, ObjectBroken.
    """
    ids = {reader.index.record_ids[number].tobytes().hex() for number in numbers}
    found = dict(_spans(table, ids))
    values: dict[tuple[str, str], int] = {}
    made: dict[int, Row] = {}
    for number in sorted(numbers):  # in the order of the shards, so that each is opened once
        (record,) = reader.rows(number, number + 1)
        spans = found.get(record.id, [])
        places = tuple(
            Place(span["text"], start, end, span["kind"], values.setdefault((span["kind"], span["original"]), len(values)))
            for span, start, end in _places(record.texts, spans)
        )
        made[number] = Row(number, record.id, record.roles, record.texts, places)
    return [made[number] for number in numbers]


def originals_of(rows: Sequence[Row], table: Iterator[bytes]) -> list[tuple[str, ...]]:
    """Return what stood in each place of each row, in the order of its places.

    Raises: NotReviewable.
    """
    table_of_rows = _spans(table, {row.id for row in rows})
    found = {identity: tuple(str(span["original"]) for span in _ordered(spans)) for identity, spans in table_of_rows}
    made = [found.get(row.id, ()) for row in rows]
    if any(len(values) != len(row.places) for row, values in zip(rows, made, strict=True)):
        raise NotReviewable
    return made


def _spans(table: Iterator[bytes], ids: AbstractSet[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield id and spans of the rows with these ids."""
    wanted = {identity.encode() for identity in ids}
    start = len(_BEGIN)
    for line in table:
        if line.startswith(_BEGIN) and line[start : start + 32] not in wanted:
            continue  # of a large set nearly every line: parsing it would take ten times as long
        value = json.loads(line)
        if value["id"] not in ids:
            continue
        if not all("instead" in span for span in value["spans"]):
            raise NotReviewable
        yield value["id"], value["spans"]


def _ordered(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(spans, key=lambda span: (span["text"], span["start"]))


def _places(texts: Sequence[str], spans: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield each span with its place in the masked texts; the table knows its place in the text before.

    Raises: NotReviewable where the table is of other texts.
    """
    shift, text = 0, -1
    for span in _ordered(spans):
        if span["text"] != text:
            shift, text = 0, span["text"]
        start = span["start"] + shift
        end = start + len(span["instead"])
        if not 0 <= text < len(texts) or texts[text][start:end] != span["instead"]:
            raise NotReviewable
        shift = end - span["end"]
        yield span, start, end


# ── before and after ──────────────────────────────────────────────────────────────────────────────────────────────────


class Stretch(NamedTuple):
    """A run of one text before and after masking. place: number of the place in its row, or None where nothing was changed."""

    before: str
    after: str
    place: int | None


def stretches(row: Row, number: int, values: Sequence[str] | None) -> list[Stretch]:
    """Return text `number` of the row in runs. values: what stood in the row's places; None = the text before stays unknown (empty)."""
    text, at, found = row.texts[number], 0, list[Stretch]()
    for n, place in enumerate(row.places):
        if place.text != number:
            continue
        if place.start > at:
            found.append(Stretch(text[at : place.start], text[at : place.start], None))
        found.append(Stretch(values[n] if values is not None else "", text[place.start : place.end], n))
        at = place.end
    if at < len(text) or not found:
        found.append(Stretch(text[at:], text[at:], None))
    return found


def before(row: Row, number: int, values: Sequence[str]) -> str:
    """Return text `number` of the row as it was before masking."""
    return "".join(stretch.before for stretch in stretches(row, number, values))


class Moved:
    """Leads from places of a text before masking to places after it, and back."""

    def __init__(self, row: Row, number: int, values: Sequence[str]) -> None:
        self._runs: list[tuple[int, int, int, int, int | None]] = []  # start and end before, start and end after, place
        b = a = 0
        for stretch in stretches(row, number, values):
            self._runs.append((b, b + len(stretch.before), a, a + len(stretch.after), stretch.place))
            b, a = b + len(stretch.before), a + len(stretch.after)

    def place_before(self, place: int) -> tuple[int, int]:
        """Return where a replaced place stood."""
        return next((b0, b1) for b0, b1, _, _, p in self._runs if p == place)

    def unchanged(self, start: int, end: int, *, is_before: bool) -> Iterator[tuple[int, int]]:
        """Yield the parts of a range that lie outside replaced places, as ranges of the other text."""
        for b0, b1, a0, a1, place in self._runs:
            here, there = ((b0, b1), a0) if is_before else ((a0, a1), b0)
            low, high = max(start, here[0]), min(end, here[1])
            if place is None and low < high:
                yield low - here[0] + there, high - here[0] + there


def about(rows: int, settings: Mapping[str, Any]) -> bytes:
    """Return what a review object says of itself: rows of the whole set, and the settings of the draw."""
    return json.dumps({"format": "ringfence.review/1", "rows": rows, **settings}, sort_keys=True).encode()
