"""The other ways in which a person who is named in a record is named there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from ringfence.deid import dates, people
from ringfence.deid.literals import is_loose, key_of
from ringfence.deid.named import GIVEN_NAME, PERSON, REGION, STAND_INS
from ringfence.deid.numerals import NUMERALS
from ringfence.deid.recogniser import KEYWORDED

_HAN = re.compile(r"[\u3400-\u9fff]+")
_CASED = re.compile(r"[A-Za-z\u00c0-\u058f]")
_MEASURE = re.compile(r"[-+<>]?[0-9]{1,4}(?:[.,/:][0-9]{1,4})* ?[A-Za-z%/]{0,6}")
_SPACE = re.compile(r"\s")
_LEAST_CODE, _LEAST_DIGITS = 5, 7
_CODED = re.compile(r"(?:[^A-Za-z0-9]*[A-Za-z0-9]){4}")
# Kinds of few values: the date that one person's is moved to is another's, and that is no original left. Patterns find them wherever they stand.
SHARED = frozenset({"AGE", "DATE"})
_SHARED = re.compile(rf"[\x00-\x7f{dates.UNITS}{NUMERALS}]{{1,40}}")  # what one of them is written in
_TITLES = "先生 女士 小姐 太太 夫人 老师 教授 博士 医生 医师 大夫 护士 主任 院长 律师 法官 经理 总 工 某 某某 阿姨 叔叔 大爷 大妈 同学 师傅 警官".split()
_TELLING_PERSON, _TELLING_OTHER = 3, 4  # Chinese characters
_SHORTEST_PART = 2  # letters of a word of an English name


def is_telling(kind: str, value: str, score: float) -> bool:
    """Return True when a folded value is looked up in the whole set, not only in the record in which it was found.

    A name counts in other records only if it is long enough not to be a word there: two words in Latin letters; three Chinese characters of a
    person's name and four of an organisation's or place's, or two behind a key word or in a column for names.
    Of other kinds, whatever has four ASCII letters or digits: an age of 90 is a number in many places, and so is one in Chinese.
    """
    if kind in (GIVEN_NAME, REGION):
        return False
    if kind not in STAND_INS:
        return _CODED.match(value) is not None
    if not _HAN.search(value):
        return len(people.words(value)) > 1 or (score >= KEYWORDED and not _CASED.search(value))
    characters = len("".join(value.split()))
    if score >= KEYWORDED and characters > 1:
        return True
    return characters >= (_TELLING_PERSON if kind == PERSON else _TELLING_OTHER)


def is_shared(kind: str, text: str) -> bool:
    """Return True for a value of a kind of few: whatever it is equal to, it is no original that was left. What a recogniser of a tenant's own calls a date may be more."""
    return kind in SHARED and _SHARED.fullmatch(text) is not None


def is_countable(kind: str, value: str) -> bool:
    """Return True when it is worth counting where else a value that is not telling stands: a name of two letters or Chinese characters at least."""
    return kind in STAND_INS and kind not in (GIVEN_NAME, REGION) and len(value) > 1 and not value.isdigit()


def closed_up(kind: str, value: str) -> str | None:
    """Return a Chinese name that a form spreads (张　三) as running text writes it (张三); None for what is not spread."""
    closed = "".join(value.split())
    return closed if kind == PERSON and closed != value and _HAN.fullmatch(closed) else None


def is_code(value: str) -> bool:
    """Return True for what a column may hold to tell one record from another: letters with digits, at least five, or seven digits; no date, no measure."""
    if not value.isascii() or dates.parse(value) is not None:
        return False
    digits = value.replace("-", "").replace(" ", "")
    if digits.isdigit():
        return len(digits) >= _LEAST_DIGITS
    has_both = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return has_both and sum(map(str.isalnum, value)) >= _LEAST_CODE and not _MEASURE.fullmatch(value) and not _SPACE.search(value)


class Form(NamedTuple):
    """One way to name somebody, and its key as a literal."""

    kind: str
    text: str
    key: str


def forms(kind: str, value: str) -> Iterator[Form]:
    """Yield in what forms what was found in a record is looked up there: as it is written and, for persons, in the variants of the name."""
    yield Form(kind, value, key_of(value))
    if kind == PERSON:
        yield from (Form(of_kind, text, key_of(text)) for of_kind, text in of(value))
        core = _core(value)
        if _HAN.fullmatch(core) and (surname := people.surname_of(core)) and 1 <= len(core) - len(surname) <= 2:  # noqa: PLR2004
            yield from _titled(surname)


@cache
def _titled(surname: str) -> tuple[Form, ...]:
    texts = [surname + title for title in _TITLES] + ([before + surname for before in "小老"] if len(surname) == 1 else [])
    return tuple(Form(PERSON, text, key_of(text)) for text in texts)


def of(value: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, folded text) for the variants of a folded name without titles; the name itself is not among them.

    They are looked up in the record that names the person, not in others: 王医生 is somebody else there.
    """
    core = _core(value)
    if _HAN.fullmatch(core):
        if closed_up(PERSON, value):
            yield PERSON, core
        yield from _chinese(core)
    elif not _HAN.search(core):
        yield from _western(core)


def _core(value: str) -> str:
    core = people.without_titles(value)
    return closed_up(PERSON, core) or core


def _chinese(name: str) -> Iterator[tuple[str, str]]:
    surname = people.surname_of(name)
    given = name.removeprefix(surname)
    if not surname or not 1 <= len(given) <= 2:  # noqa: PLR2004  a given name's characters
        return
    if len(given) > 1:
        yield GIVEN_NAME, given
    yield PERSON, " ".join(name)
    first, last = people.sound_of_surname(surname), [people.sound(c) for c in given]
    if not all((first, *last)):
        return
    whole, apart = "".join(last), " ".join(last)
    if is_loose(f"{first} {whole}"):  # one spelling stands for those in other cases and with other separators
        yield from (
            (PERSON, form) for form in dict.fromkeys((f"{first} {whole}", f"{whole} {first}", f"{first} {apart}", f"{apart} {first}"))
        )
        yield PERSON, first + whole
        return
    for family, personal in (
        (first, whole),
        (first.title(), whole.title()),
        (first.upper(), whole.upper()),
        (first.upper(), whole.title()),
    ):
        yield PERSON, f"{family} {personal}"
        yield PERSON, f"{personal} {family}"
        yield PERSON, f"{family}, {personal}"
    if len(last) > 1:
        for join in ("-", " ", "'"):
            yield PERSON, f"{first.title()} {join.join(last).title()}"
            yield PERSON, f"{join.join(last).title()} {first.title()}"
        yield PERSON, f"{first} {apart}"
    yield PERSON, first + whole


def _western(name: str) -> Iterator[tuple[str, str]]:
    words = people.words(name)
    if len(words) < 2:  # noqa: PLR2004  a given name and a surname
        return
    first, last = (words[1], words[0]) if "," in name else (words[0], words[-1])
    forms = [f"{last}, {first}", f"{first[0]}. {last}", f"{first[0]} {last}", f"{last} {first[0]}", f"{first} {last}", f"{last} {first}"]
    forms += [f"{first[0]}.{last[0]}.", f"{first[0]}. {last[0]}."]
    if len(words) > 2:  # noqa: PLR2004  with names in the middle
        forms += [" ".join([first, *(f"{w[0]}." for w in words[1:-1]), last]), f"{first[0]}. {words[1][0]}. {last}"]
    forms += [word for word in words if len(word) >= _SHORTEST_PART]
    for form in dict.fromkeys(forms):
        for spelt in dict.fromkeys((form, form.upper(), form.title() if form.islower() else form)):
            if spelt != name:
                yield PERSON, spelt
