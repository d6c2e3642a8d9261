"""What persons, organisations and places are replaced by. Taggers find them; they share no shape, so they have no recogniser."""

from __future__ import annotations

import re
from typing import Protocol

from ringfence.deid import people
from ringfence.deid.draw import Draw

PERSON, GIVEN_NAME, ORGANISATION, LOCATION = "PERSON", "GIVEN_NAME", "ORGANISATION", "LOCATION"
CODE = "CODE"  # what tells one person's records from others in a column that no recogniser knows
REGION = "REGION"  # a country, a state or a province: too large a place to tell who somebody is; profiles keep it unless they are strict
_HAN = re.compile(r"[\u3400-\u9fff]")
_ONE_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_ORGANISATION_ZH = re.compile(
    r"(?:股份有限公司|有限责任公司|有限公司|集团公司|公司|集团|银行|证券|保险|基金|医院|诊所|卫生院|大学|学院|中学|小学|幼儿园|学校|法院|检察院|公安局|派出所|律师事务所|事务所|"
    r"委员会|研究院|研究所|中心|协会|学会|出版社|报社|电视台|俱乐部|队|厂|店|局|部|厅|处|院|所|社|党)$"
)
_ORGANISATION_EN = re.compile(
    r"(?:,?\s+(?:Inc|Ltd|LLC|LLP|PLC|Corp|Co|GmbH|AG|S\.A|N\.V)\.?|\s+(?:Company|Corporation|Group|Bank|Hospital|Clinic|University|College|School|Court|"
    r"Department|Ministry|Agency|Institute|Foundation|Association|Council|Partners|Holdings|Insurance|Church))$",
    re.IGNORECASE,
)
_LOCATION_ZH = re.compile(
    r"(?:自治区|自治州|自治县|省|市|州|盟|县|区|旗|乡|镇|村|屯|街道|街|路|巷|弄|里|道|桥|山|河|江|湖|海|岛|湾|港|站|机场|大厦|广场|公园|小区|花园|苑)$"
)
_LOCATION_EN = re.compile(
    r"\s+(?:Street|St|Road|Rd|Avenue|Ave|Lane|Drive|Square|Park|County|City|Island|Islands|River|Lake|Bay|Hill|Hills|Valley|Airport|Station|Bridge)\.?$",
    re.IGNORECASE,
)
_LATIN_WORD = re.compile(r"[^\W\d_\u2e80-\uffff]{2,}")
# Coined: none of them is made to be the name of anything.
_COINED_ZH = ("恒瑞宏嘉泰永兴盛源景明辉腾远卓越启", "澜禾序屿岫珩渥槿沅铖垚翀衍骅祺峤")
_PLACE_ZH = ("云清安平青白松柏桐枫银碧翠岚雁鹭鹤枕", "渡坞畔峪汀浦砦墩圩垸埠陂磴甸塬峁")
_COINED_EN = (
    "Vel Tar Mor Quin Bel Cor Dax Fen Gal Hol Jas Kel Lum Nor Orv Pel Rus Sol Thal Wex".split(),
    "mora dyne vance tis lo nova ris quor dell phos zan bry mex thon via".split(),
)
_PLACE_EN = (
    "Ash Brack Clare Dun Elder Fern Glen Hazel Ivy Kess Lark Moss North Oaken Pell Quill Rook Stan Thorn Wick".split(),
    "wickham borough stow mere leigh combe holt thwaite den hurst".split(),
)


class StandIn(Protocol):
    """What the engine asks about a kind, whoever found it; a recogniser is one, too."""

    def normalise(self, value: str) -> str:
        """Return the form in which two spellings of one value are equal."""
        ...

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return what stands there instead. Total: any string has one."""
        ...


class Person:
    """Names of persons; see `people`."""

    def normalise(self, value: str) -> str:
        """Return the words of the name in lower case."""
        return people.normal(value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return another name of its script, length and titles."""
        return people.stand_in(value, draw)


class GivenName(Person):
    """Given names without a surname, of persons who are named elsewhere in the record."""

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return the given name of the person's stand-in."""
        return people.given_stand_in(value, draw)


class Coined:
    """Names that are a coined word with what kind of thing it is: 恒澜医院, Veldyne Ltd, 云渡镇, Ashmere County."""

    def __init__(
        self, *, suffixes: tuple[re.Pattern[str], re.Pattern[str]], parts: tuple[tuple[str, str], tuple[list[str], list[str]]]
    ) -> None:
        self._suffixes, self._parts = suffixes, parts

    def normalise(self, value: str) -> str:
        """Return the name in lower case, with single spaces."""
        return " ".join(value.lower().split())

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a coined name that keeps the suffix."""
        is_han = bool(_HAN.search(value))
        suffix = self._suffixes[0 if is_han else 1].search(value)
        first, second = self._parts[0 if is_han else 1]
        word = draw.choice(first) + draw.choice(second)
        if not is_han and value.isupper():
            word = word.upper()
        return word + (suffix[0] if suffix else "")


class Shaped:
    """Values of a kind that only the tenant knows: characters of the same scripts, and as many."""

    def normalise(self, value: str) -> str:
        """Return the value in lower case, with single spaces."""
        return " ".join(value.lower().split())

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a coined word for Chinese characters, digits for digits and letters for letters; what is between them stays."""
        coined = "".join(draw.choice(_PLACE_ZH[n % 2]) if _ONE_HAN.match(c) else c for n, c in enumerate(value))
        return draw.scramble(coined)


def coined(value: str, draw: Draw) -> str:
    """Return a coined name in the script and letter case of `value`: what persons, organisations and places get when every likelier name is somebody's."""

    def word(match: re.Match[str]) -> str:
        made: str = draw.choice(_COINED_EN[0]) + draw.choice(_COINED_EN[1])
        return made.upper() if match[0].isupper() and len(match[0]) > 1 else made.lower() if match[0].islower() else made

    return _LATIN_WORD.sub(word, "".join(draw.choice("".join(_COINED_ZH)) if _ONE_HAN.match(c) else c for c in value))


STAND_INS: dict[str, StandIn] = {
    PERSON: Person(),
    GIVEN_NAME: GivenName(),
    ORGANISATION: Coined(suffixes=(_ORGANISATION_ZH, _ORGANISATION_EN), parts=(_COINED_ZH, _COINED_EN)),
    LOCATION: Coined(suffixes=(_LOCATION_ZH, _LOCATION_EN), parts=(_PLACE_ZH, _PLACE_EN)),
    REGION: Coined(suffixes=(_LOCATION_ZH, _LOCATION_EN), parts=(_PLACE_ZH, _PLACE_EN)),
}
