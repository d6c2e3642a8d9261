"""The dictionary of internal terms: names of projects, systems and places that only insiders know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ringfence.core.errors import TermsUnreadable
from ringfence.core.text import t
from ringfence.deid.draw import DIGITS, UPPER, Draw
from ringfence.deid.fold import fold
from ringfence.deid.recogniser import TERM, Span, cuts_a_word

KIND = "TERM"
_SHORTEST = 2  # characters
_MOST_BYTES = 16 << 20
_BETWEEN = dict.fromkeys(map(ord, " -_"))
_PIECE = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+|[ _-]+|[^A-Za-z0-9 _-]+")
_LEAST_VARIED = 3  # characters of a term without separators: of a shorter one only what is written is meant
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
# Neutral names, Chinese and English; the first pair that holds none of the terms is used.
_NAMES = (("内部项目", "Project "), ("内部系统", "System "), ("代称", "Item "))


def read_terms(path: Path) -> tuple[str, ...]:
    """Return the terms of a file, one a line, in order, without duplicates; empty lines and lines that begin with # are skipped.

    Raises: TermsUnreadable.
    """
    try:
        return terms_of(path.read_bytes())
    except OSError as cause:
        raise TermsUnreadable(problem=t("the file cannot be read", "文件无法读取")) from cause


def terms_of(data: bytes) -> tuple[str, ...]:
    """Return the terms of a file's bytes; see `read_terms`.

    Raises: TermsUnreadable.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as cause:
        raise TermsUnreadable(problem=t("it is not UTF-8", "不是 UTF-8")) from cause
    if len(data) > _MOST_BYTES:
        raise TermsUnreadable(problem=t("it is larger than {most} bytes", "超过 {most} 字节", most=_MOST_BYTES))
    terms = dict.fromkeys(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    short = [n for n, line in enumerate(lines, 1) if 0 < len(line.strip()) < _SHORTEST and not line.startswith("#")]
    if short:
        raise TermsUnreadable(
            problem=t("line {n} is shorter than {least} characters", "第 {n} 行不足 {least} 个字符", n=short[0], least=_SHORTEST)
        )
    if not terms:
        raise TermsUnreadable(problem=t("it holds no term", "其中没有术语"))
    return tuple(terms)


def lowered(text: str) -> str:
    """Return `text` with A to Z in lower case and nothing else changed: terms are found in any ASCII case."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def normal(term: str) -> str:
    """Return the form in which the spellings of one term are equal: folded, ASCII lower case, without what may stand between its parts."""
    return lowered(fold(term.strip()).text).translate(_BETWEEN)


def folded_terms(terms: Iterable[str]) -> tuple[str, ...]:
    """Return the terms as they are searched, in every spelling: folded, ASCII lower case, without duplicates, sorted."""
    return tuple(sorted({low for term in terms for form in spellings(term) if len(low := lowered(form)) >= _SHORTEST}))


def spellings(term: str) -> set[str]:
    """Return a folded term as it is written and with other separators between its parts.

    Between Latin parts, where a space, a hyphen, an underscore, a capital or a digit begins one, may stand nothing or any of the three; between Latin
    and Chinese nothing or a space: ORC-219平台 is found as `ORC 219 平台`, BlueHeron as `blue heron`. All gaps of one sort are written alike.
    """
    folded = fold(term.strip()).text
    if len(normal(folded)) < _LEAST_VARIED:
        return {folded}
    pieces: list[str] = _PIECE.findall(folded)
    parts = [pieces[0]]
    gaps: list[tuple[str, bool]] = []  # what stands between a part and the next one, and whether both are Latin
    between = ""
    for piece in pieces[1:]:
        if piece.strip(" -_"):
            is_latin = _is_latin(parts[-1][-1]) and _is_latin(piece[0])
            is_gap = is_latin or ((parts[-1] + piece).isascii() is False and (_is_latin(parts[-1][-1]) or _is_latin(piece[0])))
            if between or is_gap:
                gaps.append((between, is_latin))
                parts.append(piece)
            else:
                parts[-1] += piece
            between = ""
        else:
            between += piece

    def written(latin: str | None, script: str | None) -> str:
        made = parts[0]
        for (found, is_latin), part in zip(gaps, parts[1:], strict=True):
            instead = latin if is_latin else script
            made += (found if instead is None else instead) + part
        return made

    return {folded} | {written(latin, script) for latin in (None, "", " ", "-", "_") for script in (None, "", " ")}


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


class TermSearch:
    """Finds terms in Python, for machines without Vectorscan."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._by_start: dict[str, list[str]] = {}
        for term in terms:
            self._by_start.setdefault(term[:_SHORTEST], []).append(term)

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return the ranges of every occurrence of every term in a folded text, sorted."""
        if not self._by_start:
            return []
        low, starts = lowered(text), self._by_start
        candidates = (i for i in range(len(low) - 1) if low[i : i + _SHORTEST] in starts)
        return [
            (i, i + len(term)) for i in candidates for term in sorted(starts[low[i : i + _SHORTEST]], key=len) if low.startswith(term, i)
        ]


def longest(text: str, ranges: Iterable[tuple[int, int]]) -> list[Span]:
    """Return the spans of the longest term at each place; inside a longer ASCII word a term does not count."""
    spans: list[Span] = []
    for start, end in sorted(ranges, key=lambda r: (r[0], -r[1])):
        if spans and end <= spans[-1].end:
            continue
        if not cuts_a_word(text, start) and not cuts_a_word(text, end):
            spans.append(Span(start, end, KIND, TERM))
    return spans


def neutral_names(terms: Sequence[str]) -> tuple[str, str]:
    """Return the first words, Chinese and English, of names that hold none of the folded terms; empty ones if there are none left."""
    return next((names for names in _NAMES if not any(term in lowered("".join(names)) for term in terms)), ("", ""))


def stand_in(value: str, draw: Draw, *, names: tuple[str, str]) -> str:
    """Return a neutral name in the script of `value`, such as 内部项目A731 or Project A731."""
    return names[value.isascii()] + draw.choice(UPPER) + draw.text(DIGITS, 3)
