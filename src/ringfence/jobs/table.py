"""The closed table of jobs. An order names a row; it cannot name code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.audit.settings import AuditFigures, AuditOrder, PlantFigures, PlantSettings
from ringfence.core.order import Figures, Limits
from ringfence.core.settings import Settings
from ringfence.deid.review.settings import ReviewFigures, ReviewSettings
from ringfence.deid.settings import DeidFigures, DeidSettings, RevealFigures, RevealSettings
from ringfence.deid.teaching import TeachFigures, TeachSettings
from ringfence.deid.terms_settings import DiscoverFigures, DiscoverSettings, ListFigures, ListSettings, TermsFigures, TermsSettings
from ringfence.evaluate.settings import EvalFigures, EvalOrder
from ringfence.formats.settings import FormatFigures, FormatSettings
from ringfence.guard.settings import GuardFigures, GuardSettings
from ringfence.ingest.settings import ExportFigures, ExportSettings, ImportFigures, ImportSettings
from ringfence.models.settings import ModelFigures, ModelSettings
from ringfence.scan.settings import KeepSettings, ScanFigures, ScanSettings
from ringfence.serve.settings import ChatFigures, ChatSettings, ServeFigures, ServeSettings
from ringfence.train.settings import JoinFigures, JoinSettings, PriceFigures, PriceOrder, TrainFigures, TrainOrder


@dataclass(frozen=True)
class JobRow:
    """What one job may receive and send back."""

    entry: str  # module:function of the child half
    settings: type[Settings]
    figures: type[Figures]
    purpose: tuple[str, ...] = ()  # purpose keys that it receives
    text_channel: bool = False  # may it pass text to the person?
    checkpoints: bool = False  # may it hand over checkpoints?
    loads_model: bool = False  # gets the machine's GPUs
    plain_output: bool = False  # writes public files into files["target"] instead of sealed slots
    limits: Limits = field(default_factory=Limits)


_HOUR = 3600.0
JOBS: Mapping[str, JobRow] = {
    "import.v1": JobRow(
        "ringfence.ingest.job:run", ImportSettings, ImportFigures, ("record-id", "unit-id", "content"), limits=Limits(seconds=6 * _HOUR)
    ),
    "export.v1": JobRow(
        "ringfence.ingest.job:export",
        ExportSettings,
        ExportFigures,
        ("unit-id",),
        text_channel=True,
        limits=Limits(seconds=6 * _HOUR),
    ),
    "scan.v1": JobRow("ringfence.scan.job:run", ScanSettings, ScanFigures, ("content",), limits=Limits(seconds=6 * _HOUR)),
    "keep.v1": JobRow("ringfence.scan.job:keep", KeepSettings, ScanFigures, ("content",), limits=Limits(seconds=6 * _HOUR)),
    "deid.v1": JobRow("ringfence.deid.job:run", DeidSettings, DeidFigures, ("surrogate", "content"), limits=Limits(seconds=12 * _HOUR)),
    "reveal.v1": JobRow("ringfence.deid.reveal:run", RevealSettings, RevealFigures, text_channel=True, limits=Limits(seconds=24 * _HOUR)),
    "review.v1": JobRow(
        "ringfence.deid.review.job:run",
        ReviewSettings,
        ReviewFigures,
        ("content",),
        text_channel=True,
        limits=Limits(seconds=24 * _HOUR),
    ),
    "teach.v1": JobRow("ringfence.deid.teach:run", TeachSettings, TeachFigures, ("content",), limits=Limits(seconds=6 * _HOUR)),
    "discover.v1": JobRow("ringfence.deid.terms_job:discover", DiscoverSettings, DiscoverFigures, limits=Limits(seconds=6 * _HOUR)),
    "terms-list.v1": JobRow("ringfence.deid.terms_job:show", ListSettings, ListFigures, text_channel=True, limits=Limits(seconds=_HOUR)),
    "terms-decide.v1": JobRow("ringfence.deid.terms_job:decide", TermsSettings, TermsFigures, limits=Limits(seconds=_HOUR)),
    "terms-review.v1": JobRow(
        "ringfence.deid.terms_job:review", TermsSettings, TermsFigures, text_channel=True, limits=Limits(seconds=24 * _HOUR)
    ),
    "terms-import.v1": JobRow("ringfence.deid.terms_job:take", TermsSettings, TermsFigures, ("content",), limits=Limits(seconds=_HOUR)),
    "join.v1": JobRow("ringfence.train.join:run", JoinSettings, JoinFigures, ("content",), limits=Limits(seconds=6 * _HOUR)),
    "plant.v1": JobRow("ringfence.audit.plant:run", PlantSettings, PlantFigures, ("content",), limits=Limits(seconds=6 * _HOUR)),
    "train.v1": JobRow(
        "ringfence.train.job:run",
        TrainOrder,
        TrainFigures,
        checkpoints=True,
        loads_model=True,
        limits=Limits(seconds=30 * 24 * _HOUR, memory=1 << 40),
    ),
    "price.v1": JobRow(
        "ringfence.train.price:run", PriceOrder, PriceFigures, loads_model=True, limits=Limits(seconds=_HOUR, memory=1 << 40)
    ),
    "guard.v1": JobRow("ringfence.guard.job:run", GuardSettings, GuardFigures, limits=Limits(seconds=6 * _HOUR, memory=1 << 40)),
    "audit.v1": JobRow(
        "ringfence.audit.job:run",
        AuditOrder,
        AuditFigures,
        ("auditor",),
        loads_model=True,
        limits=Limits(seconds=24 * _HOUR, memory=1 << 40),
    ),
    "eval.v1": JobRow(
        "ringfence.evaluate.job:run", EvalOrder, EvalFigures, loads_model=True, limits=Limits(seconds=7 * 24 * _HOUR, memory=1 << 40)
    ),
    "model.v1": JobRow(
        "ringfence.models.job:run", ModelSettings, ModelFigures, plain_output=True, limits=Limits(seconds=_HOUR, memory=1 << 40)
    ),
    "formats.v1": JobRow(
        "ringfence.formats.job:run",
        FormatSettings,
        FormatFigures,
        loads_model=True,
        plain_output=True,
        limits=Limits(seconds=6 * _HOUR, memory=1 << 40),
    ),
    "chat.v1": JobRow(
        "ringfence.serve.job:run",
        ChatSettings,
        ChatFigures,
        text_channel=True,
        loads_model=True,
        limits=Limits(seconds=24 * _HOUR, memory=1 << 40),
    ),
    "serve.v1": JobRow(
        "ringfence.serve.job:serve",
        ServeSettings,
        ServeFigures,
        text_channel=True,
        loads_model=True,
        limits=Limits(seconds=30 * 24 * _HOUR, memory=1 << 40),  # then the front starts it again
    ),
}
