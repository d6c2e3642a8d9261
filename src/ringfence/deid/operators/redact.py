"""The kind alone."""

from __future__ import annotations

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools, label


@OPERATORS.add("redact.v1")
class Redact(Replacing):
    """`<EMAIL>`: nothing of the value is left, not even which of two occurrences are the same. For secrets, and whatever must never come back."""

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:  # noqa: ARG002  needs none
        """Return the kind in angle brackets."""
        return label(occurrence.kind)
