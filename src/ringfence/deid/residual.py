"""What de-identification leaves: how many planted identifiers it finds in this very set, and how many people one can still tell apart.

Source: Sweeney 2002, k-Anonymity, for classes of like people.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from heapq import heapify, heappush, heapreplace, nlargest
from typing import NamedTuple

from ringfence.core.records import Record
from ringfence.deid import dates, divisions
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON, REGION, STAND_INS
from ringfence.deid.numerals import NUMERALS, number
from ringfence.deid.operator import Uses, When
from ringfence.deid.recogniser import Recogniser, Span
from ringfence.deid.sentences import Chinese, English
from ringfence.deid.specimen import Specimen, Specimens

_TRIES = 10  # draws for each value that is wanted, as some are equal to others
_WINDOW = 160  # characters of a text in which something is planted
_SMALL = 5  # people in a class: fewer are too few to hide among
_BANDS = (10, 20)  # years of age
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTERS = {"P": PERSON, "O": ORGANISATION, "L": LOCATION}  # as the generator of sentences calls them
_DIGITS = re.compile(r"[0-9]{1,3}")
_KINDS = {
    "age": frozenset({"AGE"}),
    "region": frozenset({"CN_ADDRESS", LOCATION, REGION}),
    "month": frozenset({"DATE"}),
}  # that say how somebody looks
_TRUE = frozenset({"keep", "generalise"})  # operators behind which still stands what is true of a person
_SILENT = frozenset({"redact", "drop"})  # and behind which stands nothing
_OTHERS = "*"  # every kind that a profile does not name
_YEAR = re.compile(rf"(?P<year>[0-9]{{4}}|[{NUMERALS}]{{4}})年?")
_GENDER = re.compile(r"(?P<m>男|\b(?:[Mm]ale|[Mm]an|MALE)\b)|(?P<f>女|\b(?:[Ff]emale|[Ww]oman|FEMALE)\b)")

Find = Callable[[Sequence[str]], list[list[Span]]]


class Sample:
    """The records with the least ids, which are keyed digests: a sample that depends neither on their order nor on who looks at which of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[int, str]] = []  # a heap of (minus the id, a text)

    def see(self, record: Record) -> None:
        """Look at a record."""
        rank = -int(record.id, 16)
        if len(self._kept) < self._size or rank > self._kept[0][0]:
            text = record.texts[-rank % len(record.texts)]
            (heappush if len(self._kept) < self._size else heapreplace)(self._kept, (rank, text))

    def add(self, other: Sample) -> None:
        """Take over what another sample of the set saw."""
        self._kept = nlargest(self._size, [*self._kept, *other._kept])
        heapify(self._kept)

    def texts(self) -> list[str]:
        """Return one text of each."""
        return [text for _, text in sorted(self._kept, reverse=True)]


def planted(texts: Sequence[str], parts: Iterable[Recogniser], draw: random.Random, *, each: int) -> list[Specimen]:
    """Return up to `each` texts of the set per kind, with one identifier planted in every one: where a word, a number or a character may begin.

    No two of a kind are equal, however they are written: of a kind with few values there are fewer. What has no generator is left out.
    texts: at least one.  Names come with a clause of the generator by whose sentences the taggers learned, so that those of the set may be harder.
    """
    made: list[Specimen] = []
    for part in parts:
        if part.kinds != {PERSON} and isinstance(part, Specimens):
            made += [_hidden(item, draw.choice(texts), draw) for item in different(part, draw, each)]
    writers: dict[bool, Chinese | English] = {True: Chinese(draw), False: English(draw)}
    for letter, kind in _LETTERS.items():
        names: set[str] = set()
        for _ in range(each * _TRIES):
            text = draw.choice(texts)
            item = _named(writers[bool(_HAN.search(text))], letter)
            normal = STAND_INS[kind].normalise(item.value)
            if len(names) < each and normal not in names:
                names.add(normal)
                made.append(_hidden(item, text, draw))
    return made


def different(part: Specimens, draw: random.Random, each: int) -> list[Specimen]:
    """Return up to `each` different values of each kind of a recogniser. Whether it finds them plays no part."""
    values: dict[str, set[str]] = {kind: set() for kind in part.kinds}
    made: list[Specimen] = []
    for _ in range(each * _TRIES * len(values)):
        if all(len(some) >= each for some in values.values()):
            break
        item = part.specimen(draw)
        normal, some = part.normalise(item.value), values[item.kind]
        if len(some) < each and normal not in some:
            some.add(normal)
            made.append(item)
    return made


def _named(writer: Chinese | English, letter: str) -> Specimen:
    """Return a clause in which a person, an organisation or a place stands."""
    while True:
        clause = writer.clause()
        for n, (piece, kind) in enumerate(clause):
            if kind == letter:
                start = sum(len(text) for text, _ in clause[:n])
                return Specimen(_LETTERS[letter], "".join(text for text, _ in clause), start, start + len(piece))


def _hidden(item: Specimen, text: str, draw: random.Random) -> Specimen:
    begin = draw.randrange(max(1, len(text) - _WINDOW))
    text = text[begin : begin + _WINDOW]
    places = [0, *(n for n in range(1, len(text)) if _is_gap(text[n - 1], text[n])), len(text)]
    at = draw.choice(places)
    between = ("", " ") if _HAN.search(text) else (" ",)
    before = _apart(text[:at], draw.choice(between) if _is_gap(text[at - 1 : at], item.text[0]) else ", ", item.text, draw)
    after = _apart(item.text, draw.choice(between), text[at:], draw)[len(item.text) :]
    return Specimen(item.kind, before + item.text + after + text[at:], len(before) + item.start, len(before) + item.end)


def _is_gap(left: str, right: str) -> bool:
    """Return True when something may be written between two characters: not inside or right beside a word or number in ASCII."""
    return all(inner.isspace() or not (outer.isascii() and outer.isalnum()) for outer, inner in ((left, right), (right, left)))


def _apart(left: str, between: str, right: str, draw: random.Random) -> str:
    """Return `left` and what is written between it and `right`: more than a space where numbers would run into each other."""
    is_run = all(c.isascii() and c.isalnum() for c in (left[-1:], right[:1]))
    return left + (draw.choice((", ", "; ", " - ")) if is_run else between)


def recall(hidden: Sequence[Specimen], find: Find) -> tuple[Counter[str], Counter[str]]:
    """Return, per kind, how many planted identifiers were covered whole, and how many there were."""
    found: Counter[str] = Counter()
    for item, spans in zip(hidden, find([item.text for item in hidden]), strict=True):
        found[item.kind] += any(span.start <= item.start and item.end <= span.end for span in spans)
    return found, Counter(item.kind for item in hidden)


class Looks(NamedTuple):
    """What a masked record says about a person; empty where it says nothing."""

    age: str = ""  # years, of a band its first
    sex: str = ""
    region: str = ""
    month: str = ""

    def joined(self, more: Looks) -> Looks:
        """Return these looks, with those of another record of the same person where these say nothing."""
        return Looks(*(mine or other for mine, other in zip(self, more, strict=True)))


def true_kinds(operators: Mapping[str, Uses], looked_for: Iterable[str]) -> frozenset[str]:
    """Return the kinds by which people may be compared: somebody looks for them, and what stands in the text afterwards is true of the person.

    A surrogate, a date that was moved, a token are not: they would make people distinct or alike by chance.
    """
    wanted = {*looked_for, *({REGION} if LOCATION in {*looked_for} else ())}  # taggers find regions as places
    return frozenset(kind for kinds in _KINDS.values() for kind in kinds if kind in wanted and _stays_true(operators, kind))


def _stays_true(operators: Mapping[str, Uses], kind: str) -> bool:
    uses = operators.get(kind) or operators.get(_OTHERS, ())
    always = next((n for n, use in enumerate(uses) if use.when == When()), None)
    ways = {use.use.partition(".")[0] for use in uses[: len(uses) if always is None else always + 1]}
    if always is None:
        ways.add("surrogate")  # for what meets no condition
    return ways <= _TRUE | _SILENT and not ways.isdisjoint(_TRUE)


@dataclass
class Crowd:
    """Counts people who look alike: in age, sex, region and month of the first date, as far as their masked records say them and it is true.

    has_units: several records may be one person's; without, each record is a person, and memory grows with the classes alone.
    kinds: what may be believed, from `true_kinds`. Sex is read from the words of the text themselves.
    """

    has_units: InitVar[bool]
    kinds: frozenset[str]
    _people: dict[str, Looks] | None = field(init=False, default=None)
    _classes: Counter[Looks] = field(init=False, default_factory=Counter)

    def __post_init__(self, has_units: bool) -> None:
        self._people = {} if has_units else None

    def see(self, unit: str, texts: Iterable[str], values: Iterable[tuple[str, str]]) -> None:
        """Look at a masked record. texts: its own words, without what was put in.  values: (kind, what stands there now) of what was found, in order."""
        looks = _looks(texts, ((kind, value) for kind, value in values if kind in self.kinds))
        if self._people is None:
            self._classes[looks] += 1
        else:
            self._meet(unit, looks)

    def _meet(self, unit: str, looks: Looks) -> None:
        assert self._people is not None  # noqa: S101  both sides count units
        known = self._people.get(unit)
        self._people[unit] = known.joined(looks) if known else looks

    def add(self, other: Crowd) -> None:
        """Take over whom another one saw; what was said first of a person counts."""
        self._classes.update(other._classes)
        for unit, looks in (other._people or {}).items():
            self._meet(unit, looks)

    def people(self) -> int:
        """Return how many people there are."""
        return sum(self._counted().values())

    def small(self, *, without: str | None = None, band: int = _BANDS[0]) -> int:
        """Return how many people are in classes of fewer than five, ages counted in bands of so many years."""
        classes: Counter[Looks] = Counter()
        for looks, size in self._counted().items():
            age = str(int(looks.age) // band) if looks.age else ""
            said = looks._replace(age=age)
            classes[said._replace(**{without: ""}) if without else said] += size
        return sum(size for size in classes.values() if size < _SMALL)

    def said(self) -> dict[str, int]:
        """Return by what people were compared, and of how many of them it is said."""
        read = [name for name in Looks._fields if name not in _KINDS or not _KINDS[name].isdisjoint(self.kinds)]
        return {name: sum(size for looks, size in self._counted().items() if getattr(looks, name)) for name in read}

    def helps(self) -> Mapping[str, int]:
        """Return, per way to say less of what is said, how many people would no longer be in a small class."""
        now, told = self.small(), [name for name, people in self.said().items() if people]
        ways = {name: now - self.small(without=name) for name in told}
        return ways | ({"band": now - self.small(band=_BANDS[1])} if "age" in told else {})

    def _counted(self) -> Counter[Looks]:
        return self._classes if self._people is None else Counter(self._people.values())


def _looks(texts: Iterable[str], values: Iterable[tuple[str, str]]) -> Looks:
    age = month = region = ""
    for kind, value in values:
        if kind == "AGE" and not age:
            age = _years(value)
        elif kind == "DATE" and not month:
            month = _month(value)
        elif kind in _KINDS["region"] and not region:
            region = divisions.first_province(value)
    sex = next((match.lastgroup or "" for text in texts if (match := _GENDER.search(text))), "")
    return Looks(age, sex, region, month)


def _years(value: str) -> str:
    first = _DIGITS.match(value)
    years = int(first[0]) if first else number(value)
    return "" if years is None else str(years)


def _month(value: str) -> str:
    found = dates.parse(value)
    if found is None:
        alone = _YEAR.fullmatch(value)
        return f"{number(alone['year']) or value}-" if alone else ""  # of a date of which the profile leaves the year
    return f"{found.value.year if 'year' in found.parts else ''}-{found.value.month}"
