"""Medical record numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.keyworded import JOIN, NO, NUMBER, Keyworded
from ringfence.deid.recogniser import RECOGNISERS, Span
from ringfence.deid.specimen import Specimen, behind, day, digits

_WORDS = (
    r"(?:住院|病历|病歷|病案|病理|门诊|門診|急诊|急診|就诊|就診|就诊卡|就診卡|诊疗卡|診療卡|检查|檢查|检验|檢驗|影像|放射|超声|超聲|标本|標本"
    r"|体检|體檢|处方|處方|患者|病人)(?:单|單)?(?:号|號|编号|編號|ID|id)"
    rf"|(?i:mrn|uhid|(?:medical[ _]record|patient|chart|accession|hosp(?:ital)?|admission|encounter|specimen)[ _]?{NO})"
)
_DATABASE = re.compile(r"(?:GSE|GSM|GDS|GPL|[SED]R[APRSX]|NCT|PMC|N[MPR]_)", re.IGNORECASE)  # accession numbers of public archives


@RECOGNISERS.add("medical-record.v1")
class MedicalRecord(Keyworded):
    """Numbers of a stay, a record, a card, an examination or a specimen, behind the key word: at least four digits. Not beds."""

    kinds = frozenset({"MEDICAL_RECORD"})
    example = "住院号：ZY20230415001"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 4

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word unless it names a data set of a public archive."""
        spans = super().check(text, start, end)
        return () if spans and _DATABASE.match(text, spans[0].start, spans[0].end) else spans

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        value = draw.choice(
            (
                lambda: "ZY" + day(draw, 2005, 2025) + digits(draw, 3),
                lambda: digits(draw, draw.randint(6, 10)),
                lambda: "MZ" + digits(draw, 8),
                lambda: f"{draw.choice('ABHM')}{digits(draw, 7)}",
                lambda: f"{draw.randint(2005, 2025)}-{digits(draw, 5)}",
                lambda: f"MRN{digits(draw, 7)}",
            )
        )()
        return behind(
            draw,
            "MEDICAL_RECORD",
            ("住院号", "病历号", "门诊号", "病案号", "就诊卡号", "登记号", "MRN", "Medical record number", "Patient ID", "chart number"),
            value,
        )
