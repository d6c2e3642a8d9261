"""Insurance policy numbers."""

from __future__ import annotations

from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS

_WORDS = (
    r"(?:保单|保單|投保单|投保單|保险单|保險單|保险合同|保險合同|保险凭证|保險憑證|批单|批單)(?:号|號|编号|編號)"
    rf"|(?i:(?:insurance[ _])?policy[ _]?{NO}|insurance[ _]?{NO})"
)


@RECOGNISERS.add("policy-number.v1")
class PolicyNumber(Keyworded):
    """Numbers of policies, proposals and endorsements, behind the key word: at least six digits."""

    kinds = frozenset({"POLICY_NUMBER"})
    example = "保单号：PDAA202311010012345"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 6
