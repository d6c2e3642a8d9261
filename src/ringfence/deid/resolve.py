"""Which of several claims on the same characters counts."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, filterfalse

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
        others = [span for span in group if not is_kept(span)] if kept else group
        while kept:
            shield = _Reach(one for one in kept if one.kind in shields)
            strong = [span for span in others if span.score > KNOWN or not shield.covers(span)]
            standing = list(filterfalse(_Reach(strong).touches, kept))
            if len(standing) == len(kept):
                others = strong
                break
            kept = standing
        done += [*others, *kept]
    return done


class _Reach:
    """How far to the right spans reach that begin up to a place; asked about one span, it looks at few of many."""

    def __init__(self, spans: Iterable[Span]) -> None:
        ordered = sorted(spans)
        self._starts = [span.start for span in ordered]
        self._ends = list(accumulate((span.end for span in ordered), max))

    def covers(self, span: Span) -> bool:
        """Return True when one of the spans holds all of this one."""
        before = bisect_right(self._starts, span.start)
        return before > 0 and self._ends[before - 1] >= span.end

    def touches(self, span: Span) -> bool:
        """Return True when one of the spans shares characters with this one."""
        before = bisect_left(self._starts, span.end)
        return before > 0 and self._ends[before - 1] > span.start


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
