"""Chinese vehicle plates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, stands_alone
from ringfence.deid.specimen import Specimen, digits, framed, text

_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_LETTERS = "A-HJ-NP-Z"  # I and O are not used
_FUEL = re.compile(rf"[{_LETTERS}0-9]{{5}}")
_FUEL_SPECIAL = re.compile(rf"[{_LETTERS}0-9]{{4}}")
_SMALL_ELECTRIC = re.compile(rf"[A-HJK][{_LETTERS}0-9][0-9]{{4}}")
_LARGE_ELECTRIC = re.compile(r"[0-9]{5}[A-HJK]")
_SPECIAL = "警学港澳挂领使"
_HEAD, _MOST_LETTERS = 2, 2


@RECOGNISERS.add("cn-plate.v1")
class CnPlate(Shaped):
    """Plates of GA 36-2018: province, letter, five characters; six for electric cars; a last character for police, school, trailer."""

    kinds = frozenset({"CN_PLATE"})
    example = "京A12345"
    pattern: ClassVar[str] = (
        f"(?:{'|'.join(_PROVINCES)})[A-HJ-NP-Za-hj-np-z](?:·|•|[ .\\-])?[A-HJ-NP-Za-hj-np-z0-9]{{4,6}}(?:{'|'.join(_SPECIAL)})?"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the plate if its serial number follows the standard."""
        special = text[end - 1] in _SPECIAL
        if special and _is_serial(self.normalise(text[start : end - 1])[_HEAD:]):  # 京A12345学校: the character begins the next word
            special, end = False, end - 1
        serial = self.normalise(text[start : end - special])[_HEAD:]
        fits = bool(_FUEL_SPECIAL.fullmatch(serial)) if special else _is_serial(serial)
        digits = sum(c.isdigit() for c in serial)
        if not fits or len(serial) - digits > _MOST_LETTERS or not stands_alone(text, start, end):
            return ()
        return (Span(start, end, "CN_PLATE", CHECKED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        place = draw.choice("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼") + draw.choice("ABCDEFGHJKLMNPQRSTUVY")
        serial = draw.choice(
            (
                lambda: digits(draw, 5),
                lambda: draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") + digits(draw, 4),
                lambda: text(draw, "ABCDEFGHJKLMNPQRSTUVWXYZ", 2) + digits(draw, 3),
                lambda: digits(draw, 4) + draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ"),
                lambda: draw.choice("DF") + digits(draw, 5),
                lambda: digits(draw, 5) + draw.choice("DF"),
                lambda: digits(draw, 4) + draw.choice("警学挂"),
                lambda: digits(draw, 3) + draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") + digits(draw, 1),
            )
        )()
        return framed("CN_PLATE", draw.choice(("", "", "车牌：", "车牌号", "驾驶")), place + draw.choice(("", "", "·", " ")) + serial)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a plate of the same province under the letter I, which is never issued."""
        letters = [i for i, c in enumerate(value) if c.isascii() and c.isalnum()]
        fresh = list(value)
        for n, i in enumerate(letters):
            fresh[i] = "I" if n == 0 else draw.choice(DIGITS) if value[i].isdigit() else draw.choice("ABCDEFGHJK")
        return "".join(fresh)


def _is_serial(serial: str) -> bool:
    return any(form.fullmatch(serial) for form in (_FUEL, _SMALL_ELECTRIC, _LARGE_ELECTRIC))
