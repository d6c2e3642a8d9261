"""The whole record goes."""

from __future__ import annotations

from typing import ClassVar

from ringfence.core.settings import Settings
from ringfence.deid.operator import OPERATORS, Occurrence, Tools


@OPERATORS.add("drop.v1")
class Drop(Settings):
    """A record that holds such a span is left out of the set. For what makes a record too dangerous to keep in any form."""

    keeps: ClassVar[bool] = False

    def apply(self, occurrence: Occurrence, tools: Tools) -> None:  # noqa: ARG002
        """Return None."""
        return
