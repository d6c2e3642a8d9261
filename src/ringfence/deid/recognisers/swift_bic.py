"""Business identifier codes of banks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import UPPER, Draw, refill
from ringfence.deid.keyworded import LINK
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, cuts_a_word
from ringfence.deid.specimen import Specimen, behind, digits, text

# Source: ISO 3166-1 alpha-2, and XK of the ISO 9362 and ISO 13616 registries.
COUNTRIES = frozenset(
    (
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH "
        "CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN "
        "GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI "
        "LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM "
        "PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD "
        "TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
    ).split()
)
NO_COUNTRIES = ("QM", "QN", "QO", "QP", "QQ", "QR")  # of QM to QZ, which ISO 3166-1 leaves to its users for ever
_WORDS = r"(?i:swift|bic|bank identifier)|银行代码|银行识别|银行国际|国际汇款代码|銀行代碼|銀行識別|銀行國際|國際匯款代碼"
_CODE = r"[A-Za-z]{6}[A-Za-z0-9]{2}"
_FORM = re.compile(rf"({_WORDS})({LINK})(?<![A-Za-z0-9])({_CODE}(?:[A-Za-z0-9]{{3}})?)(?![A-Za-z0-9])")
_ENGLISH = frozenset("ASSIGNED PROVIDED REQUIRED SUPPLIED".split())  # words with a country in places 5 and 6 that follow `SWIFT CODE`
_LENGTHS = (8, 11)


@RECOGNISERS.add("swift-bic.v1")
class SwiftBic(Shaped):
    """ISO 9362: bank, country, place, and perhaps a branch, right after a key word. In small letters it needs a digit."""

    kinds = frozenset({"SWIFT_BIC"})
    example = "SWIFT: DEUTDEFF500"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){LINK}{_CODE}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the code after the key word if its country exists and it is no English word."""
        form = None if cuts_a_word(text, start) else _FORM.match(text, start, end + 4)
        if form is None or form[3][4:6].upper() not in COUNTRIES or form[3] in _ENGLISH:
            return ()
        word, link, code = form.groups()
        is_bare = word.lower() == "swift" and not link.strip(" _-")  # a swift decision, SWIFT DELIVERY, Swift_LANGUAGE
        if code.isalpha() and (not code.isupper() or (is_bare and not code.endswith("XXX"))):
            return ()
        return (Span(*form.span(3), "SWIFT_BIC", KEYWORDED),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        bank = draw.choice(
            ("DEUT", "BKCH", "ICBK", "ABOC", "PCBC", "HSBC", "CITI", "CHAS", "BARC", "BNPA", "UBSW", "COMM", "CMBC", "INGB", "SCBL")
        )
        value = (
            bank
            + draw.choice(("DEFF", "CNBJ", "CNSH", "HKHH", "US33", "GB2L", "FRPP", "CHZH", "SGSG", "NL2A"))
            + draw.choice(("", "XXX", digits(draw, 3), text(draw, UPPER, 3)))
        )
        return behind(draw, "SWIFT_BIC", ("SWIFT", "SWIFT code", "BIC", "SWIFT/BIC", "Swift Code", "银行国际代码"), value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a code of the same place and branch form in a country of QM to QR: ISO 3166-1 never assigns them, ISO 9362 uses none."""
        code = self.normalise(value)
        if len(code) not in _LENGTHS:
            return draw.scramble(value)
        return refill(value, draw.text(UPPER, 4) + draw.choice(NO_COUNTRIES) + draw.scramble(code[6:]))
