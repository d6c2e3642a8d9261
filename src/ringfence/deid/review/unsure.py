"""Which masked rows the taggers that ship are least sure of: where a reviewer's time is spent best, and no random sample.

Looked at is what masking left as it was. Of each of its parts, a character of Chinese or a word of English, the field says how probable it is that it belongs
to a name; what is neither nearly certain nor nearly impossible may be a leak that was missed by little.
Source: Lewis and Gale 1994, A sequential algorithm for training text classifiers (uncertainty sampling); Settles and Craven 2008, for sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import Any

from ringfence.deid import features
from ringfence.deid.fold import fold, whole
from ringfence.deid.learn import parts_of
from ringfence.deid.namer import LANGUAGES, may_hold_a_name, pieces
from ringfence.deid.recogniser import SEPARATOR
from ringfence.deid.review.sample import Row
from ringfence.deid.taggers.crf import OUTSIDE, shipped

_EVERY = 100  # rows between two words to the host


def least_sure(pool: Sequence[Row], count: int, *, say: Callable[[int], None] = lambda _: None) -> list[Row]:
    """Return `count` rows of the pool, the least sure first; of rows alike the one that was drawn first. say: is told how many were looked at."""
    found = []
    for n, row in enumerate(pool):
        if n % _EVERY == 0:
            say(n)
        found.append((-doubt(row), n))
    return [pool[n] for _, n in islice(sorted(found), count)]


def doubt(row: Row) -> float:
    """Return how unsure the taggers are of the row: of its least sure part outside the replaced places, the probability that they are wrong; at most 0.5."""
    return max((_doubt(row, number) for number in range(len(row.texts))), default=0.0)


def _doubt(row: Row, number: int) -> float:
    folded = fold(row.texts[number].replace(SEPARATOR, " "))
    ranges = [folded.places((place.start, place.end)) for place in row.places if place.text == number]
    masked = bytearray(len(folded.text))
    for start, end in ranges:
        masked[start:end] = b"\1" * (end - start)
    text = whole(folded.text)
    found = 0.0
    for language in LANGUAGES:
        for start, piece in pieces(text, language):
            if may_hold_a_name(piece, language):
                for (a, b), sure in zip(*_read(language, piece), strict=True):
                    if not any(masked[start + a : start + b]):
                        found = max(found, min(sure, 1 - sure))
    return found


def _read(language: str, piece: str) -> tuple[list[tuple[int, int]], list[float]]:
    """Return the parts of a piece, and of each how probable it is that it belongs to no name."""
    parts = parts_of(language, piece)
    field = _field(language)
    field.set(features.characters(piece) if language == "zh" else features.words([piece[a:b] for a, b in parts]))
    return parts, [field.marginal(OUTSIDE, n) for n in range(len(parts))]


@cache
def _field(language: str) -> Any:  # noqa: ANN401  the library is untyped
    import pycrfsuite  # noqa: PLC0415  of the extra `deid`

    field = pycrfsuite.Tagger()
    field.open_inmemory(_data(language))
    return field


@cache
def _data(language: str) -> bytes:
    """Return the model; the field keeps no reference to it, so the cache does."""
    return shipped(language)
