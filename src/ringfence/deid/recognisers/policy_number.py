"""Insurance policy numbers."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.specimen import UPPER, Specimen, behind, day, digits, text

_WORDS = (
    r"(?:保单|保單|投保单|投保單|保险单|保險單|保险合同|保險合同|保险凭证|保險憑證|批单|批單|理赔|理賠|理赔案件|赔案|賠案|报案|報案)(?:号|號|编号|編號)"
    rf"|(?i:(?:insurance[ _])?(?:policy|claim|member|subscriber|beneficiary|medicaid)[ _]?{NO}|insurance[ _]?{NO})"
)


@RECOGNISERS.add("policy-number.v1")
class PolicyNumber(Keyworded):
    """Numbers of policies, their members, proposals, endorsements and claims, behind the key word: at least six digits."""

    kinds = frozenset({"POLICY_NUMBER"})
    example = "保单号：PDAA202311010012345"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 6

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: "P" + text(draw, UPPER, 3) + day(draw, 2008, 2025) + digits(draw, 7),
                lambda: digits(draw, draw.randint(10, 20)),
                lambda: f"{text(draw, UPPER, 2)}-{digits(draw, 9)}",
                lambda: text(draw, UPPER, 3) + digits(draw, 8),
            )
        )()
        return behind(
            draw,
            "POLICY_NUMBER",
            ("保单号", "保单号码", "保险单号", "保险合同号", "Policy No", "policy number", "Insurance policy number"),
            value,
        )
