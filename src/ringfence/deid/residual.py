"""What de-identification leaves: how many planted identifiers it finds in this very set, and how many people one can still tell apart.

Sources: Chapman 1951 for two taggers as two captures; Sweeney 2002, k-Anonymity, for classes of like people.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ringfence.core.records import Record
from ringfence.deid import dates, divisions
from ringfence.deid.draw import Draw
from ringfence.deid.named import PERSON
from ringfence.deid.numerals import number
from ringfence.deid.recogniser import Recogniser, Span
from ringfence.deid.sentences import Chinese, English

_TRIES = 60  # draws until a recogniser takes a value for one of its own; the example stands in if it takes none
_SMALL = 5  # people in a class: fewer are too few to hide among
_BANDS = (10, 20)  # years of age
_HAN = re.compile(r"[\u3400-\u9fff]")
_GENDER = re.compile(r"(?P<m>男|\b(?:[Mm]ale|[Mm]an|MALE)\b)|(?P<f>女|\b(?:[Ff]emale|[Ww]oman|FEMALE)\b)")

Find = Callable[[Sequence[str]], list[list[Span]]]


class Planted(NamedTuple):
    """A text with an identifier that was put there."""

    kind: str
    text: str
    start: int
    end: int


def planted(texts: Sequence[str], parts: Iterable[Recogniser], draw: random.Random, *, each: int) -> list[Planted]:
    """Return `each` texts of the set per kind, with one identifier planted in every one: where a word, a number or a character may begin.

    texts: at least one.  Identifiers are drawn anew for every call, persons with a clause in which they do something.
    """
    made = [_hidden(specimen(part, draw), draw.choice(texts), draw) for part in parts for _ in range(each)]
    writers: dict[bool, Chinese | English] = {True: Chinese(draw), False: English(draw)}
    for _ in range(each):
        text = draw.choice(texts)
        made.append(_hidden(_person(writers[bool(_HAN.search(text))]), text, draw))
    return made


def specimen(part: Recogniser, draw: random.Random) -> Planted:
    """Return a value that the recogniser takes for one of its own, with the key word that it needs."""
    (span, *_) = part.find(part.example)
    value, before, after = part.example[span.start : span.end], part.example[: span.start], part.example[span.end :]
    for _ in range(_TRIES):
        text = before + Draw(draw.randbytes(32), b"specimen").scramble(value) + after
        if any((s.start, s.end) == (span.start, span.end) for s in part.find(text)):
            return Planted(span.kind, text, span.start, span.end)
    return Planted(span.kind, part.example, span.start, span.end)


def _person(writer: Chinese | English) -> Planted:
    """Return a clause in which a person stands."""
    while True:
        clause = writer.clause()
        for n, (piece, kind) in enumerate(clause):
            if kind == "P":
                start = sum(len(text) for text, _ in clause[:n])
                return Planted(PERSON, "".join(text for text, _ in clause), start, start + len(piece))


def _hidden(item: Planted, text: str, draw: random.Random) -> Planted:
    places = [0, *(n for n in range(1, len(text)) if not (text[n - 1].isalnum() and text[n].isalnum() and text[n].isascii())), len(text)]
    at = draw.choice(places)
    glue = draw.choice(("", " ")) if _HAN.search(text) else " "
    before = text[:at] + glue
    return Planted(item.kind, before + item.text + glue + text[at:], len(before) + item.start, len(before) + item.end)


def recall(hidden: Sequence[Planted], find: Find) -> tuple[Counter[str], Counter[str]]:
    """Return, per kind, how many planted identifiers were covered whole, and how many there were."""
    found: Counter[str] = Counter()
    for item, spans in zip(hidden, find([item.text for item in hidden]), strict=True):
        found[item.kind] += any(span.start <= item.start and item.end <= span.end for span in spans)
    return found, Counter(item.kind for item in hidden)


def chapman(first: int, second: int, both: int) -> float:
    """Return how many there are by two searches that know nothing of each other; taggers do know, so there are more. Chapman 1951."""
    return (first + 1) * (second + 1) / (both + 1) - 1


class Crowd:
    """Counts people who look alike: age, sex, region and month of the first date, as far as the masked texts say them."""

    names = ("age", "sex", "region", "month")

    def __init__(self) -> None:
        self._people: dict[str, dict[str, str]] = {}

    def see(self, record: Record, ages: Iterable[str]) -> None:
        """Look at a masked record. ages: what stands there for ages."""
        person = self._people.setdefault(record.unit, {})
        years = next((n for n in map(number, ages) if n is not None), None)
        if years is not None:
            person.setdefault("age", str(years))
        for text in record.texts:
            for name, value in _looks(text).items():
                person.setdefault(name, value)

    def small(self, *, without: str | None = None, band: int = _BANDS[0]) -> int:
        """Return how many people are in classes of fewer than five."""
        classes = Counter(self._class(person, without, band) for person in self._people.values())
        return sum(size for size in classes.values() if size < _SMALL)

    def people(self) -> int:
        """Return how many people there are."""
        return len(self._people)

    def helps(self) -> Mapping[str, int]:
        """Return, per way to say less, how many people would no longer be in a small class."""
        now = self.small()
        ways = {f"without {name}": now - self.small(without=name) for name in self.names}
        return ways | {"age in bands of 20": now - self.small(band=_BANDS[1])}

    def _class(self, person: Mapping[str, str], without: str | None, band: int) -> tuple[str, ...]:
        return tuple(self._value(name, person.get(name, ""), band) for name in self.names if name != without)

    @staticmethod
    def _value(name: str, value: str, band: int) -> str:
        return str(int(value) // band) if name == "age" and value else value


def _looks(text: str) -> dict[str, str]:
    found = {}
    if match := _GENDER.search(text):
        found["sex"] = match.lastgroup or ""
    if region := divisions.first_province(text):
        found["region"] = region
    for form in dates.FORMS:
        if match := form.search(text):
            groups = match.groupdict()
            if groups.get("month"):
                found["month"] = f"{groups.get('year') or ''}-{groups['month']}"
                break
    return found
