"""A stand-in of the same look."""

from __future__ import annotations

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools


@OPERATORS.add("surrogate.v1")
class Surrogate(Replacing):
    """One value always becomes the same stand-in, in every record, file and run under one key: the default for text that a model learns from."""

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:
        """Return the stand-in."""
        return tools.surrogate(occurrence.kind, occurrence.value)
