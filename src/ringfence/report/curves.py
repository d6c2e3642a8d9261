"""What the pictures show, exactly: counts a bin, the corners of a ROC curve, places on an axis. Pure, and without a drawing."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_MOST_BINS = 40
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400  # s
_STEPS = (*(n * _MINUTE for n in (1, 5, 15, 30)), *(n * _HOUR for n in (1, 3, 6, 12)), *(n * _DAY for n in (1, 2, 7, 14, 30, 91, 182, 365)))
_APART = 0.78  # of an axis: where numbers end when a value that is none stands at its right end
GAP = (1 + _APART) / 2  # of an axis: where the two part


class Bin(NamedTuple):
    """One bar: bits from `lower` up to, not including, `upper`."""

    lower: int
    upper: int
    planted: int
    held_out: int


class Point(NamedTuple):
    """One corner of a ROC curve, in canaries: called "in" among the others and among the members."""

    others: int
    members: int


class Axis(NamedTuple):
    """Where values stand on an axis from 0 to 1."""

    places: list[float]
    joined: list[int]  # positions of the values that a line may join, from left to right
    is_parted: bool  # the value at the right end is no number, and stands behind a gap


def histogram(planted: Sequence[float], held_out: Sequence[float], *, reach: float) -> list[Bin]:
    """Return bins of whole bits that hold every value once and reach beyond `reach`, lowest first."""
    together = [*planted, *held_out]
    low, high = math.floor(min([0.0, *together])), max(math.floor(max([reach, *together])) + 1, 1)
    width = math.ceil((high - low) / _MOST_BINS)
    counts = [Counter((math.floor(value) - low) // width for value in side) for side in (planted, held_out)]
    edges = range(low, high, width)
    return [Bin(edge, edge + width, counts[0][at], counts[1][at]) for at, edge in enumerate(edges)]


def roc(members: Sequence[float], others: Sequence[float]) -> list[Point]:
    """Return the corners of the curve from (0, 0) to (every other, every member).

    A point stands for "call in whoever scores at least so much"; equal scores move together, so that the line between two points halves the ties
    as the area under the curve must.
    """
    hits, alarms = Counter(members), Counter(others)
    points = [Point(0, 0)]
    for score in sorted(hits.keys() | alarms.keys(), reverse=True):
        last = points[-1]
        new = Point(last.others + alarms[score], last.members + hits[score])
        if len(points) > 1 and _is_straight(points[-2], last, new):
            points.pop()
        points.append(new)
    return points


def share_found(points: Sequence[Point], at: float) -> float:
    """Return the largest share of the members that some threshold calls in while it calls in a share `at` of the others at most."""
    allowed = math.floor(at * points[-1].others + 1e-9)
    return points[bisect.bisect_right(points, Point(allowed, points[-1].members)) - 1].members / points[-1].members


def ticks(largest: int) -> list[int]:
    """Return 0 and round steps up to the first at or above `largest`: six at most."""
    power = 10 ** max(0, math.floor(math.log10(max(largest, 1) / 5)))
    step = next(size * power for size in (1, 2, 5, 10) if size * power * 5 >= largest)
    return list(range(0, math.ceil(max(largest, 1) / step) * step + 1, step))


def instants(first: int, last: int) -> list[int]:
    """Return round times from `first` to `last`, in seconds since 1970, six at most; from two days on they are whole days of UTC."""
    span = last - first
    step = next((one for one in _STEPS if one * 5 >= span), math.ceil(span / (5 * _STEPS[-1])) * _STEPS[-1])
    return list(range(math.ceil(first / step) * step, last + 1, step))


def spaced(places: Sequence[tuple[float, float]], *, least: float) -> list[bool]:
    """Return which of these places, in order, stand so far from the last one chosen, sideways or in height, that they can bear a label."""
    chosen: list[bool] = []
    last = (-math.inf, -math.inf)
    for place in places:
        chosen.append(max(abs(place[0] - last[0]), abs(place[1] - last[1])) >= least)
        last = place if chosen[-1] else last
    return chosen


def axis(values: Sequence[float | None]) -> Axis:
    """Return where each value stands; None is one that is no number.

    Numbers above zero stand by their logarithm, the smallest at the left, and a single value that is none apart at the right end. Other numbers stand
    evenly by size, and words evenly as they come.
    """
    ranked = sorted((value, at) for at, value in enumerate(values) if value is not None)
    joined, others = [at for _, at in ranked], len(values) - len(ranked)
    is_positive = bool(ranked) and ranked[0][0] > 0
    if is_positive and others <= 1:
        least, right = ranked[0][0], _APART if others else 1.0
        width = math.log(ranked[-1][0] / least)
        found = [1.0 if value is None else (math.log(value / least) / width if width else 0.5) * right for value in values]
        return Axis(found, joined, is_parted=bool(others))
    if not others:
        return Axis(_evenly([joined.index(at) for at in range(len(values))]), joined, is_parted=False)
    return Axis(_evenly(range(len(values))), [], is_parted=False)


def _evenly(ranks: Sequence[int]) -> list[float]:
    return [rank / max(1, len(ranks) - 1) for rank in ranks]


def steps(low: float, high: float) -> list[float]:
    """Return round numbers at even distances, seven at most, the first at or below `low` and the last at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(size * power for size in (1, 2, 5, 10) if size * power * 5 >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [number * step for number in range(first, last + 1)]


def _is_straight(first: Point, middle: Point, last: Point) -> bool:
    """Return whether the middle point shows nothing; one between two ties stays, as a threshold can stand there."""
    return first.others == middle.others == last.others or first.members == middle.members == last.members
