"""What the small taggers look at: characters of Chinese, words of English, and what the lists of names and words say about them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

from ringfence.deid import people

_FOREIGN = frozenset(people.FOREIGN)
_LATIN = re.compile(r"[A-Za-z]+")
_WORK = re.compile(r"《[^《》]{1,30}(?:》|$)")
_COMMON = 10  # occurrences from which a word counts as common
_LONGEST_WORD = 6  # characters of a word that is looked up
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[^\w\s]|_")
_SAYS = "说 称 表示 认为 指出 介绍 告诉 透露 强调 回忆 坦言 解释 补充 宣布 回应 接受 担任 出任 出席 主演 执导 饰演 先生 女士 小姐 教授 博士 医生 主任 经理 总监 律师 法官 老师 同志 同学".split()
_ROLES = "记者 导演 主演 演员 主帅 教练 球员 队长 选手 歌手 作者 教授 博士 主席 总统 总理 部长 市长 局长 书记 院长 校长 主任 经理 总监 总裁 董事长 律师 法官 医生 患者 原告 被告 同事 专家 先生 女士 小姐 老师 同学 姓名 联系人 负责人 分析师 研究员 玩家 编剧 前锋 后卫 中场 门将 女星 男星 明星 艺人 主持人 设计师 创始人".split()
_ORGANISATION = frozenset(
    "inc ltd llc plc corp co company corporation group bank hospital clinic university college school court ministry agency institute foundation association council partners holdings church party club fc united committee commission department".split()
)


@cache
def words_zh() -> frozenset[str]:
    """Return common Chinese words of two to six characters, names of persons excluded."""
    return frozenset(word for word, count in _words("zh") if count >= _COMMON)


@cache
def all_words_zh() -> frozenset[str]:
    """Return Chinese words of two to eight characters, rare ones and frequent names, too."""
    return frozenset(word for word, _ in _words("zh"))


@cache
def frequencies_zh() -> dict[str, int]:
    """Return how often each Chinese word stands in the list's source."""
    return dict(_words("zh"))


@cache
def words_en() -> frozenset[str]:
    """Return common English words in lower case, given names excluded that are no other word."""
    return frozenset(word for word, _ in _words("en"))


def _words(language: str) -> Iterator[tuple[str, int]]:
    packed = (files("ringfence.deid") / "data" / f"words_{language}.txt.gz").read_bytes()
    for line in gzip.decompress(packed).decode().splitlines():
        word, _, count = line.partition(" ")
        yield word, int(count)


@cache
def _starts() -> frozenset[str]:
    return frozenset(word[:2] for word in words_zh())


def cut_zh(text: str) -> list[int]:
    """Return, for each character, its place in the longest common word that begins at the leftmost free place: 0 alone, 1 first, 2 middle, 3 last."""
    known, starts = words_zh(), _starts()
    places = [0] * len(text)
    at = 0
    while at < len(text) - 1:
        length = 1
        if text[at : at + 2] in starts:
            length = next((n for n in range(min(_LONGEST_WORD, len(text) - at), 1, -1) if text[at : at + n] in known), 1)
        if length > 1:
            places[at : at + length] = [1, *[2] * (length - 2), 3]
        at += length
    return places


@cache
def class_zh(character: str) -> str:
    """Return what a character is: parts of names by their lists, digits, letters, punctuation."""
    known = people.names()
    if "\u3400" <= character <= "\u9fff":
        rank = known.ranks.get(known.surnames.get(character, ""), -1) if character in known.surnames else -1
        surname = "" if rank < 0 else "S" if list(known.surnames).index(character) < 100 else "s"  # noqa: PLR2004  frequent ones
        return surname + (known.groups.get(character, "")) + ("F" if character in _FOREIGN else "")
    return "9" if character.isdigit() else "a" if character.isalpha() else "·" if character == "·" else "."


def characters(text: str) -> list[list[str]]:
    """Return the features of each character of a Chinese sentence."""
    n = len(text)
    padded = f"\x01\x01{text}\x01\x01"
    classes = ["#", "#", *[class_zh(c) for c in text], "#", "#"]
    places = cut_zh(text)
    cuts = [9, 9, *places, 9, 9]
    compound = people.names().compound
    said, roles = hints(text)
    words, works = latin(text), titles(text)
    rows = []
    for i in range(n):
        a, b, c, d, e = tuple(padded[i : i + 5])
        p, q, r, s, t = classes[i : i + 5]
        x, y, z = cuts[i + 1 : i + 4]
        row = [
            "c" + c, "b" + b, "d" + d, "a" + a, "e" + e, "bc" + b + c, "cd" + c + d, "ab" + a + b, "de" + d + e,
            f"r{r}", f"qr{q},{r}", f"rs{r},{s}", f"qrs{q},{r},{s}", f"rst{r},{s},{t}", f"pqr{p},{q},{r}",
            f"z{z}{r}", f"yz{y}{z}", f"zx{z}{cuts[i + 3]}", f"xyz{x}{y}{z}{cuts[i + 3]}",
        ]  # fmt: skip
        if i in said:
            row.append(f"says{said[i]}")
        if i in roles:
            row.append(f"role{roles[i]}")
        if c + d in compound:
            row.append("compound")
        if i in words:
            row += words[i]
        if i in works:
            row.append("title")
        rows.append(row)
    return rows


_SAYS_PATTERN = re.compile("|".join(sorted(_SAYS, key=len, reverse=True)))
_ROLES_PATTERN = re.compile("|".join(sorted(_ROLES, key=len, reverse=True)))


def latin(text: str) -> dict[int, list[str]]:
    """Return, for the letters of each Latin word, what the lists say about it and its shape."""
    found: dict[int, list[str]] = {}
    for match in _LATIN.finditer(text):
        word = match[0]
        told = [f"L{_lists(word)}", f"S{_shape(word)}{min(len(word), 8)}"] + (["common"] if word.lower() in words_en() else [])
        found |= dict.fromkeys(range(*match.span()), told)
    return found


def titles(text: str) -> set[int]:
    """Return the characters that stand in the name of a work: 《…》."""
    return {n for match in _WORK.finditer(text) for n in range(*match.span())}


def hints(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return characters up to 4 before a verb of saying or a title, and up to 4 behind a role, with the distance."""
    said: dict[int, int] = {}
    for match in _SAYS_PATTERN.finditer(text):
        for distance in range(1, 5):
            said.setdefault(match.start() - distance, distance)
    roles: dict[int, int] = {}
    for match in _ROLES_PATTERN.finditer(text):
        for distance in range(4):
            roles.setdefault(match.end() + distance, distance)
    return said, roles


# ── English ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def tokens(text: str) -> list[tuple[int, int]]:
    """Return the ranges of words, numbers and marks of a text."""
    return [match.span() for match in _TOKEN.finditer(text)]


@cache
def _shape(word: str) -> str:
    if not word[0].isalpha():
        return "9" if word[0].isdigit() else word
    if word.islower():
        return "x"
    if word.isupper():
        return "X" if len(word) == 1 else "XX"
    return "Xx" if word[1:].islower() else "xX"


@cache
def _lists(word: str) -> str:
    known, low = people.names(), word.lower()
    found = known.group_of.get(low, "")
    return (
        (f"F{found}" if found else "")
        + ("L" if low in known.last_known else "")
        + ("T" if low.rstrip(".") in people.TITLES_EN else "")
        + ("O" if low in _ORGANISATION else "")
        + ("p" if low in known.ranks else "")
    )


def words(parts: Sequence[str]) -> list[list[str]]:
    """Return the features of each word of an English text."""
    low = [part.lower() for part in parts]
    shapes, lists = [_shape(part) for part in parts], [_lists(part) for part in parts]
    rows = []
    for i, word in enumerate(low):
        row = ["w" + word, "s" + shapes[i], "l" + lists[i], "3" + word[-3:], "2" + word[-2:], "1" + word[:3]]
        for step in (-2, -1, 1, 2):
            if 0 <= i + step < len(low):
                row += [f"w{step}{low[i + step]}", f"s{step}{shapes[i + step]}", f"l{step}{lists[i + step]}"]
            else:
                row.append(f"end{step}")
        row.append(f"ss{shapes[i]},{shapes[i + 1] if i + 1 < len(low) else ''}")
        row.append(f"pp{shapes[i - 1] if i else ''},{shapes[i]}")
        row.append(f"ll{lists[i]},{lists[i + 1] if i + 1 < len(low) else ''}")
        rows.append(row)
    return rows
