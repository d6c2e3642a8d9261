"""What an evaluation is asked for, and what it says. Pydantic only: host and children import it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.order import Count, Figures, Number
from ringfence.core.settings import Settings
from ringfence.train.settings import Device, Dtype, Positive, RuntimeHints, TrainSettings

CONFIDENCE = 0.95  # of the intervals, two-sided
BATCH = 16  # rows at once, unless the hints say otherwise
LEAST_UNITS = 20  # people (or rows, where nobody is named) whose figures may leave: of fewer, a mean is about somebody


class EvalSettings(Settings):
    """What a person asks of an evaluation."""

    max_samples: Positive | None = None  # rows, the first ones of the set; None: all
    generates: bool = True  # answers, and what compares them; else loss and perplexity alone
    max_new_tokens: Annotated[int, Field(gt=0, le=1 << 20)] = 256  # of one answer
    resamples: Annotated[int, Field(ge=1000, le=100_000)] = 2000  # of the bootstrap
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 42  # that draws them


class EvalOrder(Settings):
    """What `eval.v1` is told."""

    asked: EvalSettings = EvalSettings()
    train: TrainSettings  # of the run: the adapter's shape, and how its rows were read
    hints: RuntimeHints = RuntimeHints()


class Estimate(Figures):
    """A figure and its two-sided interval; none where all rows are of one unit."""

    value: Number
    lower: Number | None = None
    upper: Number | None = None


class Compared(Figures):
    """A figure of the base model and of the same with its adapter, and by how much the second is above the first."""

    base: Estimate
    tuned: Estimate
    difference: Estimate


Bleu = Literal["13a", "zh"]  # tokenisers of sacrebleu


class EvalFigures(Figures):
    """What the models say of the rows. All of it is a fact about them, but for where it was computed."""

    rows: Count  # that were read
    rows_scored: Count  # with a token to predict within cutoff_len
    units_scored: Count  # whose rows they are
    rows_cut: Count  # to cutoff_len
    tokens_scored: Count
    loss: Compared  # nats a predicted token; of a reward model, a pair
    perplexity: Compared | None = None
    accuracy: Compared | None = None  # of a reward model: share of the pairs whose preferred answer scores higher
    margin: Compared | None = None  # by how much it does, on average
    rows_answered: Count = 0
    units_answered: Count = 0
    rows_unasked: Count = 0  # without a question or an answer, or with too long a question for the model's window
    unended: Count = 0  # answers of the tuned model that max_new_tokens ended
    exact_match: Compared | None = None  # share of the answers
    rouge_l: Compared | None = None  # mean F-measure, 0 to 1
    bleu: Compared | None = None  # of all answers together, 0 to 100
    bleu_tokens: Bleu | None = None  # how BLEU cut the texts into words
    rows_seen: Count | None = None  # that the run was trained on; None: its training set is not here
    rows_of_seen_units: Count | None = None  # of people of whom it was trained on some row
    seconds_loss: Number = 0.0
    seconds_answers: Number = 0.0
    seconds: Number = 0.0  # from the start of the process
    peak_memory: Count = 0  # bytes
    device: Device
    dtype: Dtype

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return where it was computed."""
        return frozenset({"device", "dtype"})
