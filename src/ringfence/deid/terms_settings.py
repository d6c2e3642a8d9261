"""What the jobs about internal terms are told and what they say. Light: no engine is imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.order import Count, Counts, Figures
from ringfence.core.settings import Digest, Settings
from ringfence.deid.settings import DeidSettings

# The lists of `decisions.py`, once more: these settings import no engine.
TermVerb = Literal["accept", "keep", "generalise", "forget"]
TermKind = Literal["system", "project", "organisation", "product", "place", "code"]
Range = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]  # first and last number, inclusive


class DiscoverSettings(Settings):
    """One search for candidates completely."""

    find: DeidSettings  # what is masked anyway, and so no candidate
    most: Annotated[int, Field(ge=1, le=5_000)] = 500  # candidates
    least: Annotated[int, Field(ge=2)] = 3  # occurrences in the sample
    characters: Annotated[int, Field(ge=1_000, le=50_000_000)] = 8_000_000  # of the sample


class DiscoverFigures(Figures):
    """How much was looked at, and how many candidates there are; strong: of them, those that ask for a decision before training."""

    records: Count
    records_read: Count  # of the sample
    characters: Count
    candidates: Count
    strong: Count

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return what the warning before training needs."""
        return frozenset({"strong"})


class ListSettings(Settings):
    """What is shown to a person."""

    most: Annotated[int, Field(ge=1)] = 50


class ListFigures(Figures):
    """How much was shown."""

    shown: Count


class TermsSettings(Settings):
    """One change of the dictionary. Numbers are those of the list of candidates: a term stands in no settings."""

    how: Literal["decide", "review", "import"]
    verb: TermVerb | None = None
    kind: TermKind | None = None
    numbers: tuple[Range, ...] = ()
    source_digest: Digest | None = None  # keyed, of an imported file


class TermsFigures(Figures):
    """What the dictionary holds after the change. Counts of decisions and of candidates, no more."""

    terms: Count
    accepted: Count
    kept: Count
    generalised: Count
    changed: Count  # decisions that are new or other ones
    strong_left: Counts  # by role of the candidates: strong ones that nobody decided on

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return everything: decisions of people, and what the warning before training needs."""
        return frozenset(cls.model_fields)
