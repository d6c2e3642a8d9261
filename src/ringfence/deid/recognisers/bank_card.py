"""Payment card numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import ClassVar

from ringfence.deid.draw import DIGITS, Draw, refill
from ringfence.deid.recogniser import LUHN, RECOGNISERS, Shaped, Span, Trigger, has_word, in_decimal, stands_alone
from ringfence.deid.specimen import Specimen, bare, behind, digits, grouped, luhn

_GROUP = re.compile(r"[0-9]+")
_SHORTEST, _LONGEST = 13, 19
# First digits of the networks: Visa, Mastercard, Amex, Diners, JCB (its old numbers of 15 digits, too), Discover, UnionPay, Maestro, and the old 9558
# of ICBC. Maestro has cards of twelve digits: a key word must tell them from other numbers. Source: ISO/IEC 7812 ranges as the networks publish them.
_ISSUED = re.compile(r"4|5|2[2-7]|3[04-9]|6|8[1-2]|9558")
_OLD_JCB = re.compile(r"(?:2131|1800)[0-9]{11}")
_SHORT_MAESTRO = re.compile(r"(?:5[068]|6[0-9]|06)[0-9]{10}")
_WORDS = re.compile(r"卡|card|CARD|Card|\bcc\b|maestro|Maestro")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn_sum(number: str) -> int:
    """Return the Luhn sum of a digit string; a valid number has one divisible by 10. Source: ISO/IEC 7812-1 annex B."""
    return sum(_DOUBLED[int(d)] if i % 2 else int(d) for i, d in enumerate(reversed(number)))


@RECOGNISERS.add("bank-card.v1")
class BankCard(Shaped):
    """13 to 19 digits, 12 behind a key word, that pass Luhn and begin like an issued card; in one block or in the groups printed on cards."""

    kinds = frozenset({"BANK_CARD"})
    example = "4111111111111111"
    pattern: ClassVar[str] = r"[0-9](?:[ \-]?[0-9]){11,}"

    @property
    def trigger(self) -> Trigger:
        """Return the whole runs of digits."""
        return Trigger(f"(?:^|[^0-9]){self.pattern}(?:[^0-9]|$)", is_number=True)

    @property
    def searched(self) -> str:
        """Return the pattern from the first digit of a group on: the rest of a group is no card."""
        return f"(?<![0-9]){self.pattern}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return every card in a run of digit groups, the longest first choice at each place."""
        groups = [m.span() for m in _GROUP.finditer(text, start, end)]
        if not stands_alone(text, start, end):  # a letter touches an outer group: only that group is lost
            groups = [g for g in groups if stands_alone(text, *g)]
        spans, first = [], 0
        while first < len(groups):
            last = next((n for n in range(min(len(groups), first + 5), first, -1) if _is_card(text, groups[first:n])), None)
            if last is None:
                first += 1
                continue
            spans.append(Span(groups[first][0], groups[last - 1][1], "BANK_CARD", LUHN))
            first = last
        return spans

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        bins = (
            "4|16",
            "51|16",
            "55|16",
            "2221|16",
            "34|15",
            "37|15",
            "3528|16",
            "6011|16",
            "62|16",
            "622202|19",
            "622848|19",
            "621700|19",
            "623668|16",
            "622588|16",
            "628888|16",
        )
        first, length = draw.choice(bins).split("|")
        body = first + digits(draw, int(length) - len(first) - 1)
        number = body + luhn(body)
        value = draw.choice((number, number, grouped(number, (4, 6) if length == "15" else (4, 4, 4, 4), draw.choice(" -"))))
        return draw.choice(
            (
                lambda: bare("BANK_CARD", value),
                lambda: behind(draw, "BANK_CARD", ("卡号", "银行卡号", "信用卡", "card number", "Visa card"), value),
            )
        )()

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a number of the same length under 9999, which is no country's, that passes Luhn."""
        number = self.normalise(value)
        if not _SHORTEST - 1 <= len(number) <= _LONGEST or not number.isdigit():
            return draw.scramble(value)
        body = "9999" + draw.text(DIGITS, len(number) - 5)
        return refill(value, body + str(-luhn_sum(body + "0") % 10))


def _is_card(text: str, groups: Sequence[tuple[int, int]]) -> bool:
    start, end = groups[0][0], groups[-1][1]
    number = "".join(text[a:b] for a, b in groups)
    if in_decimal(text, start, end) or not (_is_issued(number) or (_is_short(number) and has_word(text, start, end, words=_WORDS))):
        return False
    separators = {text[b:c] for (_, b), (c, _) in pairwise(groups)}
    return len(separators) <= 1 and _is_layout([b - a for a, b in groups]) and luhn_sum(number) % 10 == 0


def _is_issued(number: str) -> bool:
    return bool(_SHORTEST <= len(number) <= _LONGEST and (_ISSUED.match(number) or _OLD_JCB.fullmatch(number)))


def _is_short(number: str) -> bool:
    return len(number) == _SHORTEST - 1 and _SHORT_MAESTRO.fullmatch(number) is not None


def _is_layout(sizes: list[int]) -> bool:
    """Return True for one block, groups of four with a shorter last one, 4-6-5, 4-6-4, 6-13 and 6-10."""
    fours = all(size == 4 for size in sizes[:-1]) and sizes[-1] <= 4  # noqa: PLR2004  digits of a group
    return len(sizes) == 1 or fours or sizes in ([4, 6, 5], [4, 6, 4], [6, 13], [6, 10])
