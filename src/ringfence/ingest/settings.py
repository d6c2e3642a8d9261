"""What an import is told and what it may say back. Pydantic only."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ringfence.core.errors import ROW_REASONS
from ringfence.core.order import Count, Counts, FewOfEach, Figures
from ringfence.core.settings import Settings
from ringfence.core.text import t

Format = Literal["auto", "json", "jsonl", "csv", "text", "parquet"]
FileFormat = Literal["json", "jsonl", "csv", "text", "parquet"]
Layout = Literal["messages", "alpaca", "pair", "text", "preference", "feedback", "feedback-messages"]
MapRole = Literal[
    "messages",
    "instruction",
    "input",
    "output",
    "history",
    "system",
    "prompt",
    "completion",
    "text",
    "chosen",
    "rejected",
    "label",
    "tools",
]
TagRole = Literal["role", "content", "user", "assistant", "observation", "function", "system"]
Order = Literal["any", "sharegpt", "openai"]
Column = Annotated[str, Field(min_length=1, max_length=256)]  # of any script; chosen by the user, so it may stand in evidence

LINE_LIMIT = 16 << 20  # bytes of one row; longer ones are refused unread
REASONS: tuple[str, ...] = tuple(ROW_REASONS)  # the vocabulary of an import's order

# The columns that make a layout: which must be mapped, and which may be.
NEEDED: dict[Layout, tuple[MapRole, ...]] = {
    "messages": ("messages",),
    "preference": ("prompt", "chosen", "rejected"),
    "feedback": ("prompt", "completion", "label"),
    "feedback-messages": ("messages", "label"),
    "alpaca": ("instruction", "output"),
    "pair": ("prompt", "completion"),
    "text": ("text",),
}
OPTIONAL: dict[Layout, tuple[MapRole, ...]] = {
    "messages": ("system", "tools"),
    "preference": ("input", "history", "system", "tools"),
    "feedback": ("input", "history", "system"),
    "feedback-messages": ("system", "tools"),
    "alpaca": ("input", "history", "system"),
    "pair": ("system",),
    "text": (),
}


def _as_range(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,14}:[1-9][0-9]{0,14}", text):
        raise ValueError(t("write FIRST:LAST, for example 1:300", "请写成 首行:末行，例如 1:300"))
    return text


class ImportSettings(Settings):
    """How a file becomes records. `source` is the file's name as the user gave it: its ending helps to tell the format."""

    source: Annotated[str, Field(min_length=1, max_length=255)]
    format: Format = "auto"
    layout: Literal["auto", "messages", "alpaca", "pair", "text", "preference", "feedback", "feedback-messages"] = "auto"
    mapping: Mapping[MapRole, Column] = {}  # what --map says: role -> column of the file
    tags: Mapping[TagRole, Column] = {}  # keys and roles in the messages of this file: LLaMA-Factory's names, without _tag
    order: Order = "any"  # of turns; others than these must take turns as LLaMA-Factory wants them
    unit: Column | None = None  # the column that names whom a row belongs to; absent = every distinct content is its own unit
    id_column: Column | None = None
    rows: Annotated[str, AfterValidator(_as_range)] | None = None  # first:last, both included, from 1
    skip_bad: bool = False

    @model_validator(mode="after")
    def _rows_in_order(self) -> Self:
        first, last = self.row_range()
        if first > last:
            raise ValueError(t("rows {first}:{last} hold nothing", "行 {first}:{last} 为空", first=first, last=last))
        return self

    @model_validator(mode="after")
    def _mapping_makes_a_layout(self) -> Self:
        if self.mapping and self.mapped_layout() is None:
            wanted = " or ".join("+".join(NEEDED[name]) for name in get_args(Layout) if self.layout in ("auto", name))
            raise ValueError(t("the mapping must name {wanted}", "映射必须指明 {wanted}", wanted=wanted))
        return self

    def row_range(self) -> tuple[int, int]:
        """Return the first and the last row that is wanted, both included, counted from 1."""
        first, last = self.rows.split(":") if self.rows else (1, 10**15)
        return int(first), int(last)

    def mapped_layout(self) -> Layout | None:
        """Return the layout whose columns `mapping` names, or None."""
        named = set(self.mapping)
        fits = [name for name, needed in NEEDED.items() if set(needed) <= named <= {*needed, *OPTIONAL[name]}]
        return next((name for name in fits if self.layout in ("auto", name)), None)


class ExportSettings(Settings):
    """How records become a file again."""

    format: Literal["jsonl", "parquet"]
    layout: Layout  # that the set was imported in: the file has the same columns
    unit: bool = True  # a column that says which rows belong together, where a unit was chosen at import


class ExportFigures(Figures):
    """What an export wrote."""

    rows: Count
    bytes: Count
    has_unit: bool  # whether the file says which rows belong together


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


class FilePart(Settings):
    """A part of the file, as the child says it."""

    data: Annotated[bytes, BeforeValidator(_decoded)]


class ImportFigures(Figures):
    """What an import did. Row numbers count from 1: lines of a line-based file, rows of a table or document."""

    rows: Count  # records written
    refused: Count
    units: Count  # distinct unit ids
    max_rows_per_unit: Count
    duplicates: Count  # records whose content equals that of an earlier one
    reasons: Counts  # per refused row, keys from REASONS
    row_numbers: FewOfEach  # of the first refused rows of each reason
    format: FileFormat
    layout: Layout

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the sizes and the shape; what the content showed stays sealed."""
        return frozenset({"rows", "refused", "units", "format", "layout"})
