"""Parts labelled documents into those that a tagger learns from and those that it is measured on, so that no text is on both sides.

A tagger that has seen a sentence finds its names whatever it has learnt, so figures on sentences that it saw say nothing: near-duplicates of what
is held out are moved to the side that is learnt from, and what they still share is measured.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ringfence.core.errors import PartsOverlap, TooFewSentences

MOST_SHARED = 0.02  # of the shingles of what is held out
LEAST_HELD_OUT = 20  # sentences; fewer measure nothing
_CHARACTERS, _WORDS = 12, 6  # of a shingle, in Chinese and English: about as long as each other
_STRICTER = (0.5, 0.1, 0.0)  # share of a document's shingles from which it counts as known, tried one after another
_WORD = re.compile(r"\w+")


class Parted(NamedTuple):
    """Which documents are held out, how many were moved because others say the same, and what share of shingles is still on both sides."""

    held_out: frozenset[int]
    moved: int
    shared: float


def shingles(text: str, language: str) -> set[str]:
    """Return the runs of 12 characters of a Chinese text, of 6 words of an English one; a shorter text is one shingle."""
    if language == "zh":
        size = _CHARACTERS
        return {text[n : n + size] for n in range(max(1, len(text) - size + 1))}
    words = _WORD.findall(text.lower())
    return {" ".join(words[n : n + _WORDS]) for n in range(max(1, len(words) - _WORDS + 1))}


def part(sentences: Mapping[str, Sequence[tuple[int, str]]], *, share: float, seed: int) -> Parted:
    """Return how documents are parted: about `share` of their sentences are held out, whole documents each.

    sentences: by language, (document, text).

    Raises: TooFewSentences, PartsOverlap.
    """
    of: dict[int, set[str]] = defaultdict(set)
    sizes: dict[int, int] = defaultdict(int)
    for language, rows in sentences.items():
        for document, text in rows:
            of[document] |= shingles(text, language)
            sizes[document] += 1
    total = sum(sizes.values())
    if total * share < LEAST_HELD_OUT:
        raise TooFewSentences(sentences=total, least=round(LEAST_HELD_OUT / share))
    order = sorted(of)
    random.Random(seed).shuffle(order)  # noqa: S311  a split, no secret
    held: set[int] = set()
    for document in order:
        if sum(sizes[d] for d in held) >= total * share:
            break
        held.add(document)
    first, known = len(held), set().union(*(of[d] for d in of.keys() - held))
    for limit in _STRICTER:
        _move(held, known, of, limit=limit)
        if _shared(held, known, of) <= MOST_SHARED:
            break
    shared, left = _shared(held, known, of), sum(sizes[d] for d in held)
    if left < LEAST_HELD_OUT or shared > MOST_SHARED:
        raise PartsOverlap(moved=first - len(held), left=left, least=LEAST_HELD_OUT, percent=round(100 * shared, 1))
    return Parted(frozenset(held), first - len(held), shared)


def _move(held: set[int], known: set[str], of: Mapping[int, set[str]], *, limit: float) -> None:
    """Take documents out of `held` that share more than `limit` of their shingles with `known`, which then has theirs, until none does."""
    while moving := [d for d in sorted(held) if len(of[d] & known) > limit * len(of[d])]:
        for document in moving:
            held.discard(document)
            known |= of[document]


def _shared(held: Iterable[int], known: set[str], of: Mapping[int, set[str]]) -> float:
    mine = set().union(*(of[d] for d in held))
    return len(mine & known) / len(mine) if mine else 0.0
