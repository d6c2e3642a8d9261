"""Chinese driver licence file numbers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, behind, digits

_WORDS = (
    r"(?:驾驶|駕駛)(?:证|證)|(?:驾|駕)照|(?:档案|檔案)(?:编|編)(?:号|號)"
    r"|(?i:driv(?:er|er's|ers|ing)[ _]licen[cs]e(?:[ _](?:file[ _])?(?:no|number))?)"
)
_REGION = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5])"
_LENGTH = 12


@RECOGNISERS.add("cn-driver-licence.v1")
class CnDriverLicence(Shaped):
    """The file number, 12 digits that begin with a province, behind a key word. The licence's own number is the resident number."""

    kinds = frozenset({"CN_DRIVER_LICENCE"})
    example = "驾驶证档案编号：330100123456"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}({_REGION}[0-9]{{10}})"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word."""
        place = value_behind(self.pattern, text, start, end)
        return (Span(*place, "CN_DRIVER_LICENCE", KEYWORDED),) if place else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(("1101", "3101", "3301", "4403", "5101", "3702", "4201")) + digits(draw, 8)
        return behind(draw, "CN_DRIVER_LICENCE", ("驾驶证档案编号", "档案编号", "驾照档案编号", "驾驶证号档案编号"), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of region 99, which GB/T 2260 has not."""
        return refill(value, "99" + draw.text(DIGITS, 10)) if len(self.normalise(value)) == _LENGTH else draw.scramble(value)
