"""Identifiers as people write them, made up to be hidden in texts and looked for: what shows how many of a kind a recogniser finds.

A recogniser's file may hold a generator of its kind, `specimen`. It draws from what the world writes (issued ranges, right check digits, usual
spellings and key words) and not from what the recogniser takes: a value that is refused is a miss, and is never drawn again. What is made here
never leaves the memory of the process that looks for it.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from random import Random
from typing import NamedTuple, Protocol, runtime_checkable

UPPER, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
_JOINS_ZH = ("：", "：", ":", "", " ", "为", "是", ": ")
_JOINS_EN = (": ", ": ", " ", " is ", ":", " - ")
_NUMBERED = (" no. ", " # ", " number ")  # behind a word that does not say so already
_SAY_SO = ("number", "no", "no.", "#", "id", "code", "phrase")
FIRST_NAMES = tuple(
    "wei fang jing lei min hua yang ting xin james maria john anna david laura peter sofia omar nina paul chen ivan grace".split()
)
LAST_NAMES = tuple(
    "wang li zhang liu chen zhao huang zhou wu xu smith brown garcia muller rossi dubois novak kim tanaka singh khan silva jones".split()
)
HOSTS = tuple(
    "qq.com 163.com 126.com sina.com.cn foxmail.com gmail.com outlook.com yahoo.co.uk icloud.com hotmail.com tsinghua.edu.cn corp.local".split()
)
WORDS = tuple("sun river stone cloud maple tiger north happy lucky blue star moon rain dragon apple coffee music ocean".split())


class Specimen(NamedTuple):
    """A text that ends or begins with words people put around such a value, and where in it the value stands."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def value(self) -> str:
        """The value itself."""
        return self.text[self.start : self.end]


@runtime_checkable
class Specimens(Protocol):
    """A recogniser that can make values of its kinds."""

    @property
    def kinds(self) -> frozenset[str]:
        """What it finds."""
        ...

    def normalise(self, value: str) -> str:
        """Return the form in which two spellings of one value are equal."""
        ...

    def specimen(self, draw: Random) -> Specimen:
        """Return a made-up value as people write it, whether or not the recogniser would find it."""
        ...


def bare(kind: str, value: str) -> Specimen:
    """Return a value that stands for itself."""
    return Specimen(kind, value, 0, len(value))


def framed(kind: str, before: str, value: str, after: str = "") -> Specimen:
    """Return a value between words."""
    return Specimen(kind, before + value + after, len(before), len(before) + len(value))


def behind(draw: Random, kind: str, words: Sequence[str], value: str, *, is_number: bool = True) -> Specimen:
    """Return a value behind one of these key words, joined to it in one of the ways of its language."""
    word = draw.choice(words)
    says_so = not is_number or word.lower().endswith(_SAY_SO)
    joins = _JOINS_ZH if not word.isascii() else _JOINS_EN if says_so else _JOINS_EN + _NUMBERED
    return framed(kind, word + draw.choice(joins), value)


def digits(draw: Random, count: int) -> str:
    """Return so many digits."""
    return text(draw, DIGITS, count)


def text(draw: Random, alphabet: str, count: int) -> str:
    """Return so many characters of an alphabet."""
    return "".join(draw.choices(alphabet, k=count))


def day(draw: Random, first: int, last: int) -> str:
    """Return a day of these years as eight digits."""
    return f"{draw.randint(first, last)}{draw.randint(1, 12):02d}{draw.randint(1, 28):02d}"


def luhn(body: str) -> str:
    """Return the digit that makes the Luhn sum of `body` and it end in 0. Source: ISO/IEC 7812-1 annex B."""
    total = sum(sum(divmod(2 * int(d), 10)) if n % 2 == 0 else int(d) for n, d in enumerate(reversed(body)))
    return str(-total % 10)


def mod97(body: str) -> str:
    """Return the two digits that make `body` and them leave 1 when divided by 97, letters read as 10 to 35. Source: ISO/IEC 7064."""
    return f"{98 - int(''.join(str(int(c, 36)) for c in body) + '00') % 97:02d}"


def grouped(value: str, sizes: Sequence[int], gap: str) -> str:
    """Return a value in groups of these sizes; what is left over is one more."""
    parts, at = [], 0
    for size in (*sizes, len(value)):
        parts.append(value[at : at + size])
        at += size
    return gap.join(part for part in parts if part)


def account(draw: Random) -> str:
    """Return a name as people give themselves on the net."""
    first, last, word = draw.choice(FIRST_NAMES), draw.choice(LAST_NAMES), draw.choice(WORDS)
    year, few = str(draw.randint(1960, 2010)), digits(draw, draw.randint(1, 4))
    return draw.choice(
        (f"{first}_{last}{few}", f"{first}{year}", f"{last}_{first}", f"{word}_{few}", f"{first}.{word}{few}", f"{word}{first}{few}")
    )


def mailbox(draw: Random) -> str:
    """Return an address of e-mail."""
    first, last, few = draw.choice(FIRST_NAMES), draw.choice(LAST_NAMES), digits(draw, draw.randint(1, 4))
    local = draw.choice(
        (
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{first}_{last}{few}",
            f"{first}{few}",
            f"{last}-{first}",
            digits(draw, draw.randint(5, 11)),
            f"{first}.{last}+{few}",
        )
    )
    host = draw.choice((*HOSTS, f"mail.{draw.choice(WORDS)}{draw.choice(WORDS)}.com", f"{draw.choice(WORDS)}.internal"))
    made = f"{local}@{host}"
    return made.upper() if draw.random() < 0.05 else made  # noqa: PLR2004  one in twenty


def cn_mobile(draw: Random) -> str:
    """Return a mobile number of mainland China, under prefixes that its carriers have. Source: MIIT, numbering plan of 2017 and later allocations."""
    prefixes = "130 131 132 133 134 135 136 137 138 139 145 147 149 150 151 152 153 155 156 157 158 159 165 166 167 170 171 172 173 175 176 177 178 180 181 182 183 184 185 186 187 188 189 190 191 192 193 195 196 197 198 199"
    return draw.choice(prefixes.split()) + digits(draw, 8)
