r"""Recognisers from a file of Presidio's: `recognizers:` with patterns, deny lists and context words.

Presidio's expressions mark a word's edge by `\b`, to which a Chinese character is a word character: in `卡号4111111111111111到期` the number has no
edge. `\b` and `\B` are read as edges of ASCII words here, and a repeat without an end ends after 256 times; everything else means what it means there (with Presidio's flags: any case, `.` matches
all, `^` and `$` match at lines).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ringfence.core.errors import PresidioUnreadable
from ringfence.core.problems import first_problem
from ringfence.core.text import t
from ringfence.deid.compat import cost
from ringfence.deid.draw import DIGITS, UPPER, Draw
from ringfence.deid.fold import fold
from ringfence.deid.recogniser import CHECKED, SEPARATOR, Span

_FLAGS = re.DOTALL | re.MULTILINE | re.IGNORECASE
_MOST_BYTES = 1 << 20
_EDGE = r"(?:(?<![A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<=[A-Za-z0-9_])(?![A-Za-z0-9_]))"
_NO_EDGE = r"(?:(?<![A-Za-z0-9_])(?![A-Za-z0-9_])|(?<=[A-Za-z0-9_])(?=[A-Za-z0-9_]))"
_EDGES = {r"\b": _EDGE, r"\B": _NO_EDGE}
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?#[^)]*\)|\(\?|\{[0-9]*,?[0-9]*\}|.", re.DOTALL)
_REPEAT = re.compile(r"[*+?]|\{(?P<least>[0-9]+)(?:,[0-9]*)?\}|\{,[0-9]+\}")
_LEAST, _BOOST = 0.4, 0.35  # Presidio's: the least score with a context word, and what the word adds
_BEFORE = 64  # characters in which a context word counts
_SHAPED = 4  # ASCII letters and digits that make a value one of a certain look


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Pattern(_Closed):
    name: str = ""
    regex: Annotated[str, Field(min_length=1, max_length=10_000)]
    score: Annotated[float, Field(ge=0, le=1)]


class _Language(_Closed):
    language: str
    context: tuple[str, ...] = ()


class _Recogniser(_Closed):
    name: str
    supported_entity: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,39}$")]
    type: str = "custom"
    enabled: bool = True
    patterns: tuple[_Pattern, ...] = ()
    deny_list: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    deny_list_score: Annotated[float, Field(ge=0, le=1)] = 1.0
    context: tuple[str, ...] = ()
    supported_language: str | None = None  # languages are read, and every text is searched
    supported_languages: tuple[_Language | str, ...] = ()
    country_code: str | None = None
    version: str | None = None


class FromPresidio:
    """One recogniser of a file. It searches texts itself: its expressions know look-around, which the common automaton does not."""

    def __init__(self, read: _Recogniser) -> None:
        self.name, self._kind = read.name, read.supported_entity
        self._patterns = [(re.compile(repaired(p.regex), _FLAGS), p.score) for p in read.patterns]
        if read.deny_list:
            words = "|".join(re.escape(fold(word).text) for word in sorted(read.deny_list, key=len, reverse=True))
            self._patterns.append((re.compile(rf"(?<![A-Za-z0-9_])(?:{words})(?![A-Za-z0-9_])", _FLAGS), read.deny_list_score))
        languages = [word for language in read.supported_languages if isinstance(language, _Language) for word in language.context]
        context = [fold(word).text for word in (*read.context, *languages)]
        edges = "|".join(re.escape(word) for word in context)
        self._context = re.compile(rf"(?<![A-Za-z0-9])(?:{edges})(?![A-Za-z0-9])", _FLAGS) if context else None

    @property
    def kinds(self) -> frozenset[str]:
        """What it finds: the entity's name in the file."""
        return frozenset({self._kind})

    def find(self, text: str) -> Iterator[Span]:
        """Yield the spans of a folded block, text by text; those of different patterns may overlap.

        As in Presidio, a context word before a match raises its score; what stays below 0.4 does not count.
        """
        at = 0
        for piece in text.split(SEPARATOR):
            for pattern, score in self._patterns:
                for match in pattern.finditer(piece):
                    start, end = match.span()
                    sure = self._score(piece, start, score) if end > start else 0.0
                    if sure >= _LEAST:
                        yield Span(at + start, at + end, self._kind, sure)
            at += len(piece) + 1

    def _score(self, text: str, start: int, score: float) -> float:
        if self._context is not None and self._context.search(text, max(0, start - _BEFORE), start):
            score = max(score + _BOOST, _LEAST)
        return min(score, CHECKED)  # 1.0 is what a secret has

    def normalise(self, value: str) -> str:
        """Return the value in lower case with single spaces."""
        return " ".join(value.lower().split())

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a value of the same look; the kind with a random word for one without ASCII letters and digits."""
        shaped = draw.scramble(value)
        if sum(a.isascii() and a.isalnum() for a in value) >= _SHAPED and value.isascii():
            return shaped
        return f"{self._kind}-{draw.text(UPPER + DIGITS, 6)}"


def repaired(expression: str) -> str:
    r"""Return an expression with \b and \B as edges of ASCII words, and with repeats that end: after 256 times.

    In a class, \b stays a backspace and * + { are themselves.
    """
    done: list[str] = []
    at, is_repeat = 0, False  # is_repeat: a + or ? now says how the repeat before it is tried
    while at < len(expression):
        piece = _piece(expression, at)
        at += len(piece)
        was_repeat, is_repeat = is_repeat, False
        if piece in _EDGES:
            done.append(_EDGES[piece])
        elif was_repeat and piece in ("+", "?"):
            done.append(piece)
        elif match := _REPEAT.fullmatch(piece):
            done.append(_ended(piece, match["least"]))
            is_repeat = True
        else:
            done.append(piece)
    return "".join(done)


def _piece(expression: str, at: int) -> str:
    """Return what stands there: an escape, a class, a repeat, the beginning of a group, or a character."""
    match = _PIECE.match(expression, at)
    return match[0] if match else expression[at]


def _ended(repeat: str, least: str | None) -> str:
    if repeat in "*+":
        return f"{{{int(repeat == '+')},{cost.LONGEST}}}"
    return f"{{{least},{max(cost.LONGEST, int(least))}}}" if least is not None and repeat.endswith(",}") else repeat


def read(path: Path) -> list[FromPresidio]:
    """Return the recognisers of a file, those that are not enabled left out.

    Raises: PresidioUnreadable, also for a recogniser that only Presidio's code has, and for an expression that could take more than linear time.
    """
    try:
        return recognisers_of(path.read_bytes())
    except OSError as cause:
        raise PresidioUnreadable(problem=t("the file cannot be read", "文件无法读取")) from cause


def recognisers_of(data: bytes) -> list[FromPresidio]:
    """Return the recognisers of a file's bytes; see `read`.

    Raises: PresidioUnreadable.
    """
    made = [FromPresidio(entry) for entry in _entries(data) if entry.enabled]
    if not made:
        raise PresidioUnreadable(problem=t("it holds no recogniser that is enabled", "其中没有启用的识别器"))
    return made


def kinds_of(parts: Sequence[FromPresidio]) -> tuple[str, ...]:
    """Return the kinds that they find, sorted."""
    return tuple(sorted({kind for part in parts for kind in part.kinds}))


def _entries(data: bytes) -> Iterator[_Recogniser]:
    document = _document(data)
    if not isinstance(document, dict) or not isinstance(document.get("recognizers"), list):
        raise PresidioUnreadable(problem=t("it has no list `recognizers:`", "没有列表 `recognizers:`"))
    for number, entry in enumerate(document["recognizers"], 1):
        named = entry if isinstance(entry, str) else entry.get("name", "") if isinstance(entry, dict) else ""
        if isinstance(entry, str) or (isinstance(entry, dict) and entry.get("type") == "predefined"):
            if isinstance(entry, dict) and entry.get("enabled") is False:
                continue
            why = t(
                "recogniser {number} ({name}) is Presidio's own code; remove it, the profile's parts stand for those",
                "第 {number} 个识别器（{name}）是 Presidio 自带的代码；请移除，方案中的部件已有相应功能",
                number=number,
                name=named,
            )
            raise PresidioUnreadable(problem=why)
        yield _checked(number, entry)


def _checked(number: int, entry: Any) -> _Recogniser:  # noqa: ANN401  what YAML holds
    try:
        found = _Recogniser.model_validate(entry)
    except ValidationError as cause:
        where, problem = first_problem(cause)
        said = t(
            "recogniser {number}: {key}: {problem}",
            "第 {number} 个识别器：{key}：{problem}",
            number=number,
            key=".".join(where) or "-",
            problem=problem,
        )
        raise PresidioUnreadable(problem=said) from cause
    if not found.patterns and not found.deny_list:
        raise PresidioUnreadable(
            problem=t("recogniser {number} has neither patterns nor a deny list", "第 {number} 个识别器既无模式也无词表", number=number)
        )
    for place, pattern in enumerate(found.patterns, 1):
        try:
            cost.check(repaired(pattern.regex))
        except cost.Unbounded as cause:
            why = t(
                "pattern {place} of recogniser {number} could take very long on some texts (repeats inside or beside repeats, or a back reference)",
                "第 {number} 个识别器的第 {place} 个模式在某些文本上可能耗时极长（重复嵌套或相邻，或反向引用）",
                place=place,
                number=number,
            )
            raise PresidioUnreadable(problem=why) from cause
        except (re.error, RecursionError, OverflowError) as cause:
            why = t(
                "pattern {place} of recogniser {number} cannot be compiled",
                "第 {number} 个识别器的第 {place} 个模式无法编译",
                place=place,
                number=number,
            )
            raise PresidioUnreadable(problem=why) from cause
    return found


def _document(data: bytes) -> Any:  # noqa: ANN401
    if len(data) > _MOST_BYTES:
        raise PresidioUnreadable(problem=t("it is larger than {most} bytes", "超过 {most} 字节", most=_MOST_BYTES))
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as cause:
        raise PresidioUnreadable(problem=t("it is not YAML", "不是 YAML")) from cause
