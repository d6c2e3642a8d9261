"""Terms that only insiders know: what a set says often, holds together, and no dictionary has.

Sources: pointwise mutual information over the weakest cut (Bouma 2009, Normalized (Pointwise) Mutual Information in Collocation Extraction) and
the entropy of neighbours (Jin and Tanaka-Ishii 2006, Unsupervised Segmentation of Chinese Text by Use of Branching Entropy).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.deid.features import all_words_zh, words_en

_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:[-/.+][A-Za-z0-9]+)*|[0-9]+|[\u3400-\u9fff]|.", re.DOTALL)
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z]")
_LONGEST = 8  # tokens of a term
_CUES_ZH = tuple(
    "计划 平台 系统 项目 模型 方案 工程 专项 行动 引擎 框架 协议 中台 产品 算法 组件 服务 网关 数据库 实验室 专班 小组 战略 指数 基金 号机 芯片 版本 二期 一期".split()
)
_CUES_EN = frozenset(
    "project platform system program programme initiative operation engine framework suite service portal gateway plan".split()
)
_SHAPE = re.compile(r"[a-z]+[A-Z]|[A-Z]{2,}[a-z]|[A-Z][a-z]+[A-Z]|[A-Za-z]+[-_/]?[0-9]|[A-Z]{2,}")
_FUNCTION = frozenset(
    "的了是在和与及或就都也而但被把对从向到为于以之其这那有不个们吗呢吧啊很更最等将已并由如若则且即又再还只让给跟比按经过着可会能要请您你我他她它"
)
_EDGES_EN = frozenset(
    "the a an of and or to in on at for with by from is are was were be been it this that these those as we you they he she i our your his her their its not".split()
)
_HELD = 10.0  # nats of mutual information from which more say nothing
_OFTEN = 20  # occurrences from which more say nothing: a whole set speaks of MRI
_NAMED = 2.5  # times as likely with a word like 平台 or Project beside it
_SHORT = 4  # letters of an abbreviation that could be anything
_WITHIN = 0.8  # of a term's occurrences stand inside one longer term: then it is a fragment


class Candidate(NamedTuple):
    """A possible term: how often it occurs and how it was ranked."""

    term: str
    occurrences: int
    score: float


def candidates(texts: Iterable[str], *, least: int = 3, most: int = 2_000) -> list[Candidate]:
    """Return possible internal terms, the likeliest first.

    texts: what a set holds, with NUL for every character that de-identification replaces anyway.
    least: occurrences; what is said once or twice cannot be told from a slip.
    """
    tokens, starts = _numbered(texts)
    names = sorted(tokens, key=tokens.__getitem__)
    grams = _grams(starts, least=least, letters=names)
    found = [made for length in range(1, _LONGEST + 1) for made in _judged(grams, length, starts, names)]
    return sorted(found, key=lambda c: (-c.score, c.term))[:most]


def _numbered(texts: Iterable[str]) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Return tokens by number and the texts as numbers: 0 for whatever ends a term."""
    tokens: dict[str, int] = {"": 0}
    row: list[int] = []
    for text in texts:
        for piece in _TOKEN.findall(text):
            if piece == " ":
                continue
            is_part = _HAN.match(piece) or _WORD.match(piece) or piece.isdigit()
            row.append(tokens.setdefault(piece, len(tokens)) if is_part else 0)
        row.append(0)
    return tokens, np.array(row or [0], dtype=np.int64)


class _Grams(NamedTuple):
    """Per length n, from 1: the number of the n-gram that begins at each place (0: too rare), and how often each number occurs."""

    at: list[NDArray[np.int64]]
    counts: list[NDArray[np.int64]]


def _grams(row: NDArray[np.int64], *, least: int, letters: Sequence[str]) -> _Grams:
    at, counts = [row], [np.bincount(row, minlength=len(letters))]
    for n in range(2, _LONGEST + 1):
        before, last = at[-1], np.concatenate([row[n - 1 :], np.zeros(n - 1, dtype=np.int64)])
        suffix = np.concatenate([at[-1][1:], [0]])  # a frequent n-gram begins and ends with frequent ones
        keys = np.where((before > 0) & (last > 0) & (suffix > 0), before * (int(row.max()) + 1) + last, 0)
        values, numbers, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        kept = (sizes >= least) & (values > 0)
        fresh = np.where(kept, np.cumsum(kept), 0)
        at.append(fresh[numbers])
        counts.append(np.concatenate([[0], sizes[kept]]))
        if not kept.any():
            break
    if len(at) > 1:
        rare = counts[0] < least
        at[0] = np.where(rare[row], 0, row)
    return _Grams(at, counts)


def _judged(grams: _Grams, n: int, row: NDArray[np.int64], names: Sequence[str]) -> Iterator[Candidate]:
    if n > len(grams.at):
        return
    at, counts = grams.at[n - 1], grams.counts[n - 1]
    places = np.flatnonzero(at)
    if not len(places):
        return
    left = _entropy(at[places], np.where(places > 0, row[places - 1], 0), len(counts))
    right = _entropy(at[places], row[np.minimum(places + n, len(row) - 1)], len(counts))
    within = _within(grams, n, places, at, counts)
    first: dict[int, int] = {}
    for place, number in zip(places.tolist(), at[places].tolist(), strict=True):
        first.setdefault(number, place)
    total = float(len(row))
    for number, place in first.items():
        parts = [names[token] for token in row[place : place + n]]
        term = _joined(parts)
        if within[number] >= _WITHIN or not _is_possible(parts, term):
            continue
        cohesion = _cohesion(grams, n, place, total) if n > 1 else 0.0
        score = _score(parts, term, int(counts[number]), cohesion, min(left[number], right[number]))
        if score > 0:
            yield Candidate(term, int(counts[number]), round(score, 4))


def _entropy(numbers: NDArray[np.int64], neighbours: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Return the entropy (nats) of what stands beside each n-gram; every end of a clause is a neighbour of its own."""
    ends = neighbours == 0
    unique = np.where(ends, -np.arange(1, len(neighbours) + 1), neighbours)
    _, counts, owners = _pairs(numbers, unique)
    totals = np.bincount(owners, weights=counts, minlength=size)
    share = counts / totals[owners]
    return np.bincount(owners, weights=-share * np.log(share), minlength=size).astype(np.float64)


def _pairs(numbers: NDArray[np.int64], others: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    order = np.lexsort((others, numbers))
    a, b = numbers[order], others[order]
    new = np.concatenate([[True], (a[1:] != a[:-1]) | (b[1:] != b[:-1])])
    begins = np.flatnonzero(new)
    return order[begins], np.diff(np.concatenate([begins, [len(a)]])), a[begins]


def _within(grams: _Grams, n: int, places: NDArray[np.int64], at: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the largest share of each n-gram's occurrences that stand in one (n+1)-gram."""
    share = np.zeros(len(counts))
    if n >= len(grams.at):
        return share
    longer, sizes = grams.at[n], grams.counts[n]
    np.maximum.at(share, at[places], sizes[longer[places]] / counts[at[places]])
    behind = places[places > 0]
    np.maximum.at(share, at[behind], sizes[longer[behind - 1]] / counts[at[behind]])
    return share


def _cohesion(grams: _Grams, n: int, place: int, total: float) -> float:
    """Return the pointwise mutual information (nats) of the weakest cut."""
    whole = float(grams.counts[n - 1][grams.at[n - 1][place]])
    weakest = float("inf")
    for k in range(1, n):
        a = float(grams.counts[k - 1][grams.at[k - 1][place]])
        b = float(grams.counts[n - k - 1][grams.at[n - k - 1][place + k]])
        weakest = min(weakest, log(whole * total / (a * b)))
    return weakest


def _joined(parts: Sequence[str]) -> str:
    made = parts[0]
    for before, part in pairwise(parts):
        made += (" " if before.isascii() and part.isascii() else "") + part
    return made


def _is_possible(parts: Sequence[str], term: str) -> bool:
    if parts[0] in _FUNCTION or parts[-1] in _FUNCTION or parts[0].lower() in _EDGES_EN or parts[-1].lower() in _EDGES_EN:
        return False
    if all(part.isdigit() for part in parts):
        return False
    if not _HAN.search(term):
        return len(term) > 2 and not term.islower() and not all(part.lower() in words_en() and part.islower() for part in parts)  # noqa: PLR2004
    return len(term) > 1 and term not in all_words_zh()


def _score(parts: Sequence[str], term: str, count: int, cohesion: float, freedom: float) -> float:
    """Return how likely a term is: it holds together, stands free, is in no dictionary, and looks like one."""
    cue = next((c for c in _CUES_ZH if term.endswith(c) and len(term) > len(c)), "")
    is_named = bool(cue) or (len(parts) > 1 and bool(_CUES_EN & {parts[0].lower(), parts[-1].lower()}))
    shape = _shape(term)
    held = 1.0 if len(parts) == 1 else min(max(cohesion, 0.0), _HELD) / _HELD
    free = 1 / (1 + exp(-3.0 * (freedom - 0.9)))
    return (
        _unknown(parts, term.removesuffix(cue) or term) * (_NAMED if is_named else 1.0) * shape * held * free * log(1 + min(count, _OFTEN))
    )


def _shape(term: str) -> float:
    """Return more for what is written like a name of a thing: AlphaGo, ABC-123, x9; an abbreviation of few letters is one of many."""
    if not _SHAPE.search(term):
        return 1.0
    return 1.0 if term.isalpha() and term.isupper() and len(term) <= _SHORT else 1.8


def _unknown(parts: Sequence[str], stem: str) -> float:
    """Return the share of a stem's characters that no word of two characters or more covers; of Latin words, the share that is not English."""
    if not _HAN.search(stem):
        latin = [part for part in parts if part.isascii() and part.isalpha()]
        return sum(part.lower() not in words_en() for part in latin) / max(1, len(parts)) if latin else 1.0
    covered, at = 0, 0
    known = all_words_zh()
    while at < len(stem):
        length = next((n for n in range(min(_LONGEST, len(stem) - at), 1, -1) if stem[at : at + n] in known), 0)
        covered += length
        at += length or 1
    return max(0.05, 1 - covered / len(stem))
