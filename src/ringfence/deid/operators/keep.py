"""Nothing happens."""

from __future__ import annotations

from typing import ClassVar

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools


@OPERATORS.add("keep.v1")
class Keep(Replacing):
    """The value stays as it is, and is counted as kept."""

    keeps: ClassVar[bool] = True

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:  # noqa: ARG002
        """Return the value; the engine writes the original spelling."""
        return occurrence.value
