"""International bank account numbers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw, refill
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, Shaped, Span, stands_alone
from ringfence.deid.specimen import DIGITS, UPPER, Specimen, framed, grouped, mod97

# Country and length. Source: ISO 13616 IBAN registry (SWIFT), release 101.
_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 "
        "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 "
        "MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 "
        "SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    ).split()
}
_FIRST_ISSUED, _LAST_ISSUED = "02", "98"
_NEVER_ISSUED = {97: "00", 98: "01", 2: "99"}  # congruent check digits: they pass, but the formula never gives them


def remainder97(text: str) -> int:
    """Return letters and digits modulo 97, A to Z counted as 10 to 35. Source: ISO/IEC 7064, MOD 97-10."""
    return int("".join(str(int(c, 36)) for c in text)) % 97


def has_issued_digits(digits: str) -> bool:
    """Return True for the check digits that 98 - remainder can give: 02 to 98. Source: ISO/IEC 7064, MOD 97-10."""
    return _FIRST_ISSUED <= digits <= _LAST_ISSUED


def never_issued_digits(text: str) -> str | None:
    """Return the check digits 00, 01 or 99 if `text` passes with them; None for all others. Source: ISO/IEC 7064, MOD 97-10."""
    return _NEVER_ISSUED.get(98 - remainder97(text + "00"))


@RECOGNISERS.add("iban.v1")
class Iban(Shaped):
    """ISO 13616: country with its length, check digits, account; in one block or in groups of four, in one case of letters."""

    kinds = frozenset({"IBAN"})
    example = "GB33BUKB20201555555555"
    pattern: ClassVar[str] = r"[A-Za-z]{2}[0-9]{2}[ \-]?[A-Za-z0-9]{4}[ \-]?[A-Za-z0-9]{4}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number if it is as long as its country says and passes modulo 97."""
        length = _LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            return ()
        separator = text[start + 4] if text[start + 4] in " -" else ""
        end = start + length + len(separator) * ((length - 1) // 4)
        number = text[start:end].replace(separator, "") if separator else text[start:end]
        is_grouped = len(number) == length and text[start:end] == separator.join(number[i : i + 4] for i in range(0, length, 4))
        if not (is_grouped and number.isascii() and number.isalnum() and number in (number.upper(), number.lower())):
            return ()
        if not stands_alone(text, start, end) or not has_issued_digits(number[2:4]) or remainder97(number[4:] + number[:4]) != 1:
            return ()
        return (Span(start, end, "IBAN", CHECKED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        country, form = draw.choice(
            (
                ("DE", "9" * 18),
                ("FR", "9" * 23),
                ("GB", "AAAA" + "9" * 14),
                ("ES", "9" * 20),
                ("NL", "AAAA" + "9" * 10),
                ("CH", "9" * 17),
                ("IT", "A" + "9" * 22),
                ("AT", "9" * 16),
                ("BE", "9" * 12),
                ("PL", "9" * 24),
                ("SE", "9" * 20),
                ("IE", "AAAA" + "9" * 14),
            )
        )
        body = "".join(draw.choice(UPPER) if c == "A" else draw.choice(DIGITS) for c in form)
        number = country + mod97(body + country) + body
        return framed(
            "IBAN", draw.choice(("", "", "IBAN ", "IBAN: ", "账号 IBAN：")), draw.choice((number, grouped(number, (4,) * 8, " ")))
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same country that passes modulo 97 with 00, 01 or 99: ISO 13616 issues 02 to 98 alone.

        The account is drawn anew, so a bank's own check digits inside it are wrong nine times in ten.
        """
        number = self.normalise(value)
        if _LENGTHS.get(number[:2]) != len(number) or not (number.isascii() and number.isalnum()):
            return draw.scramble(value)
        digits = None
        while digits is None:
            account = draw.scramble(number[4:])
            digits = never_issued_digits(account + number[:2])
        return refill(value, number[:2] + digits + account)
