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
    r"|体检|體檢|处方|處方|患者|病人|病员|病員|诊疗|診療|登记|登記|挂号|掛號|入院|出院|健康卡|健康档案|健康檔案|样本|樣本|切片|内镜|內鏡|胃镜|腸鏡|肠镜|心电(?:图)?|心電(?:圖)?|转院|轉院"
    r"|主索引|(?:CT|MR|MRI|DR|X线|X光|B超))(?:单|單|卡|流水|登记|登記|条码|條碼)?(?:号|號|编号|編號|编码|編碼|ID|id)|ID(?:号|號)"
    rf"|(?i:mrn|uhid|(?:med(?:ical|\.)?[ _]rec(?:ord|\.)?s?|patient|pt|chart|accession|hosp(?:ital|\.)?|admission|encounter|visit|specimen)[ _]?{NO}|mr ?#)"
)
_DATABASE = re.compile(r"(?:GSE|GSM|GDS|GPL|[SED]R[APRSX]|(?:CHI)?CTR|NCT|PMC|N[MPR]_)", re.IGNORECASE)  # of public archives and registers
_OTHER_REGISTER = re.compile(  # 著作权登记号: of a thing, not of a patient
    r"(?:著作权|著作權|软件|軟件|软著|版权|版權|作品|商标|商標|专利|專利|药品|藥品|产品|產品|器械|企业|企業|工商|机构|機構|组织|税务|稅務|注册|試驗|试验|研究|不动产|不動產|房产|房產|土地|产权|車輛|车辆|机动车|农药|债券|股权|抵押|质押|婚姻|商品|订单|訂單|任务|任務|项目|項目|用例)$"
)
_REGISTERED = ("登记", "登記", "ID")


@RECOGNISERS.add("medical-record.v1")
class MedicalRecord(Keyworded):
    """Numbers of a stay, a record, a card, an examination or a specimen, behind the key word: at least four digits. Not beds."""

    kinds = frozenset({"MEDICAL_RECORD"})
    example = "住院号：ZY20230415001"
    pattern: ClassVar[str] = rf"(?:{_WORDS}){JOIN}{NUMBER}"
    fewest: ClassVar[int] = 4

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the number behind the key word unless it names an entry of a public archive or a register of things."""
        if text.startswith(_REGISTERED, start) and _OTHER_REGISTER.search(text, max(0, start - 4), start):
            return ()
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
