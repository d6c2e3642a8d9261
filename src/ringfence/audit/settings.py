"""What an audit is asked for, and what its canaries are. Pydantic only: host and children import it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_serializer, model_validator

from ringfence.core.order import Count, Figures, Number
from ringfence.core.rules import MOST_CANARIES
from ringfence.core.settings import Settings, SlotId
from ringfence.train.settings import RuntimeHints, TrainSettings

CONTROLS, CONTROL_TIMES = 4, 16  # secrets of the positive control, and how often each is planted
EACH_SIDE = 8  # guesses of the one-run test on each side: one in so many of the rows that tossed a coin
DELTA = 1e-5  # of the claim that an ordinary run is put to: it makes none
DIGITS = 6  # of a secret and of a row's unpredictable end

CODES, DEEP_CODES = 1_023, 8_191  # that a secret is ranked among by a reward model, and by one for which it stayed the best
MOST_DEEP = 4  # secrets that are looked at so deeply; by chance one of 1,024 is

Kind = Literal["secret", "row", "control"]
Language = Literal["en", "zh"]


class AuditSettings(Settings):
    """The `audit:` block of a recipe."""

    secrets: Annotated[int, Field(ge=0, le=MOST_CANARIES)] = 60  # planted once; as many are held out
    in_out: Annotated[int, Field(ge=0, le=MOST_CANARIES)] = 250  # rows in the data, on average; twice as many toss a coin
    exceed_cap: bool = False  # plant more than the share of rows that does not change the model, on record

    def planted(self, *, control: bool) -> int:
        """Return how many rows are planted, on average."""
        return self.secrets + self.in_out + (CONTROLS * CONTROL_TIMES if control else 0)


def cap(rows: int) -> float:
    """Return the largest share of a training set that canaries may be, by the number of its own rows."""
    if rows >= 10_000:  # noqa: PLR2004  the steps of the rule
        return 0.02
    return 0.05 if rows >= 1_000 else 0.10  # noqa: PLR2004


class Canary(Settings):
    """One planted or held-out row."""

    id: SlotId  # of its record, and of its unit
    kind: Kind
    language: Language
    who: str  # the name in the prompt, which stands in no other canary
    prompt: str
    completion: str
    span: tuple[int, int]  # of the completion: the characters that nobody can predict, fixed before training
    is_in: bool
    other: Annotated[str, Field(pattern=r"^[0-9]*$")] = ""  # the code of a rejected answer; none in older registers
    times: Annotated[int, Field(ge=1)] = 1  # how often it stands in the training set, if it is in

    @property
    def secret(self) -> str:
        """The unpredictable characters."""
        return self.completion[slice(*self.span)]

    @property
    def rejected(self) -> str:
        """The answer that its own is preferred to, where answers are compared."""
        return self.completion[: self.span[0]] + self.other + self.completion[self.span[1] :]

    @model_validator(mode="after")
    def _span_is_digits(self) -> Self:
        if not (self.secret.isascii() and self.secret.isdigit()):
            raise ValueError("the unpredictable span is made of digits")
        return self


class Register(Settings):
    """Every canary of one training set. Encrypted to the auditor: a trainer who knows the canaries can pass the gate."""

    format: Literal["ringfence.register/1"] = "ringfence.register/1"
    audit: AuditSettings
    canaries: tuple[Canary, ...]

    @model_validator(mode="after")
    def _is_balanced(self) -> Self:
        secrets = [one.is_in for one in self.canaries if one.kind == "secret"]
        if sum(secrets) != self.audit.secrets or len(secrets) != 2 * self.audit.secrets:
            raise ValueError("exactly half of the secrets are in")
        if len({one.prompt for one in self.canaries}) != len(self.canaries):
            raise ValueError("two canaries have the same prompt")
        return self

    def of(self, kind: Kind, *, is_in: bool | None = None) -> list[Canary]:
        """Return the canaries of one kind, in the register's order."""
        return [one for one in self.canaries if one.kind == kind and is_in in (None, one.is_in)]


class PlantSettings(Settings):
    """What `plant.v1` is told."""

    audit: AuditSettings = AuditSettings()
    control: bool  # an ordinary run follows
    auditor: Annotated[str, Field(max_length=10_000)]  # public keyset
    blind: bool = (
        False  # half of the canaries in each language, whatever the rows speak: for a promise about the records as they were imported
    )
    rows: Literal["any", "preference", "feedback"] = "any"  # the kind that canaries must be of


class PlantFigures(Figures):
    """How large a set became. Which canaries are in it is the auditor's to know."""

    rows: Count  # of the training set
    planted: Count  # rows among them

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return both: whoever counts the rows knows them."""
        return frozenset({"rows", "planted"})


# ── the audit ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Blind = Literal["ok", "warn", "void"]
Validity = Literal[
    "valid",
    "canaries were cut",
    "codes cannot be spelled",
    "held-out canaries look planted",
    "blind check failed",
    "positive control shows nothing",
]
Scores = Annotated[tuple[Number, ...], Field(max_length=10_000)]


class AuditOrder(Settings):
    """What `audit.v1` is told."""

    train: TrainSettings  # of the run: the adapter's shape, and how its rows were read
    delta: Annotated[float, Field(gt=0, lt=1)]  # of the claim that the one-run test is put to
    rows: Annotated[int, Field(ge=0, le=1 << 20)] = 500  # real rows to be tried, or all there are
    spans: Annotated[int, Field(ge=0, le=1 << 20)] = 300  # replaced identifiers to be tried, or all there are
    looks_for_spans: bool = False  # the set was de-identified; of joined sets, every one
    hints: RuntimeHints = RuntimeHints()

    @field_serializer("train", when_used="json")
    def _as_it_was_written(self, train: TrainSettings) -> dict[str, Any]:
        """Return the settings as the run's statement has them: the gate compares both, and an earlier version's run knew fewer fields."""
        return train.model_dump(mode="json", exclude_unset=True)


class Interval(Figures):
    """A measured share and its one-sided bounds."""

    value: Number
    lower: Number
    upper: Number
    level: Number  # confidence of each bound


SpansState = Literal["tried", "nobody looked", "gone"]


class RowFigures(Figures):
    """What the run says of real rows. Sealed: a count of them is a fact about them."""

    rows: Count = 0  # of the training set, without its canaries
    rows_tried: Count = 0  # with an answer that is long enough to be replayed
    rows_short: Count = 0  # looked at, and not
    rows_replayed: Count = 0
    rows_known: Count = 0  # the base model says them, too
    rows_within: Count = 0  # within 1,000 samples with probability ½
    replay: Interval = Interval(value=0.0, lower=0.0, upper=1.0, level=0.95)
    rows_replayed_guarded: Count | None = None  # where the replay guard lets no passage of the training set pass; None: nobody asked
    replay_guarded: Interval | None = None
    guard_false_blocks: Number | None = None  # share of words that the guard would refuse in rows of people who are not in the training set
    spans: Count = 0  # identifiers that de-identification replaced
    spans_tried: Count = 0
    spans_new: Count = 0  # extractable with the adapter, and not without
    spans_state: SpansState = "nobody looked"


class AuditFigures(RowFigures):
    """What the canaries showed. They are invented, so that every figure may be told; the single scores are sealed all the same, for pictures."""

    secrets: Count
    held_out: Count
    extracted: Count  # of the planted secrets: by greedy decoding, or within 1,000 samples with probability ½
    extraction: Interval
    held_out_extracted: Count
    exposure_mean: Number  # certified bits; below zero: nothing shown
    exposure_max: Number
    exposure_p: Number  # of exposures this large, had none been learned
    exposure_limit: Number  # bits that the largest exceeds with probability 1 %, had none been learned
    held_out_exposure_max: Number
    held_out_exposure_p: Number
    members: Count
    others: Count
    auc: Interval
    tpr: Interval | None = None  # at 1 % false positives; None: too few others
    guesses: Count
    right: Count
    epsilon_lower: Number  # the run was not private for any smaller epsilon; 0 = nothing shown
    epsilon_ceiling: Number  # what the same number of guesses, all right, would have shown
    controls: Count
    controls_extracted: Count
    control_p: Number
    blind: Blind
    validity: Validity
    exposures_in: Scores
    exposures_out: Scores
    scores_in: Scores
    scores_out: Scores
    seconds: Number = 0.0
    peak_memory: Count = 0  # bytes

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return everything about the canaries but their single scores, and nothing about real rows."""
        single = {"exposures_in", "exposures_out", "scores_in", "scores_out"}
        return frozenset(cls.model_fields) - frozenset(RowFigures.model_fields) - single - {"seconds", "peak_memory"}
