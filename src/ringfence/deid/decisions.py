"""What a team decided about internal terms: the tenant's dictionary, and the file that it can be filled from."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.errors import NotCanonical, ObjectBroken, TermsFileRefused
from ringfence.core.settings import Settings
from ringfence.core.text import t
from ringfence.deid.terms import normal

FILE = "terms.json"  # inside the sealed object
Decision = Literal["accept", "keep", "generalise"]
Verb = Literal["accept", "keep", "generalise", "forget"]
Kind = Literal["system", "project", "organisation", "product", "place", "code"]
KINDS: Mapping[Kind, tuple[str, str]] = {  # Chinese, English
    "system": ("内部系统", "internal system"),
    "project": ("内部项目", "internal project"),
    "organisation": ("内部机构", "internal organisation"),
    "product": ("内部产品", "internal product"),
    "place": ("内部地点", "internal place"),
    "code": ("内部代号", "internal code"),
}
VERBS: tuple[Verb, ...] = ("accept", "keep", "generalise", "forget")
_SHORTEST, _LONGEST = 2, 200  # characters of a term
_MOST_BYTES = 16 << 20
_COLUMNS = ("term", "decision", "as")
_LATIN_LEAST, _HAN_LEAST, _ALIKE_LEAST = 3, 2, 5  # characters of a part, of an alike spelling


class Entry(Settings):
    """One term and what happens to it."""

    term: Annotated[str, Field(min_length=_SHORTEST, max_length=_LONGEST)]
    decision: Decision
    kind: Kind | None = None  # of the generic word; None: a system

    @property
    def word(self) -> str:
        """The generic word, in the script of the term."""
        zh, en = KINDS[self.kind or "system"]
        return en if self.term.isascii() else zh


class _File(Settings):
    format: Literal["ringfence.terms/1"] = "ringfence.terms/1"
    entries: tuple[Entry, ...] = ()


class Dictionary:
    """Decisions by the normal form of their term: one for all its spellings. Never in a file but a sealed one."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {normal(entry.term): entry for entry in entries}

    @classmethod
    def from_bytes(cls, data: bytes) -> Dictionary:
        """Return the dictionary of a sealed file.

        Raises: ObjectBroken.
        """
        try:
            return cls(_File.model_validate(parse_canonical(data)).entries)
        except (ValidationError, NotCanonical):
            raise ObjectBroken(file=0) from None  # the cause would quote it

    def to_bytes(self) -> bytes:
        """Return the canonical file: equal decisions give equal bytes."""
        entries = tuple(self._entries[key] for key in sorted(self._entries))
        return canonical(_File(entries=entries).model_dump(mode="json"))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def of(self, term: str) -> Entry | None:
        """Return the decision on a term, however it is spelt."""
        return self._entries.get(normal(term))

    def set(self, term: str, verb: Verb, kind: Kind | None = None) -> bool:
        """Decide, or forget what was decided, and return whether that changed anything."""
        key = normal(term)
        before = self._entries.pop(key, None)
        if verb == "forget":
            return before is not None
        self._entries[key] = Entry(term=before.term if before else term, decision=verb, kind=kind if verb == "generalise" else None)
        return self._entries[key] != before

    def replaced(self) -> tuple[str, ...]:
        """Return the terms that are not kept, sorted."""
        return tuple(sorted(entry.term for entry in self if entry.decision != "keep"))

    def generic(self) -> dict[str, str]:
        """Return the generic word of each generalised term, by its normal form."""
        return {key: entry.word for key, entry in self._entries.items() if entry.decision == "generalise"}

    def counts(self) -> dict[Decision, int]:
        """Return how many terms were decided in each way."""
        return {verb: sum(entry.decision == verb for entry in self) for verb in ("accept", "keep", "generalise")}

    def linked(self, term: str) -> str | None:
        """Return a replaced term of which `term` is a part, an abbreviation or another spelling, the longest one; None without one."""
        found = [entry.term for entry in self if entry.decision != "keep" and is_linked(term, entry.term)]
        return max(found, key=lambda other: (len(other), other), default=None)


def is_linked(term: str, other: str) -> bool:
    """Return whether one of two terms holds the other, shortens it, or differs from it in one character."""
    a, b = sorted((normal(term), normal(other)), key=len)
    if a == b or not a:
        return False
    least = _LATIN_LEAST if a.isascii() else _HAN_LEAST
    if len(a) >= least and a in b:
        return True
    return _shortens(*sorted((term, other), key=lambda one: len(normal(one)))) or (len(a) >= _ALIKE_LEAST and _differs_once(a, b))


def _shortens(short: str, long: str) -> bool:
    """Return whether `short` takes a letter of each part of `long` (BH of Blue Heron), or characters of both of its halves (璇台 of 璇玑平台)."""
    if short.isascii():
        initials = "".join(c for before, c in zip(" " + long, long, strict=False) if c.isupper() or (c.isalnum() and before in " -_"))
        return len(short) > 1 and short.isupper() and short == initials.upper()
    at, places = 0, []
    for character in short:
        at = long.find(character, at) + 1
        if not at:
            return False
        places.append(at - 1)
    return 1 < len(short) < len(long) and places[0] == 0 and places[-1] >= len(long) // 2


def _differs_once(a: str, b: str) -> bool:
    """Return whether one character more, less or other makes `b` of `a`, which is not longer."""
    if len(b) - len(a) > 1:
        return False
    same = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    return a[same + (len(a) == len(b)) :] == b[same + 1 :]


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_decisions(path: Path) -> list[tuple[str, Verb, Kind | None]]:
    """Return the decisions of a CSV file with the columns term[,decision[,as]], or of plain text with a term a line: those are accepted.

    Empty lines and lines that begin with # are skipped, and so is a head line. A plain term may hold a comma within quotes only.

    Raises: TermsFileRefused, which names lines and quotes none.
    """
    try:
        return decisions_of(path.read_bytes())
    except OSError as cause:
        raise TermsFileRefused(problem=t("the file cannot be read", "文件无法读取")) from cause


def decisions_of(data: bytes) -> list[tuple[str, Verb, Kind | None]]:
    """Return the decisions of a file's bytes; see `read_decisions`.

    Raises: TermsFileRefused.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TermsFileRefused(problem=t("it is not UTF-8", "不是 UTF-8")) from None
    if len(data) > _MOST_BYTES:
        raise TermsFileRefused(problem=t("it is larger than {most} bytes", "超过 {most} 字节", most=_MOST_BYTES))
    found: dict[str, tuple[str, Verb, Kind | None]] = {}
    lines: dict[str, int] = {}
    for line, cells in _cells(text):
        term, verb, kind = _checked(cells, line)
        key = normal(term)
        if found.setdefault(key, (term, verb, kind))[1:] != (verb, kind):
            raise _refused(line, t("it contradicts line {other}", "它与第 {other} 行矛盾", other=lines[key]))
        lines.setdefault(key, line)
    if not found:
        raise TermsFileRefused(problem=t("it holds no term", "其中没有术语"))
    return list(found.values())


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of every line that says something."""
    reader = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    is_first = True
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            raise _refused(reader.line_num, t("its quotes do not end, or it is too long", "引号未闭合，或该行过长")) from None
        if row is None:
            return
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        is_head = is_first and tuple(cell.lower() for cell in cells) == _COLUMNS[: len(cells)]
        is_first = False
        if not is_head:
            yield reader.line_num, cells


def _checked(cells: Sequence[str], line: int) -> tuple[str, Verb, Kind | None]:
    if len(cells) > len(_COLUMNS):
        raise _refused(line, t("it has more than three columns", "多于三列"))
    term, verb, kind = (*cells, "", "")[:3]
    if len(normal(term)) < _SHORTEST:
        raise _refused(line, t("the term is shorter than {n} characters", "术语不足 {n} 个字符", n=_SHORTEST))
    if len(term) > _LONGEST:
        raise _refused(line, t("the term is longer than {n} characters", "术语超过 {n} 个字符", n=_LONGEST))
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in term):
        raise _refused(line, t("the term holds a control character", "术语含有控制字符"))
    wanted = verb.lower() or ("generalise" if kind else "accept")
    if wanted not in VERBS:
        raise _refused(line, t("the decision is none of {known}", "决定不是 {known} 之一", known=", ".join(VERBS)))
    if kind and (kind.lower() not in KINDS or wanted != "generalise"):
        problem = t("the third column is for generalise, one of {known}", "第三列仅用于 generalise，取值为 {known}", known=", ".join(KINDS))
        raise _refused(line, problem)
    return term, VERBS[VERBS.index(wanted)], next((one for one in KINDS if one == kind.lower()), None)


def _refused(line: int, problem: str) -> TermsFileRefused:
    return TermsFileRefused(problem=t("line {line}: {problem}", "第 {line} 行：{problem}", line=line, problem=problem))
