"""Stand-ins for the names of persons, Chinese and English.

Every part of a name is replaced by itself: one surname has one stand-in under a key, and so has one syllable of a given name. Whoever shares a
surname still shares one, and `zhang.wei@…`, Zhang Wei and 张伟 stay one person, in whatever record they stand. What that tells: that two persons
share a surname or a given name, and how often.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from ringfence.deid.draw import LOWER, Draw

_COMMON = 100  # surnames that stand-ins take: the first of the list, which are the most frequent ones
_TITLES_ZH = (
    "先生|女士|小姐|太太|夫人|同学|同志|老师|教授|博士|医生|医师|大夫|护士|护师|药师|主任|院长|校长|所长|处长|科长|局长|部长|市长|省长|书记|主席|董事长|董事|总经理|副总|总监|经理|"
    "总裁|总|律师|法官|检察官|警官|工程师|会计|师傅|阿姨|叔叔|大爷|大妈|奶奶|爷爷|哥|姐|工|某某|某"
)
_TITLE_ZH = re.compile(rf"(?<=.)(?:{_TITLES_ZH})$")
_BEFORE_ZH = re.compile(r"^[老小阿](?=.$)")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
TITLES_EN = frozenset(
    "dr mr mrs ms miss mx prof sir dame lord lady rev hon capt col gen lt sgt maj jr sr ii iii iv md phd esq rn do".split()
)
FOREIGN = "阿艾安奥巴贝本比伯博布查达戴丹德迪杜多恩法菲费弗盖戈格哈汉赫霍基吉加杰卡凯科克库拉莱兰朗劳勒雷里利列林琳卢鲁罗洛玛迈曼梅蒙米莫默纳尼诺帕佩皮普奇乔萨塞桑莎斯史丝索塔泰坦汤特托瓦维温沃乌西夏谢休雅亚扬耶伊尤约泽扎詹朱"
_COMPOUND = "欧阳 上官 司马 诸葛 皇甫 慕容 令狐 司徒 端木 东方 南宫 尉迟 公孙 夏侯".split()
_FOREIGN_AT_LEAST = 4  # characters of a Chinese name that begins with no surname


class Names(NamedTuple):
    """What names are made of."""

    surnames: dict[str, str]  # with their readings; the most frequent ones first
    ranks: dict[str, int]  # of a surname's reading: 0 is the most frequent
    compound: frozenset[str]
    compound_sounds: frozenset[str]
    traditional: dict[str, str]
    groups: dict[str, str]  # character of a given name -> f, m or n
    by_sound: dict[str, dict[str, str]]  # group -> reading -> characters
    sounds: tuple[str, ...]  # readings for which both groups have a character: what syllables are replaced by
    reading: dict[str, str]  # of a character
    syllables: frozenset[str]
    first: dict[str, tuple[str, ...]]  # English given names by group
    group_of: dict[str, str]  # English given name in lower case -> group
    last: tuple[str, ...]
    last_known: frozenset[str]


@cache
def names() -> Names:
    """Return the lists of `data/names.json`."""
    data: dict[str, Any] = json.loads((files("ringfence.deid") / "data" / "names.json").read_text(encoding="utf-8"))
    zh, en = data["zh"], data["en"]
    by_sound: dict[str, dict[str, str]] = {group: {} for group in "fmn"}
    for group, characters in zh["given"].items():
        for character, sound in characters.items():
            by_sound[group][sound] = by_sound[group].get(sound, "") + character
    return Names(
        surnames=zh["surnames"],
        ranks={sound: rank for rank, sound in reversed(list(enumerate(zh["surnames"].values())))},
        compound=frozenset(zh["compound"]),
        compound_sounds=frozenset(zh["surnames"][name] for name in zh["compound"]),
        traditional=zh["traditional"],
        groups={character: group for group, characters in zh["given"].items() for character in characters},
        by_sound=by_sound,
        sounds=tuple(sorted(by_sound["f"].keys() & by_sound["m"].keys())),
        reading={character: sound for sound, characters in zh["readings"].items() for character in characters},
        syllables=frozenset(zh["readings"]),
        first={group: tuple(en[group]) for group in "fmn"},
        group_of={name.lower(): group for group in "fmn" for name in en[group]},
        last=tuple(en["last"]),
        last_known=frozenset(name.lower() for name in en["last"]),
    )


def normal(value: str) -> str:
    """Return the form in which two spellings of a name are equal: lower case, its words alone."""
    return " ".join(_WORD.findall(value.lower()))


def stand_in(value: str, draw: Draw) -> str:
    """Return another person's name in the script, the length and with the titles of `value`."""
    if _HAN.search(value):
        return _chinese(value, draw)
    return _pinyin(value, draw) or _western(value, draw)


def mailbox(local: str, draw: Draw) -> str | None:
    """Return the local part of an address whose words are a given name and a surname, made of their stand-ins; None if they are not."""
    words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", local) if local.isascii() else []
    letters = [word for word in words if word.isalpha()]
    if len(letters) == 1 and (cut := _cut(letters[0].lower())):
        at = words.index(letters[0])
        words[at : at + 1] = [letters[0][: len(cut)], letters[0][len(cut) :]]
        letters = [words[at], words[at + 1]]
    if len(letters) != 2:  # noqa: PLR2004  a given name and a surname
        return None
    made = _pinyin(" ".join(letters), draw) or (_western(" ".join(letters), draw) if _is_western(letters) else None)
    if made is None:
        return None
    fresh = iter(made.lower().split())
    return "".join(next(fresh) if word.isalpha() else draw.scramble(word) for word in words)


def given_stand_in(value: str, draw: Draw) -> str:
    """Return the stand-in of a given name that stands alone."""
    return "".join(_given(character, draw) for character in value) if _HAN.search(value) else _western(value, draw)


def words(value: str) -> list[str]:
    """Return the words of a name in Latin letters, without titles and initials' dots."""
    return [word for word in _WORD.findall(value) if word.lower() not in TITLES_EN]


def without_titles(value: str) -> str:
    """Return a Chinese name without a title behind it and 小 or 老 before it; any other as it is."""
    core = _TITLE_ZH.sub("", value)
    return _BEFORE_ZH.sub("", core) if _HAN.search(core) else value


# ── Chinese ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def surname_of(value: str) -> str:
    """Return the surname with which a Chinese name begins; empty if it begins with none."""
    known = names()
    if value[:2] in known.compound:
        return value[:2]
    return value[:1] if value[:1] in known.surnames else ""


def sound_of_surname(surname: str) -> str:
    """Return the reading of a surname, without tones."""
    return names().surnames.get(surname, "")


def sound(character: str) -> str:
    """Return the reading of a character of a given name, without tones; empty if it is not known."""
    return names().reading.get(character, "")


def _chinese(value: str, draw: Draw) -> str:
    title = _TITLE_ZH.search(value)
    kept = title[0] if title else ""
    core = value.removesuffix(kept)
    before = _BEFORE_ZH.match(core)
    front = before[0] if before else ""
    core = core.removeprefix(front)
    surname = surname_of(core)
    given = core.removeprefix(surname)
    if "·" in core or len(given) > 2 or (not surname and len(core) >= _FOREIGN_AT_LEAST):  # noqa: PLR2004  given names have two characters at most
        return front + "".join(_foreign(character, draw) for character in core) + kept
    return front + (_surname(surname, draw) if surname else "") + "".join(_given(character, draw) for character in given) + kept


def _surname(value: str, draw: Draw) -> str:
    known = names()
    chosen = _surname_by_sound(known.surnames[value], draw)
    return known.traditional.get(chosen, chosen) if value in known.traditional.values() else chosen


def _surname_by_sound(sound: str, draw: Draw) -> str:
    known = names()
    choices = _COMPOUND if sound in known.compound_sounds else tuple(known.surnames)[:_COMMON]
    return draw.shared(f"surname {sound}").choice(choices)


def _sound(sound: str, draw: Draw) -> str:
    return draw.shared(f"syllable {sound}").choice(names().sounds)


def _given(character: str, draw: Draw) -> str:
    known = names()
    if not _HAN.match(character):
        return draw.scramble(character)
    sound = _sound(known.reading.get(character, character), draw)
    group = known.groups.get(character, "n")
    choices = known.by_sound[group].get(sound) or known.by_sound["f"][sound] + known.by_sound["m"][sound]
    return draw.shared(f"given {character}").choice(choices)


def _foreign(character: str, draw: Draw) -> str:
    return draw.shared(f"foreign {character}").choice(FOREIGN) if _HAN.match(character) else draw.scramble(character)


def _cut(word: str) -> str:
    """Return the surname that a word of Chinese syllables begins with: zhangwei, ouyangxiu; empty if it is not such a word."""
    sounds = names().ranks
    return next((word[:n] for n in range(7, 1, -1) if word[:n] in sounds and _syllables(word[n:])), "")


def _syllables(word: str) -> list[str]:
    """Return the one or two syllables of a given name; empty if it has others."""
    known = names().syllables
    if word in known:
        return [word]
    return next(([word[:n], word[n:]] for n in range(len(word) - 1, 0, -1) if word[:n] in known and word[n:] in known), [])


def _pinyin(value: str, draw: Draw) -> str | None:
    """Return the stand-in of a Chinese name in Latin letters, surname first or last; None if it is not one."""
    known, words = names(), _WORD.findall(value)
    if len(words) not in (2, 3):
        return None
    lower = [word.lower().replace("-", "") for word in words]
    rest = {0: "".join(lower[1:]), len(lower) - 1: "".join(lower[:-1])}
    places = [at for at in rest if lower[at] in known.ranks and _syllables(rest[at])]
    if not places or (_is_western(words) and not all(word in known.syllables for word in lower)):
        return None
    at = min(places, key=lambda place: (known.ranks[lower[place]], place))  # Wei Zhang: Zhang is the likelier surname
    made = {at: known.surnames[_surname_by_sound(lower[at], draw)]}
    others = [n for n in range(len(words)) if n != at]
    if len(others) == 1:
        made[others[0]] = "".join(_sound(sound, draw) for sound in _syllables(rest[at]))
    else:
        made |= {n: _sound(lower[n], draw) for n in others}
    return _rewritten(value, words, [made[n] for n in range(len(words))])


# ── English ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_western(words: list[str]) -> bool:
    """Return True for two words of which one is a known given name and the other a known surname."""
    known, lower = names(), [word.lower() for word in words]
    return len(lower) == 2 and any(  # noqa: PLR2004
        one in known.group_of and other in known.last_known for one, other in (lower, lower[::-1])
    )


def _western(value: str, draw: Draw) -> str:
    known, words = names(), _WORD.findall(value)
    is_kept = [word.lower() in TITLES_EN for word in words]
    parts = [n for n, kept in enumerate(is_kept) if not kept]
    last = _last_place(value, words, parts)
    made = []
    for n, word in enumerate(words):
        low = word.lower()
        if is_kept[n]:
            made.append(word)
        elif len(word) == 1:
            made.append(draw.shared(f"initial {low}").choice(LOWER))
        elif n == last:
            made.append(draw.shared(f"last {low}").choice(known.last))
        else:
            made.append(
                draw.shared(f"first {low}").choice(known.first.get(known.group_of.get(low, ""), ()) or known.first["f"] + known.first["m"])
            )
    return _rewritten(value, words, made)


def _last_place(value: str, words: list[str], parts: list[int]) -> int | None:
    """Return which word is the surname: the one before a comma, the last of several, or the only one behind a title."""
    known = names()
    if not parts:
        return None
    if len(parts) == 1:
        low = words[parts[0]].lower()
        is_titled = len(words) > 1
        return parts[0] if is_titled or (low in known.last_known and low not in known.group_of) else None
    if re.match(r"\W*[^\W\d_]+(?:['’-][^\W\d_]+)*\s*,", value):
        return parts[0]
    first, last = words[parts[0]].lower(), words[parts[-1]].lower()
    swapped = first in known.last_known and first not in known.group_of and last in known.group_of
    return parts[0] if swapped else parts[-1]


def _rewritten(value: str, words: list[str], made: list[str]) -> str:
    """Return `value` with its words replaced in order, each in the case of the one it replaces."""
    fresh = iter([old if new is old else _cased(new, like=old) for new, old in zip(made, words, strict=True)])
    return _WORD.sub(lambda _: next(fresh), value)


def _cased(word: str, *, like: str) -> str:
    if like.islower():
        return word.lower()
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word if word[:1].isupper() else word.title()
