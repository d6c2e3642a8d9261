"""What `deid train` is told and what it says. Light: no engine is imported here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from ringfence.core.order import Count, Counts, Figures, Number
from ringfence.core.settings import Digest, Settings

FILE, CARD = "{language}.crf", "tagger.json"  # files of a sealed tagger
_KIND = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


def _a_kind(kind: str) -> str:
    if not _KIND.fullmatch(kind):
        raise ValueError("a kind is written in capitals, digits and _")
    return kind


Kind = Annotated[str, AfterValidator(_a_kind)]


class TeachSettings(Settings):
    """One training of a tagger completely."""

    kinds: Annotated[tuple[Kind, ...], Field(max_length=64)] = ()  # of the tenant's own, beside persons, organisations and places
    labels_digest: Digest | None = None  # keyed digest of the file, as of a dictionary of terms; None without a file
    review: Digest | None = None  # the sealed review whose finished rows are learnt from
    held_out: Annotated[float, Field(ge=0.05, le=0.5)] = 0.2  # share of the sentences
    least: Annotated[int, Field(ge=20)] = 100  # sentences of a language from which it gets a model
    seed: Annotated[int, Field(ge=0)] = 1
    copies: Annotated[int, Field(ge=0, le=20)] = 8  # of each sentence, with other names in it
    iterations: Annotated[int, Field(ge=1, le=500)] = 80

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.labels_digest is None and self.review is None:
            raise ValueError("there is nothing to learn from")
        return self


class Measured(Figures):
    """What a tagger found in the sentences that were held out. Spans are counted by kind, characters over all of them."""

    found: Counts = Field(default_factory=dict)
    exact: Counts = Field(default_factory=dict)  # of them, those with the range and the kind of a labelled one
    covered: Counts = Field(default_factory=dict)  # labelled spans of whose characters none is left, whatever kind was found
    missed: Count = 0  # characters of labelled spans that nothing covers
    over: Count = 0  # characters outside of them that something covers


class LanguageCard(Figures):
    """How well a tagger does in one language."""

    taught_on: Count  # sentences
    measured_on: Count  # other sentences
    labelled: Counts = Field(default_factory=dict)  # spans that were held out, by kind
    identifying: Count  # characters of them
    plain: Count  # characters outside of them
    learnt: Measured
    shipped: Measured  # the tagger that ships with ringfence, on the same sentences
    together: Measured  # both, as `deid` uses them
    seconds_learning: Number  # CPU


class TeachFigures(Figures):
    """The card of a tagger. All of it is computed from real rows, so none of it is public."""

    documents: Count
    moved: Count  # documents that were to be held out and say what others say
    shared: Number  # share of shingles of what is held out that the rest has, too
    spans: Counts = Field(default_factory=dict)  # labelled, by kind
    ignored: Count  # spans of kinds that patterns find
    unreviewed: Count  # texts with proposals that nobody looked at: left out
    zh: LanguageCard | None = None  # None: too few sentences in this language
    en: LanguageCard | None = None


def scores(card: LanguageCard, measured: Measured, kind: str | None = None) -> Mapping[str, float]:
    """Return precision, recall and F1 of exact spans, and the shares covered, missed and masked too much; of one kind, or of all.

    A share of nothing is 0.
    """
    labelled, found, exact, covered = (
        counts.get(kind, 0) if kind else sum(counts.values())
        for counts in (card.labelled, measured.found, measured.exact, measured.covered)
    )
    shares = {
        "precision": _share(exact, found),
        "recall": _share(exact, labelled),
        "f1": _share(2 * exact, found + labelled),
        "covered": _share(covered, labelled),
    }
    return shares if kind else shares | {"missed": _share(measured.missed, card.identifying), "over": _share(measured.over, card.plain)}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
