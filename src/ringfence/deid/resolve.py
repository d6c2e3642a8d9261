"""Which of several claims on the same characters counts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ringfence.deid.recogniser import Span

_ADDRESSES = frozenset({"STREET_ADDRESS", "CN_ADDRESS"})
_PLACES = _ADDRESSES | {"LOCATION", "REGION", "POSTCODE"}
_GAP = re.compile(r"[ ,，、\n>?()]{0,8}")


def resolve(spans: Iterable[Span]) -> list[Span]:
    """Return disjoint spans, in order, that cover exactly the characters that the given ones cover.

    Overlapping spans become one: nothing that a recogniser claimed stays in the clear because another one claimed its neighbour.
    It takes the kind of the span that covers the whole, else of the surest (secret, checked, Luhn, term, known, keyworded, shape), then the
    longer, then the earlier.
    """
    done: list[Span] = []
    group: list[Span] = []
    end = -1
    for span in sorted(spans):
        if group and span.start >= end:
            done.append(_one(group))
            group = []
        end = max(end, span.end) if group else span.end
        group.append(span)
    return [*done, _one(group)] if group else done


def joined(spans: Iterable[Span], text: str) -> list[Span]:
    """Return the spans with an address, and the places, regions and postcodes that stand beside it, as one: between them are spaces and commas only.

    spans: disjoint and in order; `text`: what they are spans of.
    """
    done: list[Span] = []
    for span in spans:
        before = done[-1] if done else None
        kinds = {before.kind, span.kind} if before else set()
        if before and kinds <= _PLACES and kinds & _ADDRESSES and _GAP.fullmatch(text, before.end, span.start):
            kind = before.kind if before.kind in _ADDRESSES else span.kind
            done[-1] = Span(before.start, span.end, kind, max(before.score, span.score))
        else:
            done.append(span)
    return done


def _one(group: list[Span]) -> Span:
    if len(group) == 1:
        return group[0]
    start, end = min(s.start for s in group), max(s.end for s in group)
    outer = [s for s in group if (s.start, s.end) == (start, end)]
    best = min(outer or group, key=lambda s: (-s.score, s.start - s.end, s.start, s.kind))
    return Span(start, end, best.kind, best.score)
