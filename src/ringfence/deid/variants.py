"""The other ways in which a person who is named in a record is named there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.deid import people
from ringfence.deid.named import GIVEN_NAME, PERSON, REGION, STAND_INS
from ringfence.deid.recogniser import KEYWORDED

_HAN = re.compile(r"[\u3400-\u9fff]+")
_CODED = re.compile(r"(?:[^A-Za-z0-9]*[A-Za-z0-9]){4}")
# Kinds of few values: the date that one person's is moved to is another's, and that is no original left. Patterns find them wherever they stand.
SHARED = frozenset({"AGE", "DATE"})
_TITLES = "先生 女士 小姐 太太 夫人 老师 教授 博士 医生 医师 大夫 护士 主任 院长 律师 法官 经理 总 工 某 某某 阿姨 叔叔 大爷 大妈 同学 师傅 警官".split()
_TELLING_PERSON, _TELLING_OTHER = 3, 4  # Chinese characters
_SHORTEST_PART = 2  # letters of a word of an English name


def is_telling(kind: str, value: str, score: float) -> bool:
    """Return True when a folded value is looked up in the whole set, not only in the record in which it was found.

    What a tagger calls a name counts in other records only if it is long enough not to be a word there: three Chinese characters of a person's
    name, four of an organisation or place, two words in Latin letters. What stands in a column for names, or behind a key word, always does.
    Of other kinds, whatever has four ASCII letters or digits: an age of 90 is a number in many places, and so is one in Chinese.
    """
    if kind in (GIVEN_NAME, REGION):
        return False
    if kind not in STAND_INS:
        return _CODED.match(value) is not None
    if score >= KEYWORDED:
        return True
    if _HAN.search(value):
        return len(value) >= (_TELLING_PERSON if kind == PERSON else _TELLING_OTHER)
    return len(people.words(value)) > 1


def of(value: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, folded text) for the variants of a folded name; the name itself is not among them.

    They are looked up in the record that names the person, not in others: 王医生 is somebody else there.
    """
    core = people.without_titles(value)
    if _HAN.fullmatch(core):
        yield from _chinese(core)
    elif not _HAN.search(core):
        yield from _western(core)


def _chinese(name: str) -> Iterator[tuple[str, str]]:
    surname = people.surname_of(name)
    given = name.removeprefix(surname)
    if not surname or not 1 <= len(given) <= 2:  # noqa: PLR2004  a given name's characters
        return
    for title in _TITLES:
        yield PERSON, surname + title
    if len(surname) == 1:
        for before in "小老":
            yield PERSON, before + surname
    if len(given) > 1:
        yield GIVEN_NAME, given
    yield PERSON, " ".join(name)
    first, last = people.sound_of_surname(surname), [people.sound(c) for c in given]
    if not all((first, *last)):
        return
    whole, apart = "".join(last), " ".join(last)
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
