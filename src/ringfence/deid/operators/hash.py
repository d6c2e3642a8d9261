"""A keyed digest."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools
from ringfence.deid.operators.token import keyed


@OPERATORS.add("hash.v1")
class Hash(Replacing):
    """HMAC-SHA256 of the value under the workspace's key, in hexadecimal: for columns that other tables are joined by.

    A plain digest of a telephone number is found by trying all of them; without the key nobody can try. Values of small domains, ages for one,
    are told by how often each occurs, whatever the key: generalise those.
    """

    digits: Annotated[int, Field(ge=16, le=64)] = 32

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:
        """Return the digest."""
        return keyed(occurrence, tools)[: self.digits]
