"""Terms that only insiders know: what a set says often, holds together, and no dictionary has.

Sources: pointwise mutual information over the weakest cut (Bouma 2009, Normalized (Pointwise) Mutual Information in Collocation Extraction) and
the entropy of neighbours (Jin and Tanaka-Ishii 2006, Unsupervised Segmentation of Chinese Text by Use of Branching Entropy).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.deid.english import is_calendar, is_english, is_given_name
from ringfence.deid.features import all_words_zh, frequencies_zh
from ringfence.deid.people import FOREIGN
from ringfence.deid.terms import normal

_TOKEN = re.compile(r"[A-Za-z]+n['’]t|[A-Za-z][A-Za-z0-9_]*(?:[-.+][A-Za-z0-9]+)*|[0-9]+(?:\.[0-9]+)*|[\u3400-\u9fff]|.", re.DOTALL)
_HAN = re.compile(r"[\u3400-\u9fff]")
_DIGITS = re.compile(r"[0-9]+")
_LATIN_PART = re.compile(r"[A-Za-z0-9._+-]+")
_HAN_RUN = re.compile(r"[\u3400-\u9fff]+")
_WORD = re.compile(r"[A-Za-z]")
_LONGEST = 8  # tokens of a term
_WORD_ZH = 5  # characters of a word that texts are cut into
_CUES_ZH = tuple(
    "计划 平台 系统 项目 模型 方案 工程 专项 行动 引擎 框架 协议 中台 产品 算法 组件 服务 网关 数据库 实验室 专班 小组 战略 指数 基金 号机 芯片 版本 一期 二期"
    " 三期 中心 中枢 大脑 底座 驾驶舱 看板 台账 门户 总线 接口 沙箱 仓库 专区 园区 基地 产线 车间 标段 课题 试点 战役 联盟 工作台 控制台 小程序 客户端 机器人"
    " 助手 矩阵 办公室 委员会 工作组 规范 规约 手册 工坊 站点 主机 节点 集群".split()
)
_CUES_EN = frozenset(
    "project platform system program programme initiative operation engine framework suite service portal gateway plan dashboard registry ledger scheduler"
    " pipeline cluster server console tracker workspace hub desk unit lab taskforce committee site".split()
)
_SHAPE = re.compile(r"[a-z]+[A-Z]|[A-Z]{2,}[a-z]|[A-Z][a-z]+[A-Z]|[A-Za-z]+[-_/]?[0-9]|[A-Z]{2,}|[a-z]_[a-z]")
_VOWEL = re.compile(r"[aeiouy]")
_MODIFIER = re.compile(r"[A-Z0-9]+-[a-z]{3,}|[a-z]+-[A-Z0-9]+")  # HIV-positive, non-ABC: an adjective made of a candidate
_PLURAL = re.compile(r"[A-Z]{2,5}s")  # of an abbreviation
_MEASURES = frozenset("年月日号时点分秒岁个次位名人种类级天周元条项例米克倍层届期度卷版万亿千百页章件只路线")
_JOINERS_EN = frozenset("of and for the in on to & de la".split())  # inside a name
_INSIDE = frozenset("的了吗呢吧")  # in no name
_FOREIGN = frozenset(FOREIGN)
_FUNCTION = frozenset(
    "的了是在和与及或就都也而但被把对从向到为于以之其这那有不个们吗呢吧啊很更最等将已并由如若则且即又再还只让给跟比按经过着可会能要请您你我他她它"
)
_EDGES_EN = frozenset(
    "the a an of and or to in on at for with by from is are was were be been it this that these those as we you they he she i our your his her their its not".split()
)
# From this score on somebody should look before a training. On the third generator of benchmarks/deid_terms.py, 20 planted sets: 17 such candidates
# a set on average, and 9 of them were planted ones (of 25 that masking had left); at 1.0 it is 39 and 15, at 2.0 it is 9 and 6.
STRONG = 1.5
_HELD = 10.0  # nats of mutual information from which more say nothing
_OFTEN = 8  # texts from which more say nothing: a whole set speaks of MRI
_LOWER = 0.5  # of a Latin word that no list has, without a capital: technical words are like that, and names seldom
_SOUNDS = 0.4  # of a Chinese word that is written with the characters for foreign sounds: a drug, a player
_GIVEN = 0.3  # of a Latin word that is a given name
_NAMED = 2.5  # times as likely with a word like 平台 or Project beside it
_CAPITAL = 0.6  # what a capital amid a sentence says of a word that everybody knows
_RARE = 0.4  # what a word says that everybody knows and few use; one that all use says nothing
_ONCE, _ALL = 3.0, 9.0  # nats: logarithms of how often such words stand in the list
_LEAST_SHAPED = 2  # occurrences of what no sentence holds by accident
_LISTED = 0.6  # taken from what stands in enumerations or titles: drugs, teams and works do, and systems seldom
_LISTING = frozenset("、《》")
_TWICE = 0.5  # of what stands there less often than asked for
_CROWD = 15  # how many of one kind are a crowd
_EVEN = 0.75  # 1: each kind gets as much of the list as any other
_COMPOSED, _PART = 0.5, 2  # of what holds a candidate that occurs so many times as often
_FIGURE, _SERIES = 0.3, 3  # of Chinese with numbers that stands there with so many different ones: 胜2平, 5月
_SHORT = 4  # letters of an abbreviation that could be anything
_WITHIN = 0.8  # of a term's occurrences stand inside one longer term: then it is a fragment


class Candidate(NamedTuple):
    """A possible term: how often it occurs and how it was ranked."""

    term: str
    occurrences: int
    score: float


class _Row(NamedTuple):
    """All texts as one row of numbers: 0 for whatever ends a term.

    cut: a word of the dictionary may begin here; [tokens + 1]. text: which one. listed: an end that stands in enumerations and around titles.
    """

    tokens: NDArray[np.int64]
    cut: NDArray[np.bool_]
    text: NDArray[np.int32]
    listed: NDArray[np.bool_]
    names: Sequence[str]


def candidates(texts: Iterable[str], *, least: int = 3, most: int = 2_000) -> list[Candidate]:
    """Return possible internal terms, the likeliest first.

    texts: what a set holds, with NUL for every character that de-identification replaces anyway. Memory grows with them: give a sample.
    least: occurrences; what is said once or twice cannot be told from a slip, unless it is written as no word is.
    """
    row = _numbered(texts)
    grams = _grams(row.tokens, least=least, letters=row.names)
    found = [made for length in range(1, _LONGEST + 1) for made in _judged(grams, length, row, least=least)]
    return sorted(_evened(_gathered(found)), key=lambda c: (-c.score, c.term))[:most]


def _gathered(found: Sequence[Candidate]) -> list[Candidate]:
    """Return one candidate for all spellings of a term, with less for what is only composed of a more frequent one and for figures with their units."""
    by_form: dict[str, list[Candidate]] = {}
    figures: dict[str, set[str]] = {}
    for candidate in found:
        by_form.setdefault(normal(candidate.term), []).append(candidate)
        figures.setdefault(_DIGITS.sub("0", candidate.term), set()).add(candidate.term)
    made = []
    for some in by_form.values():
        best = max(some, key=lambda c: (c.occurrences, c.score, c.term))
        count, score = sum(c.occurrences for c in some), max(c.score for c in some)
        if not best.term.isascii():
            parts = {part.lower() for part in _LATIN_PART.findall(best.term)} | {
                best.term.removesuffix(c) for c in _CUES_ZH if best.term.endswith(c)
            }
            if any(c.occurrences >= _PART * count for part in parts for c in by_form.get(normal(part), ()) if c.term != best.term):
                score *= _COMPOSED
            if len(figures[_DIGITS.sub("0", best.term)]) >= _SERIES:
                score *= _FIGURE
        made.append(Candidate(best.term, count, score))
    return made


def _evened(found: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield the candidates with scores that different ways of writing share a list by.

    A set about medicine has a hundred abbreviations that no dictionary knows, and one about games a hundred Latin names; what is as unlikely as
    the crowd of its kind tells less. So the scores of each kind are divided by what the kind's 15th best has, where that is much.
    """
    kinds: dict[str, list[Candidate]] = {}
    for candidate in found:
        kinds.setdefault(_writing(candidate.term), []).append(candidate)
    for some in kinds.values():
        scores = sorted((c.score for c in some), reverse=True)
        crowd = max(1.0, scores[_CROWD - 1]) if len(scores) >= _CROWD else 1.0
        yield from (c._replace(score=round(c.score / crowd**_EVEN, 4)) for c in some)


def _writing(term: str) -> str:
    """Return the way in which a term is written."""
    if term.isascii():
        if " " in term:
            return "words"
        if term.isalpha() and (term.isupper() or _PLURAL.fullmatch(term)):
            return "abbreviation"
        return "code" if _SHAPE.search(term) else "word"
    if _WORD.search(term) or any(c.isdigit() for c in term):
        return "mixed"
    return "named" if term.endswith(_CUES_ZH) else "characters"


def _numbered(texts: Iterable[str]) -> _Row:
    numbers: dict[str, int] = {"": 0}
    row, cut, owner, listed = array("q"), bytearray(), array("i"), bytearray()
    for n, text in enumerate(texts):
        begins = _word_begins(text)
        for match in _TOKEN.finditer(text):
            piece = match[0]
            if piece == " ":
                continue
            is_part = _HAN.match(piece) or _WORD.match(piece) or piece[0].isdigit()
            row.append(numbers.setdefault(piece, len(numbers)) if is_part else 0)
            cut.append(match.start() in begins or not _HAN.match(piece))
            listed.append(piece in _LISTING)
        row.append(0)
        cut.append(1)
        listed.append(0)
        owner.extend([n] * (len(row) - len(owner)))
    if not row:
        row.append(0)
        cut.append(1)
        owner.append(0)
        listed.append(0)
    cut.append(1)
    listed.append(0)
    names = sorted(numbers, key=numbers.__getitem__)
    return _Row(
        tokens=np.array(row, dtype=np.int64),
        cut=np.frombuffer(cut, dtype=np.uint8).astype(bool),
        text=np.array(owner, dtype=np.int32),
        listed=np.frombuffer(listed, dtype=np.uint8).astype(bool),
        names=names,
    )


def _word_begins(text: str) -> set[int]:
    """Return where a word begins if Chinese is cut into the longest words of the dictionary, from the front or from the back.

    A fragment such as 生素 begins inside a word however it is cut; a name that no dictionary has falls into single characters.
    """
    begins: set[int] = set()
    known = all_words_zh()
    for run in _HAN_RUN.finditer(text):
        start, end = run.span()
        at = start
        while at < end:
            begins.add(at)
            at += next((n for n in range(min(_WORD_ZH, end - at), 1, -1) if text[at : at + n] in known), 1)
        at = end
        while at > start:
            at -= next((n for n in range(min(_WORD_ZH, at - start), 1, -1) if text[at - n : at] in known), 1)
            begins.add(at)
    return begins


class _Grams(NamedTuple):
    """Per length n, from 1: the number of the n-gram that begins at each place (0: too rare), and how often each number occurs."""

    at: list[NDArray[np.int64]]
    counts: list[NDArray[np.int64]]


def _grams(row: NDArray[np.int64], *, least: int, letters: Sequence[str]) -> _Grams:
    at, counts = [row], [np.bincount(row, minlength=len(letters))]
    for n in range(2, _LONGEST + 1):
        before, last = at[-1].astype(np.int64), np.concatenate([row[n - 1 :], np.zeros(n - 1, dtype=np.int64)])
        suffix = np.concatenate([at[-1][1:], [0]])  # a frequent n-gram begins and ends with frequent ones
        keys = np.where((before > 0) & (last > 0) & (suffix > 0), before * (int(row.max()) + 1) + last, 0)
        values, numbers, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        kept = (sizes >= least) & (values > 0)
        fresh = np.where(kept, np.cumsum(kept), 0)
        at.append(fresh[numbers].astype(np.int32))
        counts.append(np.concatenate([[0], sizes[kept]]))
        if not kept.any():
            break
    if len(at) > 1:
        rare = counts[0] < least
        at[0] = np.where(rare[row], 0, row)
    return _Grams(at, counts)


def _judged(grams: _Grams, n: int, row: _Row, *, least: int) -> Iterator[Candidate]:
    if n > len(grams.at):
        return
    tokens, names = row.tokens, row.names
    at, counts = (tokens, grams.counts[0]) if n == 1 else (grams.at[n - 1], grams.counts[n - 1])
    places = np.flatnonzero(at if n > 1 else (at > 0) & (counts[at] >= min(least, _LEAST_SHAPED)))
    if not len(places):
        return
    numbers, size = at[places], len(counts)
    before = np.where(places > 0, tokens[places - 1], 0)
    left = _entropy(numbers, before, size)
    right = _entropy(numbers, tokens[np.minimum(places + n, len(tokens) - 1)], size)
    within = _within(grams, n, places, at, counts)
    # [n-grams], the share of the occurrences that stand amid a sentence, and of those that no word of the dictionary crosses the ends of
    amid = _share(numbers, before > 0, size)
    apart = 1 - _LISTED * _share(numbers, row.listed[places - 1] | row.listed[places + n], size)
    whole = _share(numbers, row.cut[places] & row.cut[places + n], size)
    texts = np.bincount(_pairs(numbers, row.text[places].astype(np.int64))[2], minlength=size)  # [n-grams], in how many texts it stands
    first = np.full(size, -1)
    first[numbers[::-1]] = places[::-1]
    total = float(len(tokens))
    for number in np.unique(numbers).tolist():
        place = int(first[number])
        parts = [names[token] for token in tokens[place : place + n]]
        term = _joined(parts)
        count = int(counts[number])
        if within[number] >= _WITHIN or not _is_possible(parts, term) or (count < least and _shape(term) <= 1):
            continue
        cohesion = _cohesion(grams, n, place, total) if n > 1 else 0.0
        freedom = float(min(left[number], right[number])) / log(min(max(count, 2), _OFTEN))
        score = float(whole[number] * apart[number]) * _score(
            parts, term, texts=int(texts[number]), cohesion=cohesion, freedom=freedom, amid=float(amid[number])
        )
        score *= _TWICE if count < least else 1.0
        if score > 0:
            yield Candidate(term, count, round(score, 4))


def _share(numbers: NDArray[np.int64], holds: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    """Return, for each number, the share of its places at which something holds."""
    return np.bincount(numbers, weights=holds, minlength=size) / np.maximum(np.bincount(numbers, minlength=size), 1)


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
    if _is_function(term, parts) or parts[0].lower() in _EDGES_EN or parts[-1].lower() in _EDGES_EN:
        return False
    if "'" in term or "’" in term or _MODIFIER.fullmatch(term):
        return False
    if all(part[0].isdigit() for part in parts) or any(a[0].isdigit() and b in _MEASURES for a, b in pairwise(parts)):
        return False
    if not _HAN.search(term):
        return len(term) > 2 and (len(parts) == 1 or all(map(_in_name, parts)))  # noqa: PLR2004
    return len(term) > 1 and term not in all_words_zh() and not _INSIDE.intersection(parts)


def _is_function(term: str, parts: Sequence[str]) -> bool:
    """Return whether a term begins or ends with a word that only joins others; 过 does, and 过山车 does not."""
    known = all_words_zh()
    first = parts[0] in _FUNCTION and not any(term[:n] in known for n in range(2, _WORD_ZH))
    return first or (parts[-1] in _FUNCTION and not any(term[-n:] in known for n in range(2, _WORD_ZH)))


def _in_name(part: str) -> bool:
    """Return whether a word can stand in a Latin name of several words: English writes them with capitals, but for the small words within."""
    return not part.islower() or part in _JOINERS_EN or part in _CUES_EN or not is_english(part)


def _score(parts: Sequence[str], term: str, *, texts: int, cohesion: float, freedom: float, amid: float) -> float:
    """Return how likely a term is: it holds together, stands free, is in no dictionary, and looks like one."""
    cue = next((c for c in _CUES_ZH if term.endswith(c) and len(term) > len(c)), "")
    is_named = bool(cue) or (len(parts) > 1 and bool(_CUES_EN & {parts[0].lower(), parts[-1].lower()}))
    held = 1.0 if len(parts) == 1 else min(max(cohesion, 0.0), _HELD) / _HELD
    free = float(min(max(freedom, 0.0), 1.0) ** 1.5)
    stem = term.removesuffix(cue) or term
    unknown = _unknown_zh(stem) if _HAN.search(stem) else _unknown_en(parts[: len(parts) - len(cue)], amid)
    return unknown * (_NAMED if is_named else 1.0) * _shape(term) * held * free * log(1 + min(texts, _OFTEN))


def _shape(term: str) -> float:
    """Return more for what is written like a name of a thing: AlphaGo, ABC-123, x9, a_b; an abbreviation of few letters is one of many."""
    if not _SHAPE.search(term):
        return 1.0
    return 1.0 if _PLURAL.fullmatch(term) or (term.isalpha() and term.isupper() and len(term) <= _SHORT) else 1.8


def _unknown_en(parts: Sequence[str], amid: float) -> float:
    """Return the share of the Latin words that are not English; a capital amid a sentence makes a name of an English one, too.

    amid: the share of the occurrences that stand amid a sentence.
    """
    latin = [part for part in parts if part[0].isascii() and part[0].isalpha()]
    if not latin:
        return 1.0
    return sum(_unknown_word(part, amid) for part in latin) / len(parts)


def _unknown_word(part: str, amid: float) -> float:
    if is_given_name(part):
        return _GIVEN
    if not is_english(part):
        is_word = part.islower() and not _SHAPE.search(part) and _VOWEL.search(part)
        return _LOWER if is_word else 1.0
    return 0.0 if part.islower() or is_calendar(part) else _CAPITAL * amid


@cache
def _rarity(word: str) -> float:
    count = abs(frequencies_zh().get(word, 0))
    return _RARE * min(max((_ALL - log(1 + count)) / (_ALL - _ONCE), 0.0), 1.0)


def _unknown_zh(stem: str) -> float:
    """Return the share of a stem's characters that no word of two characters or more covers; a rare word counts in part."""
    known = all_words_zh()
    unknown, at = 0.0, 0
    while at < len(stem):
        length = next((n for n in range(min(_LONGEST, len(stem) - at), 1, -1) if stem[at : at + n] in known), 1)
        unknown += 1.0 if length == 1 else length * _rarity(stem[at : at + length])
        at += length
    is_sound = len(stem) > 2 and _FOREIGN.issuperset(stem)  # noqa: PLR2004
    return max(0.05, unknown / len(stem)) * (_SOUNDS if is_sound else 1.0)


def pattern(term: str) -> re.Pattern[str]:
    """Return what finds a candidate in the texts that it was counted in: its parts, with nothing or a space between them, and no longer word."""
    between = " *".join(re.escape(part) for part in _TOKEN.findall(term) if part != " ")
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{between})(?![A-Za-z0-9_])" if term.isascii() else between)
