"""Administrative divisions of China: provinces, prefectures and counties by name.

Source: GB/T 2260, as the package cpca 0.5.5 lists it (MIT, see data/divisions.LICENSE); cities and districts of Hong Kong and Taiwan added.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_PROVINCES = tuple(
    "北京 天津 上海 重庆 河北 山西 辽宁 吉林省 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 海南省 四川 贵州 云南 陕西 甘肃 青海 台湾 内蒙古 广西 西藏 宁夏 新疆 香港 澳门".split()
)
_SUFFIXES = ("特别行政区", "壮族自治区", "回族自治区", "维吾尔自治区", "自治区", "省", "市", "地区", "盟")
_SHORTEST_SHORT = 2  # characters of a name without its suffix


def longest(text: str, at: int, end: int) -> int:
    """Return the length of the longest name that stands at `at`: as the standard has it, or a province's or city's without its suffix; 0 for none."""
    names, most = _names()
    return next((n for n in range(min(most, end - at), 1, -1) if text[at : at + n] in names), 0)


def before(text: str, end: int, *, least: int, full: bool) -> int:
    """Return the length of the longest name (`full`: with its suffix) that ends at `end` and begins at `least` or later; 0 for none."""
    if text[end - 2 : end] not in _endings():
        return 0
    names, most = _names()
    wanted = {True} if full else {True, False}
    return next((n for n in range(min(most, end - least), 1, -1) if names.get(text[end - n : end]) in wanted), 0)


def is_province(name: str) -> bool:
    """Return True for a province, an autonomous region or a municipality of that rank, with or without its suffix."""
    return name.startswith(_PROVINCES)


def is_only_province(name: str) -> bool:
    """Return True for the name of a province or the like and nothing besides: 广东, 广东省, 内蒙古自治区."""
    province = next((p for p in _PROVINCES if name.startswith(p)), "")
    return bool(province) and name.removeprefix(province) in ("", *_SUFFIXES)


def first_province(text: str) -> str:
    """Return the province, or what has its rank, that is named first in a text; empty if none is."""
    return min((p for p in _PROVINCES if p in text), key=text.index, default="")


def chain(text: str, at: int, end: int) -> tuple[int, int]:
    """Return where a row of divisions that begins at `at` ends, and how many there are: 北京市海淀区 is two."""
    count = 0
    while step := longest(text, at, end):
        at, count = at + step, count + 1
    return at, count


@cache
def _names() -> tuple[dict[str, bool], int]:
    """Return every name with whether it has its suffix, and the length of the longest."""
    full = (files("ringfence.deid") / "data" / "divisions.txt").read_text(encoding="utf-8").split()
    names = dict.fromkeys(full, True)
    for name in full:
        suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
        if suffix and len(name) - len(suffix) >= _SHORTEST_SHORT:
            names.setdefault(name.removesuffix(suffix), False)
    return names, max(map(len, full))


@cache
def _endings() -> frozenset[str]:
    """Return the last two characters of every name: few texts end a candidate with them, so most are refused after one look."""
    return frozenset(name[-2:] for name in _names()[0])


def all_names() -> frozenset[str]:
    """Return every name, with and without its suffix."""
    return frozenset(_names()[0])
