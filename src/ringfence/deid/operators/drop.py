"""The whole record goes."""

from __future__ import annotations

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools


@OPERATORS.add("drop.v1")
class Drop(Replacing):
    """A record that holds such a span is left out of the set. For what makes a record too dangerous to keep in any form."""

    def apply(self, occurrence: Occurrence, tools: Tools) -> None:  # noqa: ARG002
        """Return None."""
        return
