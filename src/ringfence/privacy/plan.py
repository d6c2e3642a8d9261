"""What a private run promises, as one frozen value; and what the promise is built from, for any accountant to price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ringfence.core.bounds import LEAST_DELTA, exact
from ringfence.core.settings import Settings
from ringfence.core.text import Language, Text

MOST_STEPS = 10**6

# The bounds are those within which the accountant answers, and answers soon.
Unit = Annotated[str, Field(min_length=1, max_length=256)]  # the column that was chosen at import
Rate = Annotated[float, Field(ge=1e-6, le=1, strict=True)]
Delta = Annotated[float, Field(ge=1e-12, lt=1, strict=True)]
Epsilon = Annotated[float, Field(ge=0.01, le=1_000, strict=True)]
Noise = Annotated[float, Field(ge=0.3, le=1e5, strict=True)]  # standard deviation over the clip norm
Scope = Literal["prepared", "record"]  # the records that are promised something about: as preparation left them, or as they were imported
Clipping = Literal["flat", "automatic", "per-layer"]  # how what a unit adds is brought to the clip norm; the bound is the same


_ONE_OF_TWO = Text(
    "write epsilon, to which the noise is fitted, or noise_multiplier, whose epsilon is told, and not both",
    "请写 epsilon（噪声随之而定）或 noise_multiplier（epsilon 随之而定），二者取一",
)
_ONE_ACCOUNTANT = Text("write pld, the one that there is, or leave it out", "请写 pld（唯一提供的核算方式），或不写")
_OTHER_ACCOUNTANTS = {
    "gdp": Text(
        "central-limit accounting tells less than the truth, in some runs half of it; write pld or leave it out",
        "中心极限核算给出的数值低于真实值，有时只有一半；请写 pld 或不写",
    ),
    "rdp": Text(
        "Rényi accounting asks for 5 to 7 % more noise for the same promise; write pld or leave it out",
        "Rényi 核算为同样的承诺多要 5% 到 7% 的噪声；请写 pld 或不写",
    ),
    "prv": Text(
        "it computes what pld computes, with an error on either side; write pld or leave it out",
        "它与 pld 计算同一个量，但误差可正可负；请写 pld 或不写",
    ),
}


class PrivacySettings(Settings):
    """The `privacy:` block of a recipe: what is asked for."""

    epsilon: Epsilon | None = None  # what all steps may spend: the noise is fitted to it
    noise_multiplier: Noise | None = None  # or the noise, and what it spends is told
    delta: Annotated[Delta, Field(ge=LEAST_DELTA)]  # of a plan that was made before there was this bound it may be smaller
    unit: Unit | None = None  # None: one record; rows with the same content are one
    clip_norm: Annotated[float, Field(gt=0, le=1e6, strict=True)] = 1.0
    sampling_rate: Rate | None = None  # None: batch over units
    max_batch: Annotated[int, Field(gt=0, strict=True)] | None = None  # units that a step reads at most; None: what is hardly ever exceeded
    max_rows: Annotated[int, Field(gt=0, strict=True)] | None = None  # of one unit, or the run is refused; None: any number
    clipping: Clipping = "flat"
    scope: Scope = "prepared"
    accountant: str = "pld"
    momentum: Annotated[float, Field(ge=0, lt=1, strict=True)] | None = None  # of `optim: sgd`; None: 0.9

    @model_validator(mode="after")
    def _is_one_promise(self) -> PrivacySettings:
        if (self.epsilon is None) is (self.noise_multiplier is None):
            raise ValueError(_ONE_OF_TWO.show())
        return self

    @field_validator("accountant")
    @classmethod
    def _is_exact(cls, name: str) -> str:
        if name != "pld":
            raise ValueError(_OTHER_ACCOUNTANTS.get(name, _ONE_ACCOUNTANT).show())
        return name


_RECORD = Text("record", "记录")
_STATEMENT = Text(
    "({epsilon}, {delta})-differentially private per {unit}: {steps} steps, Poisson sampling at {rate:.4g} of {units} units{most}, "
    "clip norm {clip:g}, noise multiplier {sigma:.5g}, zero-out neighbouring, PLD accounting; {scope}",
    "以每个 {unit} 为单位满足 ({epsilon}, {delta})-差分隐私：{steps} 步，对 {units} 个单位以 {rate:.4g} 的概率泊松抽样{most}，"
    "裁剪范数 {clip:g}，噪声乘数 {sigma:.5g}，清零相邻关系，PLD 核算；{scope}",
)
_SCOPES: dict[Scope, Text] = {
    "prepared": Text("about the records as preparation left them, which is held fixed", "针对预处理之后的记录，预处理视为固定"),
    "record": Text("about the records as they were imported", "针对导入时的记录"),
}
_AT_MOST = Text(", at most {most} a step", "，每步至多 {most} 个")


class Mechanism(Settings):
    """Steps of the Poisson-subsampled Gaussian mechanism: everything that an accountant needs to know of them."""

    noise_multiplier: Annotated[float, Field(gt=0, le=1e6)]  # standard deviation of the noise over clip_norm
    sampling_rate: Rate  # each unit joins each step with this probability, independently
    steps: Annotated[int, Field(ge=0, le=10**9)]  # of many runs together, too
    units: Annotated[int, Field(gt=0)] | None = None  # that are sampled from; needed where a step is cut
    max_batch: Annotated[int, Field(gt=0)] | None = None  # units of a step: of more that are drawn a random part is read; None: all of them


class DPPlan(Settings):
    """Everything that the (ε, δ) statement depends on. Digested into the evidence; made by `accountant.calibrate`, which fits the noise.

    Neighbouring: zero-out, the data of one unit replaced by nothing while the number of units stays what it is and is public.
    """

    epsilon: Epsilon
    delta: Delta
    unit: Unit | None  # None: one record
    units: Annotated[int, Field(gt=0)]  # public
    clip_norm: Annotated[float, Field(gt=0, le=1e6)]  # L2 bound of what one unit adds to the sum of a step
    clipping: Clipping = "flat"
    sampling_rate: Rate
    max_batch: Annotated[int, Field(gt=0)] | None = None  # units of a step; None: all that are drawn, in plans of before there was a bound
    steps: Annotated[int, Field(gt=0, le=MOST_STEPS)]
    noise_multiplier: Annotated[float, Field(gt=0, le=1e6)]
    neighbouring: Literal["zero-out"] = "zero-out"
    sampling: Literal["poisson"] = "poisson"
    accountant: Literal["pld"] = "pld"
    scope: Scope = "prepared"

    def event(self) -> Mechanism:
        """Return the whole plan as the accountant sees it."""
        return Mechanism(
            noise_multiplier=self.noise_multiplier,
            sampling_rate=self.sampling_rate,
            steps=self.steps,
            units=self.units,
            max_batch=self.max_batch,
        )

    @property
    def expected_units(self) -> float:
        """The public constant by which the noisy sum of a step is divided: units that a step reads on average."""
        return self.sampling_rate * self.units

    def leases(self) -> int:
        """Return how many steps are asked for at a time: a crash loses that many at most, and the ledger grows by about 100 entries a run."""
        return -(-self.steps // 100)

    def statement(self, language: Language | None = None) -> str:
        """Return the promise as one sentence, in the chosen language or another."""
        unit = _RECORD.show(language) if self.unit is None else self.unit
        return _STATEMENT.show(
            language,
            epsilon=exact(self.epsilon),
            delta=exact(self.delta),
            unit=unit,
            steps=self.steps,
            rate=self.sampling_rate,
            units=self.units,
            most="" if self.max_batch is None else _AT_MOST.show(language, most=self.max_batch),
            clip=self.clip_norm,
            sigma=self.noise_multiplier,
            scope=_SCOPES[self.scope].show(language),
        )


def merged(mechanisms: Iterable[Mechanism]) -> list[Mechanism]:
    """Return the same steps with those that differ in nothing else put together, sorted; those without a step are left out."""
    steps: Counter[Mechanism] = Counter()
    for one in mechanisms:
        steps[one.model_copy(update={"steps": 0})] += one.steps
    found = [kind.model_copy(update={"steps": count}) for kind, count in steps.items() if count]
    return sorted(found, key=lambda one: (one.noise_multiplier, one.sampling_rate, one.units or 0, one.max_batch or 0))
