"""What a page of an audit is made from: known numbers, checked again, and the few names that stand in its head."""

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
    spans: Count = 0
    spans_tried: Count = 0
    spans_new: Count = 0
    spans_state: str = "nobody looked"
    exposures_in: Single = None
    exposures_out: Single = None
    scores_in: Single = None
    scores_out: Single = None


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
