"""What a review job is told, what it says as figures, and the closed messages in which it shows rows to a person. Pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter

from ringfence.core.order import Count, Counts, Figures, Number
from ringfence.core.settings import Digest, Settings
from ringfence.deid.settings import kinds

ROWS = 300  # of a sample: without a leak in it the bound is 1 %
OTHER = "OTHER"  # a leak of none of the kinds that are known
POOL = 20  # rows, for each one of a sample by uncertainty, of which the least sure ones are taken
By = Literal["chance", "uncertainty"]
BY: tuple[By, ...] = get_args(By)
Does = Literal["draw", "queue", "export", "page", "take"]


class ReviewSettings(Settings):
    """One step of a review. The sample is `rows` rows of the set, the same for the same seed.

    by: drawn by chance, or those of POOL times as many drawn ones of which the taggers that ship are least sure. Only the first bounds what is left.
    """

    does: Does
    masked: Digest  # the set
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = ROWS
    seed: Annotated[int, Field(ge=0, lt=1 << 63)]
    by: By = "chance"
    other_draws: Annotated[int, Field(ge=0)] = 0  # other samples that were drawn of this set by chance, before this step
    originals: bool = False  # show, or write, the text before masking, too


class ReviewFigures(Figures):
    """What a review has come to. Rows are counted in the order in which they were drawn, up to the last one that was finished.

    A row in between that was skipped counts as one that leaks: a reviewer may not choose what the bound rests on.
    """

    rows: Count  # of the masked set
    sample: Count  # rows of it that were drawn
    reviewed: Count  # of those: finished
    counted: Count  # up to the last finished one
    leaking: Count  # of the counted ones: with a leak, or skipped
    leaks: Count  # places that a reader sees through
    rejected: Count  # replaced places that were no identifiers
    retyped: Count  # replaced places of another kind than was thought
    leaks_by_kind: Counts
    by: By = "chance"
    other_draws: Count = 0  # other samples of the set that were drawn by chance: the bound holds for one that nobody preferred
    bound_rows: (
        Count | None
    )  # rows of the set that leak at most, exactly, at one-sided 95 %; None before the first finished row, and by uncertainty
    bound_share: Number | None  # as a share of the rows
    bound_of_source: Number | None  # upper bound for more rows of the same source (Clopper-Pearson)


def vocabulary() -> tuple[str, ...]:
    """Return every kind that a reviewer may name, sorted."""
    return tuple(sorted({OTHER, *kinds()}))


# ── what the child shows ──────────────────────────────────────────────────────────────────────────────────────────────

State = Literal["replaced", "leak", "rejected", "retyped"]
Note = Literal[
    "unknown_command", "unknown_kind", "no_such_number", "not_found", "nothing_to_undo", "marked", "undone", "finished", "through"
]


class RowShown(Settings):
    """A row begins."""

    say: Literal["row"] = "row"
    at: int  # from 1, in the sample
    of: int
    reviewed: int
    leaking: int
    is_done: bool


class TextShown(Settings):
    """One text of the row begins."""

    say: Literal["text"] = "text"
    number: int  # from 1
    role: str
    is_original: bool = False


class PiecesShown(Settings):
    """A part of the text: runs of characters, each with the number of the item that it is, or 0."""

    say: Literal["pieces"] = "pieces"
    pieces: tuple[tuple[str, int], ...]


class ItemShown(Settings):
    """One numbered place of the row: a replaced identifier or a leak."""

    say: Literal["item"] = "item"
    number: int
    kind: str
    state: State


class NoteShown(Settings):
    """What came of the last line."""

    say: Literal["note"] = "note"
    note: Note
    count: int = 0


class FileShown(Settings):
    """A part of a file that the person asked for."""

    say: Literal["file"] = "file"
    text: str


Shown = Annotated[RowShown | TextShown | PiecesShown | ItemShown | NoteShown | FileShown, Field(discriminator="say")]
SHOWN: TypeAdapter[Shown] = TypeAdapter(Shown)
