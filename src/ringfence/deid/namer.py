"""Which pieces of a text are read by which tagger.

A tagger costs a thousand times what the patterns cost, so it is asked only about pieces that can hold a name in its language, about each once,
and about many at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ringfence.deid import people, places
from ringfence.deid.named import LOCATION, REGION
from ringfence.deid.recogniser import SEPARATOR, Span
from ringfence.deid.tagger import BOTH, Tagger

_PIECES = {  # sentences of Chinese; lines of English, whose taggers find sentences themselves
    "zh": re.compile(rf"[^{SEPARATOR}\n。！？!?；;]+[。！？!?；;]*"),
    "en": re.compile(rf"[^{SEPARATOR}\n]+"),
}
_CUTS = {"zh": "，、,: ", "en": ".;,) "}  # where a piece that is too long is cut, the best first
_LONGEST = {"zh": 200, "en": 1_000}  # characters
_HAN = re.compile(r"[\u3400-\u9fff][^A-Za-z\u3400-\u9fff]*[\u3400-\u9fff]")
_CAPITAL = re.compile(r"[A-Z][A-Za-z'.-]|[a-z][A-Z]|\b[A-Z]\b")
_LONE = re.compile(r"[\ud800-\udfff]")
_WORD = re.compile(r"[a-z]{3,}")
_LATIN = re.compile(r"[A-Za-z]")
_MOST_KEPT = 4_000_000  # characters of pieces whose spans are remembered


class Namer:
    """Asks taggers about the pieces of a block and remembers what they said."""

    def __init__(self, taggers: Sequence[Tagger]) -> None:
        self._by_language = {language: [t for t in taggers if t.language in (language, BOTH)] for language in _PIECES}
        self._known: dict[tuple[str, str], tuple[Span, ...]] = {}
        self._size = 0

    def find(self, text: str) -> Iterator[Span]:
        """Yield the names of a folded block; those of different taggers may overlap."""
        text = _LONE.sub("\ufffd", text)  # no model was made for half a character, and UTF-8 has none
        for language, taggers in self._by_language.items():
            if taggers:
                pieces = [(start, piece) for start, piece in _pieces(text, language) if _may_hold_a_name(piece, language)]
                self._ask(language, taggers, list(dict.fromkeys(piece for _, piece in pieces if (language, piece) not in self._known)))
                for start, piece in pieces:
                    for span in self._known[language, piece]:
                        yield Span(start + span.start, start + span.end, span.kind, span.score)
        if self._size > _MOST_KEPT:  # begins anew: a piece gets the same spans again
            self._known, self._size = {}, 0

    def _ask(self, language: str, taggers: Sequence[Tagger], pieces: list[str]) -> None:
        found: list[list[Span]] = [[] for _ in pieces]
        for tagger in taggers:
            for known, more in zip(found, tagger.tag(pieces), strict=True):
                known += more  # noqa: PLW2901  in place
        for piece, spans in zip(pieces, found, strict=True):
            self._known[language, piece] = tuple(_sized(span, piece) for span in spans)
            self._size += len(piece)


def _pieces(text: str, language: str) -> Iterator[tuple[int, str]]:
    """Yield the pieces of a text with where they begin."""
    longest, cuts = _LONGEST[language], _CUTS[language]
    for match in _PIECES[language].finditer(text):
        at, end = match.span()
        while end - at > longest:
            cut = next((place + 1 for mark in cuts if (place := text.rfind(mark, at + longest // 2, at + longest)) >= 0), at + longest)
            yield at, text[at:cut]
            at = cut
        yield at, text[at:end]


def _may_hold_a_name(piece: str, language: str) -> bool:
    if language == "zh":
        return _HAN.search(piece) is not None
    if 2 * len(_LATIN.findall(piece)) <= len(piece):
        return False
    return _CAPITAL.search(piece) is not None or not people.names().group_of.keys().isdisjoint(_WORD.findall(piece))


def _sized(span: Span, piece: str) -> Span:
    """Return a place that is a country, a state or a province as a region, any other span as it is."""
    is_region = span.kind == LOCATION and places.is_large(piece[span.start : span.end])
    return Span(span.start, span.end, REGION, span.score) if is_region else span
