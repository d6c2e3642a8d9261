"""Chinese addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid import divisions
from ringfence.deid.draw import Draw
from ringfence.deid.numerals import ALTERNATIVES, NUMERALS
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SHAPE, Shaped, Span
from ringfence.deid.specimen import Specimen, framed

_STOP = "住在到址了的是寄送回搬往位於为"  # characters that stand before an address and hardly ever in the name of a street
_NAME = f"(?:(?![{_STOP}])[一-龥])"
_ROADS = "路|街|道|巷|弄|胡同|里|村|庄|屯|坊|段"
_NUMBER = f"(?:[0-9]{{1,5}}|[{NUMERALS}百]{{1,5}})"
_UNITS = "号院|号楼|號樓|号|號|弄|巷|栋|幢|座|单元|單元|室|层|層|楼|樓|户|戶|房|门|院|区|期|排|组|队"
_ESTATES = "大厦|大廈|广场|廣場|公寓|小区|花园|花園|家园|中心|大楼|大樓|新村|苑|府|公馆"
_UNIT = f"(?:[之附-]?(?:{_NUMBER}|[A-Za-z][0-9]{{0,4}}|[东西南北甲乙丙丁])(?:[A-Za-z]|-[0-9]{{1,4}})?(?:{_UNITS}))"
_ESTATE = f"(?:{_NAME}{{2,10}}?(?:{_ESTATES}|园|城|庭|湾|里|坊)(?=[，, ]?{_UNIT}))"
_TAIL = re.compile(f"(?:[，, ]?(?:{_UNIT}|{_ESTATE}))*(?:[0-9]{{3,4}}(?![0-9.]))?")
_STREET = re.compile(
    f"(?:{_NAME}{{1,8}}?(?:街道|镇|鎮|乡|鄉|村|开发区|新区|园区)){{0,2}}{_NAME}{{1,8}}?(?:{_ROADS})(?:[{NUMERALS}]{{1,2}}段)? ?{_NUMBER}(?:[之-]{_NUMBER})?(?:{_UNITS})"
)
_TOWNS = re.compile(f"(?:{_NAME}{{1,4}}?(?:市|区|县|旗|镇|乡|街道|村)){{1,3}}$")
_RUN = re.compile(r"[一-龥0-9A-Za-z]*$")
_STOPS = re.compile(f"[{_STOP}]")
_ESTATE_NAME = re.compile(f"{_NAME}{{2,8}}(?:{_ESTATES}|城|庭|湾|居|里|园|村|院|校区)(?:[东西南北]?[区苑]|[{NUMERALS}0-9]{{1,2}}[区期])?$")
_STREET_NAME = re.compile(f"{_NAME}{{1,6}}(?:[路街道][{NUMERALS}]{{1,2}})?$")
_ROAD_BEFORE = re.compile(f"[路街道][{NUMERALS}0-9]{{1,2}}$")
_TOWN = re.compile(f"{_NAME}{{1,4}}?(?:街道|镇|鎮|乡|鄉|村)")
_NOT_A_ROAD = re.compile(
    r"(?:知|报|報|通|管|渠|频|頻|味|轨|軌|跑|车|車|说|難|难)道$|(?:这|這|那|哪|公|夜|心|家|屋|手|眼|海)里$|(?:阶|階|手|片|时|時|路|分)段$"
)
_PART = re.compile(
    f"(?:(?![{NUMERALS}])[一-龥]){{1,8}}?(?P<kind>街道|开发区|大街|大道|胡同|(?:{_ESTATES}|园|城|庭|湾)(?![路街道巷])|[镇鎮乡鄉村路街道巷弄里庄屯坊])"
)
_WORDS = re.compile(f"(?:{_UNITS}|[段之附百路街道巷弄])+")  # between numbers: they stay
_OTHER = re.compile(f"(?:(?!{_UNITS})[一-龥])+")
_FIGURES = re.compile(f"[0-9]+|[{NUMERALS}]+")
_FIGURE_SORTS = (("二三四五六七八九", "一二三四五六七八九"), ("123456789", "0123456789"))  # the first and the others, Chinese and ASCII
_LOOK = 40  # characters to the left of the number of a house
_MOST = 60  # and to the right
_FAR = 14  # characters between the last division and the number: the names of a village and a street
_LEVELS = 2  # divisions in a row that make an address without a street
_INVENTED = tuple("云溪 澄湖 青岚 松原坪 望川 临泽湾 安禾 景澜 宁芳 枫林渡 远帆 晴川口 星河湾 柳岸 竹溪坪 泓泉".split())

_CITIES = {  # for specimens
    "北京市": "海淀区 朝阳区 西城区 丰台区 通州区",
    "上海市": "浦东新区 徐汇区 静安区 闵行区 嘉定区",
    "广东省广州市": "天河区 越秀区 番禺区",
    "深圳市": "南山区 福田区 龙岗区",
    "浙江省杭州市": "西湖区 余杭区 滨江区",
    "江苏省南京市": "鼓楼区 玄武区 江宁区",
    "四川省成都市": "锦江区 武侯区 双流区",
    "湖北省武汉市": "武昌区 洪山区 江夏区",
    "重庆市": "渝中区 江北区 万州区",
    "陕西省西安市": "雁塔区 碑林区",
    "山东省青岛市": "市南区 崂山区",
    "湖南长沙": "岳麓区 雨花区",
    "河南郑州": "金水区 中原区",
    "云南省昆明市": "五华区 官渡区",
    "广西壮族自治区南宁市": "青秀区 兴宁区",
    "新疆维吾尔自治区乌鲁木齐市": "天山区 沙依巴克区",
    "江苏省苏州市": "昆山市 吴江区",
    "福建省厦门市": "思明区 湖里区",
    "辽宁省大连市": "中山区 甘井子区",
    "河北省保定市": "定兴县 莲池区",
}
_STREETS = tuple(
    "中山 人民 解放 建设 南京 长江 黄河 和平 新华 文化 学院 科技 滨江 西湖 延安 淮海 光明 民主 胜利 友谊 湖滨 花园 迎宾 东风 朝阳 世纪 金融 体育 幸福 桃园 翠微 龙华 石牌 天府 望江".split()
)


@RECOGNISERS.add("cn-address.v1")
class CnAddress(Shaped):
    """A house number with its street, and what stands around it: divisions to the left, building, unit and room to the right.

    Without a number, two divisions in a row: 北京市海淀区. A province or a city alone is no address.
    """

    kinds = frozenset({"CN_ADDRESS"})
    example = "北京市海淀区中关村大街27号院3号楼2单元501室"
    pattern: ClassVar[str] = (
        f"(?:{_ROADS}) ?(?:[0-9]{{1,5}}|(?:{ALTERNATIVES}|百){{1,5}})(?:(?:-|之)[0-9]{{1,4}})?(?:号|號|弄|巷|栋|幢|座)"
        r"|[0-9]{1,4}(?:栋|幢|座|号楼|號樓)(?:[0-9A-Za-z]{1,4}(?:单元|單元|层|層|楼|樓))?[0-9]{2,5}(?:室|号|號|房|户|戶)?|[0-9]{1,2}(?:单元|單元)[0-9]{2,5}"
        "|省|市|区|县|旗|州|盟"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the address around a house number, a building or a division."""
        bound = min(len(text), end + _MOST)
        if text[end - 1] in "省市区县旗州盟":
            return _from_division(text, end, bound)
        run = _RUN.search(text, max(0, start - _LOOK), start)
        first, sure = _beginning(text, start if run is None else run.start(), start, is_building=text[start].isdigit())
        if first == start and not text[start].isdigit():
            return ()
        tail = _TAIL.match(text, end, bound)
        return (Span(first, tail.end() if tail else end, "CN_ADDRESS", KEYWORDED if sure else SHAPE),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        city, districts = draw.choice(tuple(_CITIES.items()))
        road = draw.choice(_STREETS) + draw.choice(("路", "路", "街", "大道", "东路", "北路", "巷", "西街"))
        number = draw.randint(1, 1_999)
        where = draw.choice((f"{city}{draw.choice(districts.split())}", draw.choice(districts.split()), ""))
        house = draw.choice(
            (
                f"{number}号",
                f"{number}号",
                f"{number}弄{draw.randint(1, 60)}号",
                f"{number}号{draw.randint(1, 20)}栋{draw.randint(101, 2805)}室",
                f"{number}号{draw.choice(_STREETS)}小区{draw.randint(1, 30)}号楼{draw.randint(1, 6)}单元{draw.randint(101, 2805)}",
                f"{number}号{draw.choice(_STREETS)}大厦{draw.randint(2, 40)}层",
            )
        )
        return framed("CN_ADDRESS", draw.choice(("", "", "住址：", "地址：", "现住")), where + road + house)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an address of the same parts with invented names and other numbers; a province or municipality stays."""
        pieces, at = [], 0
        while at < len(value):
            length = divisions.longest(value, at, len(value))
            part = value[at : at + length]
            named = _PART.match(value, at)
            if length:
                pieces.append(
                    part if divisions.is_province(part) else draw.choice(_INVENTED) + (part[-1] if part[-1] in "省市区县旗州盟" else "")
                )
            elif words := _WORDS.match(value, at):
                pieces.append(words[0])
                length = len(words[0])
            elif figures := _FIGURES.match(value, at):
                length = len(figures[0])
                first, rest = _FIGURE_SORTS[figures[0].isascii()]
                pieces.append(draw.choice(first) + draw.text(rest, length - 1))
            elif named or (named := _OTHER.match(value, at)):
                length = len(named[0])
                pieces.append(draw.choice(_INVENTED) + named.groupdict().get("kind", ""))
            else:
                length = 1
                pieces.append(draw.scramble(value[at]))
            at += length
        return "".join(pieces)


def _from_division(text: str, end: int, bound: int) -> Sequence[Span]:
    length = divisions.before(text, end, least=max(0, end - _LOOK), full=True)
    if not length:
        return ()
    first = end - length
    while step := divisions.before(text, first, least=max(0, end - _LOOK), full=False):
        first -= step
    last, count = divisions.chain(text, first, bound)
    if count >= _LEVELS and (town := _TOWN.match(text, last, bound)):
        last = town.end()
    if street := _STREET.match(text, last, bound):
        last, count = street.end(), _LEVELS
    if count < _LEVELS or last < end:
        return ()
    tail = _TAIL.match(text, last, bound) if street else None
    return (Span(first, tail.end() if tail else last, "CN_ADDRESS", KEYWORDED),)


def _beginning(text: str, first: int, start: int, *, is_building: bool) -> tuple[int, bool]:
    """Return where the address whose number stands behind `start` begins, and whether a division says so."""
    for at in range(first, start):
        last, count = divisions.chain(text, at, start)
        if count and start - last <= _FAR and not _STOPS.search(text, last, start):
            return at, True
    if is_building:
        named = _ESTATE_NAME.search(text, first, start)
        return (named.start() if named else start), False
    if _NOT_A_ROAD.search(text, first, start + 1) or (text[start] == "段" and not _ROAD_BEFORE.search(text, first, start)):
        return start, False
    if towns := _TOWNS.search(text, first, start):
        return towns.start(), False
    named = _STREET_NAME.search(text, first, start)
    return (named.start() if named else start), False
