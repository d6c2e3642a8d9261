"""Characters blotted out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools, label

_Count = Annotated[int, Field(ge=0, le=64)]


@OPERATORS.add("mask.v1")
class Mask(Replacing):
    """Letters and digits become `*`, but for the first and last few; separators stay. For screens and logs: what is left may name a person."""

    keep_first: _Count = 0
    keep_last: _Count = 0
    character: Annotated[str, Field(min_length=1, max_length=1)] = "*"

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:  # noqa: ARG002
        """Return the masked value; one that has no more characters than are to be kept is masked whole, and of one without any its kind is left."""
        places = [n for n, c in enumerate(occurrence.value) if c.isalnum()]
        first, last = (self.keep_first, self.keep_last) if len(places) > self.keep_first + self.keep_last else (0, 0)
        hidden = set(places[first : len(places) - last])
        made = "".join(self.character if n in hidden else c for n, c in enumerate(occurrence.value))
        return label(occurrence.kind) if made == occurrence.value else made
