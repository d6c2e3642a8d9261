"""Which of several claims on the same characters counts."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.deid.recogniser import Span


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


def _one(group: list[Span]) -> Span:
    if len(group) == 1:
        return group[0]
    start, end = min(s.start for s in group), max(s.end for s in group)
    outer = [s for s in group if (s.start, s.end) == (start, end)]
    best = min(outer or group, key=lambda s: (-s.score, s.start - s.end, s.start, s.kind))
    return Span(start, end, best.kind, best.score)
