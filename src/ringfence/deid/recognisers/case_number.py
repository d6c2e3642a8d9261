"""Numbers of court cases and arbitrations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, framed

_COURTS = "京 津 沪 滬 渝 冀 豫 云 雲 辽 遼 黑 湘 皖 鲁 魯 新 苏 蘇 浙 赣 贛 鄂 桂 甘 晋 晉 蒙 内 内 陕 陝 吉 闽 閩 贵 貴 粤 粵 青 藏 川 宁 寧 琼 瓊 兵 军 軍 最高法".split()
_OPEN, _CLOSE = r"(?:[(\[]|（|〔|【)", r"(?:[)\]]|）|〕|】)"
_YEAR = rf"{_OPEN}(?:19|20)[0-9]{{2}}{_CLOSE}"
_DOCKET = r"[0-9]{1,2}:[0-9]{2}-(?i:cv|cr|mj|mc|md|ap|bk|po)-[0-9]{3,6}"
_WORDS = r"案号|案號|案件编号|案件編號|(?i:(?:case|docket)[ _]?(?:no|num|number|#)|docket)"
_MODERN = re.compile(
    rf"{_YEAR} ?(?:{'|'.join(_COURTS)})[一-龥]{{0,3}}[0-9]{{0,4}}[一-龥]{{1,10}}[0-9]{{1,8}}(?:号|號)(?:之[一二三四五六七八九十0-9]{{1,2}})?"
)
_BEFORE = re.compile(
    rf"(?:{_YEAR} ?[一-龥]{{1,12}}|(?<![0-9])[0-9]{{2,4}}年度[一-龥]{{1,8}}|(?:中国|中國|[{''.join(_COURTS[:-1])}深穗广厦杭])[一-龥]{{0,5}}仲[一-龥]{{0,3}})$"
)
_CASE = re.compile(r"[民刑行执執破赔賠仲裁初终終再申监監商知訴诉抗聲声]")
_INITIALS = re.compile(r"(?:-[A-Z]{2,4}){1,3}(?![A-Za-z0-9])")
_SERIAL = re.compile(r"[0-9]+(?=[^0-9]*$)")
_LOOK_BACK = 24
_LONGEST = 48
_FEWEST = 4  # digits behind a key word


@RECOGNISERS.add("case-number.v1")
class CaseNumber(Shaped):
    """（2023）京01民初123号, the older 字第 forms with a year or of an arbitration, United States dockets, and what a key word announces."""

    kinds = frozenset({"CASE_NUMBER"})
    example = "（2023）京0105民初12345号"
    pattern: ClassVar[str] = (
        rf"{_YEAR} ?(?:{'|'.join(dict.fromkeys(_COURTS))})|字(?:{_YEAR})?第?[0-9]{{1,8}}(?:号|號)|{_DOCKET}"
        rf"|(?:{_WORDS}){JOIN}([A-Za-z0-9][A-Za-z0-9:/\-]{{3,30}})"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number in the form that the candidate begins or ends."""
        if text[start] == "案" and start and text[start - 1] in "病档檔备備":
            return ()  # a record's number, not a court's
        if text[start] == "字":
            return self._check_older(text, start, end)
        if modern := _MODERN.match(text, start, start + _LONGEST):
            return (Span(start, modern.end(), "CASE_NUMBER", CHECKED),)
        place = value_behind(self.pattern, text, start, end)
        if place is None or text[start] in "(（〔[【":
            return ()
        first, last = place
        if first == start:
            initials = _INITIALS.match(text, last)
            return (Span(first, initials.end() if initials else last, "CASE_NUMBER", CHECKED),)
        value = text[first:last].rstrip("-:/")
        digits = sum(c in DIGITS for c in value)
        is_case = digits >= _FEWEST and (digits > _FEWEST or len(value) > digits)
        return (Span(first, first + len(value), "CASE_NUMBER", KEYWORDED),) if is_case else ()

    def _check_older(self, text: str, start: int, end: int) -> Sequence[Span]:
        before = _BEFORE.search(text, max(0, start - _LOOK_BACK), start)
        if before is None or not _CASE.search(text, max(before.start(), start - 4), start):
            return ()
        return (Span(before.start(), end, "CASE_NUMBER", CHECKED),)

    def normalise(self, value: str) -> str:
        """Return the letters, characters and digits in upper case."""
        return "".join(c for c in value if c.isalnum()).upper()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        year, court = draw.randint(2005, 2025), draw.choice("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼")
        sort = draw.choice(("民初", "民终", "刑初", "刑终", "行初", "执", "执恢", "民申", "破", "财保", "知民初"))
        digits_of_court = draw.choice(("", f"{draw.randint(1, 9):02d}", f"{draw.randint(1, 9):02d}{draw.randint(1, 30):02d}"))
        left, right = draw.choice(("（）", "()", "〔〕", "（）"))
        return framed(
            "CASE_NUMBER",
            draw.choice(("", "", "案号：", "本院")),
            f"{left}{year}{right}{court}{digits_of_court}{sort}{draw.randint(1, 29_999)}号",
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return the number of the same court and year with a serial number of nine digits, which no court has.

        Courts number in order within a year, and the drawn numbers of death penalty reviews have eight digits (Supreme People's Court, 法〔2018〕335号
        §4 and the rules that it amends, §10); United States dockets have five or six.
        """
        return _SERIAL.sub("9" + draw.text(DIGITS, 8), value, count=1)
