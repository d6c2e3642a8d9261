"""A label that tells equal values from different ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools


@OPERATORS.add("token.v1")
class Token(Replacing):
    """`⟦PERSON_7f3a91c2⟧`: consistent like a surrogate, and seen to be none. For review and export; a model trained on it writes such labels."""

    digits: Annotated[int, Field(ge=4, le=64)] = 8  # hexadecimal; below 8, two of some ten thousand values share one

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:
        """Return the label."""
        return f"⟦{occurrence.kind}_{keyed(occurrence, tools)[: self.digits]}⟧"


def keyed(occurrence: Occurrence, tools: Tools) -> str:
    """Return the keyed digest of kind and normal form in hexadecimal: 64 digits."""
    normal = tools.normal(occurrence.kind, occurrence.value)
    return tools.digest("token", f"{occurrence.kind}\x00{normal}".encode("utf-8", "surrogatepass")).hex()
