"""Characters blotted out."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ringfence.core.settings import Settings
from ringfence.deid.operator import OPERATORS, Occurrence, Tools

_Count = Annotated[int, Field(ge=0, le=64)]


@OPERATORS.add("mask.v1")
class Mask(Settings):
    """Letters and digits become `*`, but for the first and last few; separators stay. For screens and logs: what is left may name a person."""

    keeps: ClassVar[bool] = False
    keep_first: _Count = 0
    keep_last: _Count = 0
    character: Annotated[str, Field(min_length=1, max_length=1)] = "*"

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:  # noqa: ARG002
        """Return the masked value; one that has no more characters than are to be kept is masked whole."""
        places = [n for n, c in enumerate(occurrence.value) if c.isalnum()]
        first, last = (self.keep_first, self.keep_last) if len(places) > self.keep_first + self.keep_last else (0, 0)
        hidden = set(places[first : len(places) - last])
        return "".join(self.character if n in hidden else c for n, c in enumerate(occurrence.value))
