"""Which pieces of a text are read by which tagger.

A tagger costs a thousand times what the patterns cost, so it is asked only about pieces that can hold a name in its language, about each once,
and about many at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ringfence.deid import people, places
from ringfence.deid.fold import whole
from ringfence.deid.named import LOCATION, PERSON, REGION
from ringfence.deid.recogniser import SEPARATOR, Span
from ringfence.deid.tagger import BOTH, TAUGHT, Tagger

_PIECES = {  # sentences of Chinese; lines of English, whose taggers find sentences themselves
    "zh": re.compile(rf"[^{SEPARATOR}\n。！？!?；;]+[。！？!?；;]*"),
    "en": re.compile(rf"[^{SEPARATOR}\n]+"),
}
LANGUAGES = tuple(_PIECES)
_CUTS = {"zh": "，、,: ", "en": ".;,) "}  # where a piece that is too long is cut, the best first
_LONGEST = {"zh": 200, "en": 1_000}  # characters
_HAN = re.compile(r"[\u3400-\u9fff][^A-Za-z\u3400-\u9fff]*[\u3400-\u9fff]")
_CAPITAL = re.compile(r"[A-Z][A-Za-z'.-]|[a-z][A-Z]|\b[A-Z]\b")
_TITLES = frozenset("dr mr mrs ms mx prof phd md".split())  # that are no surnames
_ADDRESS_BEFORE = frozenset("@/\\")
_ADDRESS_AFTER = re.compile(r"@|://")
_WORD = re.compile(r"[a-z]{3,}")
_LATIN = re.compile(r"[A-Za-z]")
_ANY = {"zh": "王小明在北京。", "en": "John Smith lives in Paris."}
Keeps = Callable[[Span, str], bool]  # of a span and the text in which it stands
_MOST_KEPT = 4_000_000  # characters of pieces whose spans are remembered


@dataclass
class Seen:
    """The different names of persons that the first tagger of a language saw, and those that the second did: a name that stands in many places is one."""

    first: set[str] = field(default_factory=set)
    second: set[str] = field(default_factory=set)

    def add(self, other: Seen) -> None:
        """Take over what was seen elsewhere."""
        self.first |= other.first
        self.second |= other.second

    def taken(self) -> Seen:
        """Return what was seen, and begin anew."""
        seen = Seen(self.first, self.second)
        self.first, self.second = set(), set()
        return seen


class Namer:
    """Asks taggers about the pieces of a block and remembers what they said.

    seen: by language, over everything that was searched since it was last taken, for languages with two taggers.
    """

    def __init__(self, taggers: Sequence[Tagger], *, keeps: Keeps = lambda _, __: False) -> None:
        """`keeps`: what a tenant's own tagger does not claim, as a profile leaves it in the text: nothing that others find stays behind its word."""
        self._keeps = keeps
        self._by_language = {language: [t for t in taggers if t.language in (language, BOTH)] for language in _PIECES}
        self.seen: dict[str, Seen] = {language: Seen() for language, taggers in self._by_language.items() if len(taggers) > 1}
        self._known: dict[tuple[str, str], tuple[tuple[Span, ...], Seen]] = {}
        self._size = 0

    def load(self) -> None:
        """Have every tagger load its model now and not at the first name: before this process is copied, so that the copies share it."""
        for language, taggers in self._by_language.items():
            for tagger in taggers:
                tagger.tag([_ANY[language]])

    def find(self, text: str) -> Iterator[Span]:
        """Yield the names of a folded block; those of different taggers may overlap."""
        text = whole(text)
        for language, taggers in self._by_language.items():
            if taggers:
                asked = [(start, piece) for start, piece in pieces(text, language) if may_hold_a_name(piece, language)]
                self._ask(language, taggers, list(dict.fromkeys(piece for _, piece in asked if (language, piece) not in self._known)))
                for start, piece in asked:
                    spans, seen = self._known[language, piece]
                    if language in self.seen:
                        self.seen[language].add(seen)
                    for span in spans:
                        yield Span(start + span.start, start + span.end, span.kind, span.score)
        if self._size > _MOST_KEPT:  # begins anew: a piece gets the same spans again
            self._known, self._size = {}, 0

    def _ask(self, language: str, taggers: Sequence[Tagger], pieces: list[str]) -> None:
        for piece, *found in zip(pieces, *(tagger.tag(pieces) for tagger in taggers), strict=True):
            seen = _seen(piece, *found[:2]) if len(found) > 1 else Seen()
            claims = [span for spans in found for span in spans if not (span.score == TAUGHT and self._keeps(span, piece))]
            self._known[language, piece] = (
                tuple(_sized(span, piece) for span in _own_first(claims) if _stands_free(span, piece) and not _is_title(span, piece)),
                seen,
            )
            self._size += len(piece)


def pieces(text: str, language: str) -> Iterator[tuple[int, str]]:
    """Yield the pieces of a text with where they begin."""
    longest, cuts = _LONGEST[language], _CUTS[language]
    for match in _PIECES[language].finditer(text):
        at, end = match.span()
        while end - at > longest:
            cut = next((place + 1 for mark in cuts if (place := text.rfind(mark, at + longest // 2, at + longest)) >= 0), at + longest)
            yield at, text[at:cut]
            at = cut
        yield at, text[at:end]


def may_hold_a_name(piece: str, language: str) -> bool:
    """Return False for a piece about which no tagger of the language is asked."""
    if language == "zh":
        return _HAN.search(piece) is not None
    if 2 * len(_LATIN.findall(piece)) <= len(piece):
        return False
    return _CAPITAL.search(piece) is not None or not people.names().group_of.keys().isdisjoint(_WORD.findall(piece))


def _seen(piece: str, first: Sequence[Span], second: Sequence[Span]) -> Seen:
    return Seen(*({people.normal(piece[span.start : span.end]) for span in spans if span.kind == PERSON} for spans in (first, second)))


def _stands_free(span: Span, piece: str) -> bool:
    """Return False inside of an e-mail or other address of the net, which patterns know better."""
    return not (piece[span.start - 1 : span.start] in _ADDRESS_BEFORE or _ADDRESS_AFTER.match(piece, span.end))


def _is_title(span: Span, piece: str) -> bool:
    """Return True for a title alone, in Latin letters: in `Dear Dr. Okafor` the name is Okafor."""
    value = piece[span.start : span.end].strip(" .,")
    return span.kind == PERSON and span.score != TAUGHT and value.lower() in _TITLES


def _own_first(spans: Sequence[Span]) -> list[Span]:
    """Return the spans without those of general taggers that lie inside one of a tenant's own: its kind counts, and nothing is left in the clear."""
    own = [span for span in spans if span.score == TAUGHT]
    return [span for span in spans if span.score == TAUGHT or not any(o.start <= span.start and span.end <= o.end for o in own)]


def _sized(span: Span, piece: str) -> Span:
    """Return a place that is a country, a state or a province as a region, any other span as it is."""
    is_region = span.kind == LOCATION and places.is_large(piece[span.start : span.end])
    return Span(span.start, span.end, REGION, span.score) if is_region else span
