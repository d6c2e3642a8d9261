"""Number: the last number of the answer is that of the row's answer, as sums and doses are judged.

Source: Cobbe et al. 2021 (arXiv:2110.14168), whose answers end in the number that counts.
"""

from __future__ import annotations

import re
from decimal import Decimal

from ringfence.train.reward import REWARDS, Case

_NUMBER = re.compile(r"(?<!\d)[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)


@REWARDS.add("number.v1")
class Number:
    """1 where both last numbers are equal (1,000 is 1000.0), else 0; where the row's answer has none, 1 for an answer without one."""

    case = Case("Which dose?", "Twice 250 mg: 500", "That makes 500.0 mg a day, not 1,000… so 500", "250")

    def score(self, *, question: str, said: str, answer: str) -> float:  # noqa: ARG002  every reward is told all three
        """Return 1 or 0."""
        return float(_last(said) == _last(answer))


def _last(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "")) if found else None
