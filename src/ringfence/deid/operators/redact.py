"""The kind alone."""

from __future__ import annotations

from typing import ClassVar

from ringfence.core.settings import Settings
from ringfence.deid.operator import OPERATORS, Occurrence, Tools


@OPERATORS.add("redact.v1")
class Redact(Settings):
    """`<EMAIL>`: nothing of the value is left, not even which of two occurrences are the same. For secrets, and whatever must never come back."""

    keeps: ClassVar[bool] = False

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:  # noqa: ARG002  needs none
        """Return the kind in angle brackets."""
        return f"<{occurrence.kind}>"
