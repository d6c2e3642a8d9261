"""How a replay guard is built, and what its building says. Pydantic only: host and children import it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.core.order import Count, Figures, Number
from ringfence.core.settings import Settings

TRIES = 64  # tokens that may be refused at one place of an answer; then it ends


class GuardSettings(Settings):
    """What a guard blocks. Source of the default length: Ippolito et al. 2022 (arXiv:2210.17546) block n-grams of ten tokens."""

    words: Annotated[int, Field(ge=3, le=50)] = 10  # in a row, of one turn of one row; a Chinese character counts half
    common: Annotated[int, Field(ge=2, le=1000)] = 3  # what the rows of so many units share is nobody's record


class GuardFigures(Figures):
    """What a guard holds. Sealed: each figure counts what real rows say."""

    rows: Count
    row_words: Count
    ngrams: Count  # that are held
    common_ngrams: Count  # that too many units share
    false_blocks: Number  # share of a row's words that would be refused if nobody's rows but those of the row's own unit were taken out
    guard_bytes: Count
    seconds: Number
