"""Numbers of persons in countries that have no recogniser of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.keyworded import LINK, after_nines, loosely
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, Trigger, cuts_a_run, cuts_a_word
from ringfence.deid.specimen import UPPER, Specimen, behind, digits, grouped, text

_WORDS = (
    r"DNI|NI[EFR]|PESEL|BSN|CPR|CNP|AMKA|UTR|PPSN?|NRIC|FIN|CPF|CURP|SVNR|HETU|TFN|SIN|IdNr"
    r"|(?i:aadhaar|personnummer|burgerservicenummer|codice fiscale|steuer-?id|steuernummer|steueridentifikationsnummer|unique taxpayer reference"
    r"|s(?:é|e)curit(?:é|e) sociale|national (?:id|identity)(?: card)?|social insurance|identity card|tax file)"
)
_FORM = re.compile(  # letters and digits in one, or groups of digits and perhaps letters at the end
    rf"(?:{_WORDS}){LINK}(?<![A-Za-z0-9])([A-Za-z]{{1,6}}[0-9][A-Za-z0-9]{{5,14}}|[0-9]{{1,11}}(?:[ .\-/][0-9]{{1,6}}){{0,7}}(?:[ \-]?[A-Z]{{1,2}})?)"
    r"(?![A-Za-z0-9])(?![.,\-][0-9])"
)
_DATE = re.compile(r"(?:19|20)[0-9]{2}[\-/.][01]?[0-9][\-/.][0-3]?[0-9]|[0-3]?[0-9][\-/.][0-3]?[0-9][\-/.](?:19|20)[0-9]{2}")
_FEWEST, _MOST = 7, 18  # digits
_LONGEST = 40


@RECOGNISERS.add("national-id.v1")
class NationalId(Shaped):
    """Numbers of identity, tax and social insurance of European and some other countries, right behind the name that they go by."""

    kinds = frozenset({"NATIONAL_ID"})
    example = "DNI 12345678Z"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){LINK}[A-Za-z]{{0,6}}[0-9]"

    @property
    def trigger(self) -> Trigger:
        """What leads to it: the automaton has no room for all that may stand between."""
        return Trigger(loosely(self.pattern))

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word unless it is a date."""
        form = None if cuts_a_word(text, start) else _FORM.match(text, start, end + _LONGEST)
        if form is None or cuts_a_run(text, form.start(1)) or _DATE.fullmatch(form[1]):
            return ()
        fits = _FEWEST <= sum(c in DIGITS for c in form[1]) <= _MOST
        return (Span(*form.span(1), "NATIONAL_ID", KEYWORDED),) if fits else ()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        words, value = draw.choice(
            (
                (("DNI", "NIF"), digits(draw, 8) + draw.choice("TRWAGMYFPDXBNJZSQVHLCKE")),
                (("NIE",), draw.choice("XYZ") + digits(draw, 7) + draw.choice("TRWAGMYFPDXBNJZSQVHLCKE")),
                (("PESEL", "PESEL number"), digits(draw, 11)),
                (("BSN", "Burgerservicenummer"), digits(draw, 9)),
                (("Steuer-ID", "Steueridentifikationsnummer", "IdNr."), grouped(digits(draw, 11), (2, 3, 3), draw.choice(("", " ")))),
                (
                    ("codice fiscale", "Codice Fiscale"),
                    f"{text(draw, UPPER, 6)}{digits(draw, 2)}{draw.choice('ABCDEHLMPRST')}{digits(draw, 2)}{draw.choice(UPPER)}{digits(draw, 3)}{draw.choice(UPPER)}",
                ),
                (
                    ("numéro de sécurité sociale", "NIR"),
                    draw.choice("12") + grouped(" " + digits(draw, 14), (1, 2, 2, 2, 3, 3), " ").replace("  ", " "),
                ),
                (("CPR", "CPR number", "personnummer"), f"{digits(draw, 6)}-{digits(draw, 4)}"),
                (("UTR", "Unique Taxpayer Reference"), digits(draw, 10)),
                (("CPF",), f"{digits(draw, 3)}.{digits(draw, 3)}.{digits(draw, 3)}-{digits(draw, 2)}"),
                (("Aadhaar", "Aadhaar number"), grouped(digits(draw, 12), (4, 4), " ")),
                (("SIN", "social insurance number"), grouped(digits(draw, 9), (3, 3), draw.choice((" ", "-")))),
                (("NRIC",), draw.choice("STFG") + digits(draw, 7) + draw.choice(UPPER)),
                (("national ID", "identity card number"), digits(draw, draw.choice((8, 9, 10)))),
            )
        )
        return behind(draw, "NATIONAL_ID", words, value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same form whose digits begin with nines.

        A date of birth, which many begin with, has no month or day 99; no rule that holds for all of these countries keeps other numbers free.
        """
        return after_nines(value, draw)
