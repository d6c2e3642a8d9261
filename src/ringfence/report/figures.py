"""What the pages of audits and sweeps are made from: known numbers, checked again, and the few names that stand in their heads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from ringfence.core.errors import InvalidSettings
from ringfence.core.order import Count, Number
from ringfence.core.problems import first_problem
from ringfence.core.settings import Settings

Single = Annotated[tuple[Number, ...], Field(max_length=10_000)] | None  # one number a canary; None: sealed, and no longer there


class Bounds(Settings):
    """A measured value and its one-sided bounds."""

    value: Number
    lower: Number
    upper: Number
    level: Number = 0.95  # confidence of each bound


class Shown(Settings):
    """Figures of a run that a page or a sentence shows, read from the sealed object."""

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> Self:
        """Return the figures that this version knows; others, of a later one, are left out.

        Raises: InvalidSettings when one that it needs is missing or is not a number.
        """
        known = {name: value for name, value in figures.items() if name in cls.model_fields}
        try:
            return cls.model_validate_json(json.dumps(known), strict=True)
        except (ValidationError, ValueError, TypeError) as cause:
            where, problem = first_problem(cause) if isinstance(cause, ValidationError) else ((), type(cause).__name__)
            raise InvalidSettings(where=".".join(["figures", *map(str, where)]), problem=problem) from cause


class AuditShown(Shown):
    """The figures of an audit that a page shows. All but three words are numbers, and the words are looked up, never printed."""

    secrets: Count
    held_out: Count
    extracted: Count
    extraction: Bounds
    held_out_extracted: Count
    exposure_mean: Number
    exposure_max: Number
    exposure_p: Number
    exposure_limit: Number
    held_out_exposure_max: Number
    held_out_exposure_p: Number
    members: Count
    others: Count
    auc: Bounds
    tpr: Bounds | None = None
    guesses: Count
    right: Count
    epsilon_lower: Number
    epsilon_ceiling: Number
    controls: Count
    controls_extracted: Count
    control_p: Number
    blind: str
    validity: str
    rows: Count = 0
    rows_tried: Count = 0
    rows_replayed: Count = 0
    replay: Bounds | None = None  # None: an audit that did not look at real rows
    rows_replayed_guarded: Count | None = None  # None: nobody asked what a replay guard leaves
    replay_guarded: Bounds | None = None
    guard_false_blocks: Number | None = None
    spans: Count = 0
    spans_tried: Count = 0
    spans_new: Count = 0
    spans_state: str = "nobody looked"
    exposures_in: Single = None
    exposures_out: Single = None
    scores_in: Single = None
    scores_out: Single = None


class TrainShown(Shown):
    """The figures of a training run that a sweep compares."""

    steps: Count
    learning_rate: Number | None = None
    eval_before: Number | None = None
    eval_after: Number | None = None
    eval_error: Number | None = None
    eval_rows: Count = 0
    eval_units: Count = 0


class MemoryShown(Shown):
    """The figures of an audit that a sweep compares. The word is looked up, never printed."""

    secrets: Count
    extracted: Count
    extraction: Bounds
    members: Count
    others: Count
    auc: Bounds
    epsilon_lower: Number
    validity: str


@dataclass(frozen=True)
class Tried:
    """One value of a sweep, and what its run showed."""

    told: str  # the value, as it was written
    at: float | None  # the same as a number
    run: str
    steps: int  # updates that were made
    planned: int | None = None  # updates that a private run might have made
    epsilon: float | None = None  # that it promises; None: an ordinary run
    delta: float | None = None
    learning_rate: float | None = None  # the highest; None: a run of before it was told
    loss: float | None = None  # of held-out rows, per predicted token; None: not measured
    lower: float | None = None  # 95 % interval of it; None: its error is not known
    upper: float | None = None
    before: float | None = None  # the base model's
    rows: int = 0  # held out
    units: int = 0  # whose rows they are
    audit: MemoryShown | None = None  # None: not audited


@dataclass(frozen=True)
class SweepFacts:
    """What was swept. Names that users chose are escaped on the page."""

    key: str
    is_of_privacy: bool  # a value is an epsilon, or none for an ordinary run
    data_set: str
    base: str  # as the recipe names it
    version: str  # of ringfence
    together: str  # what all private runs on these units spend, as a sentence; empty: none of these is private


@dataclass(frozen=True)
class AuditFacts:
    """What was audited. Names that users chose are escaped on the page."""

    audit: str  # run id
    run: str  # of the training
    data_set: str
    base: str  # name of the base model, or the beginning of its digest
    trained: str  # when the training ended, UTC
    audited: str
    statement: str  # digest of the signed statement behind the figures
    version: str  # of ringfence
    claim: tuple[float, float] | None = None  # (epsilon, delta) that the training run promised; None: an ordinary run
