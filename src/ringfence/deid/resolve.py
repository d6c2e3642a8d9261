"""Which of several claims on the same characters counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ringfence.deid.recogniser import KNOWN, Span

_ADDRESSES = frozenset({"STREET_ADDRESS", "CN_ADDRESS"})
_PLACES = _ADDRESSES | {"LOCATION", "REGION", "POSTCODE"}
_GAP = re.compile(r"[ ,，、\n>?()]{0,8}")


def resolve(spans: Iterable[Span]) -> list[Span]:
    """Return disjoint spans, in order, that cover exactly the characters that the given ones cover.

    Overlapping spans become one: nothing that a recogniser claimed stays in the clear because another one claimed its neighbour.
    It takes the kind of the span that covers the whole, else of the surest (secret, checked, Luhn, term, known, keyworded, shape), then the
    longer, then the earlier.
    """
    return [_one(group) for group in _groups(spans)]


def _groups(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Yield the spans in groups that overlap, in order."""
    group: list[Span] = []
    end = -1
    for span in sorted(spans):
        if group and span.start >= end:
            yield group
            group = []
        end = max(end, span.end) if group else span.end
        group.append(span)
    if group:
        yield group


def apart(spans: Iterable[Span], *, is_kept: Callable[[Span], bool], shields: frozenset[str]) -> list[Span]:
    """Return the spans without those that are to stay in the text although another one that is not overlaps them: nothing hides behind what stays.

    A span of the kinds in `shields`, a date for one, is what it is: what claims some of its characters and is no surer than a known value gives way.
    """
    done: list[Span] = []
    for group in _groups(spans):
        kept = [span for span in group if is_kept(span)] if len(group) > 1 else []
        others = [span for span in group if span not in kept] if kept else group
        while kept:
            strong = [span for span in others if not any(_shields(one, span, shields) for one in kept)]
            standing = [one for one in kept if not any(one.start < span.end and span.start < one.end for span in strong)]
            if len(standing) == len(kept):
                others = strong
                break
            kept = standing
        done += [*others, *kept]
    return done


def _shields(one: Span, span: Span, kinds: frozenset[str]) -> bool:
    return one.kind in kinds and span.score <= KNOWN and one.start <= span.start and span.end <= one.end


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
