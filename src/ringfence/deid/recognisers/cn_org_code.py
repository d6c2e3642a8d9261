"""Chinese organisation codes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.keyworded import JOIN, value_behind
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import DIGITS, Specimen, behind, text

_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "0123456789X"
_WORDS = r"机构代码|機構代碼|(?i:organi[sz]ation[ _]code|org[ _]code)"
_LENGTH = 9
_OWN_USE = 99_999  # PDY00001 to PDY99999


def check_character(body: str) -> str:
    """Return the ninth character for eight digits or capital letters, modulo 11. Source: GB 11714-1997, 2.1.2."""
    return _CHECK[-sum(w * int(c, 36) for w, c in zip(_WEIGHTS, body, strict=True)) % 11]


def own_use_code(draw: Draw) -> str:
    """Return a code of the range that is left to each system for its own use and names no organisation. Source: GB 11714-1997, 3."""
    body = f"PDY{draw.below(_OWN_USE) + 1:05d}"
    return body + check_character(body)


@RECOGNISERS.add("cn-org-code.v1")
class CnOrgCode(Shaped):
    """GB 11714-1997: eight characters and a check character, the hyphen between them optional, behind a key word."""

    kinds = frozenset({"CN_ORG_CODE"})
    example = "组织机构代码：M000100Y-4"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}([0-9A-Za-z]{{8}}-?[0-9Xx])"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the code if its check character is right."""
        place = value_behind(self.pattern, text, start, end)
        if place is None:
            return ()
        code = self.normalise(text[slice(*place)])
        return (Span(*place, "CN_ORG_CODE", CHECKED),) if check_character(code[:8]) == code[8] else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        body = draw.choice(("7", "6", "M", "5", "3")) + text(draw, DIGITS + "ABCDEFGH", 7) if draw.random() < 0.2 else text(draw, DIGITS, 8)  # noqa: PLR2004
        check = -sum(w * int(c, 36) for w, c in zip((3, 7, 9, 10, 5, 8, 4, 2), body, strict=True)) % 11
        return behind(
            draw,
            "CN_ORG_CODE",
            ("组织机构代码", "组织机构代码证号", "机构代码", "组织机构代码证"),
            f"{body}-{'X' if check == 10 else check}",  # noqa: PLR2004
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a code from PDY00001 to PDY99999, which GB 11714 gives to no organisation, with a right check character."""
        return refill(value, own_use_code(draw)) if len(self.normalise(value)) == _LENGTH else draw.scramble(value)
