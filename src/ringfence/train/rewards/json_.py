"""JSON: the answer is one JSON value of the shape that the row's answer has."""

from __future__ import annotations

import json
from typing import Any

from ringfence.train.reward import REWARDS, Case

_PARSES = 0.5  # the worth of JSON that has another shape
_BROKEN = object()


@REWARDS.add("json.v1")
class Json:
    """1 where the whole answer parses and has the type and, of an object, the keys of the row's answer; 0.5 where it only parses; else 0.

    Where the row's own answer is no JSON, any JSON has the worth 1.
    """

    case = Case("As JSON?", '{"ward": 12, "days": 3}', '{"days": 1, "ward": 7}', '{"ward": 12')

    def score(self, *, question: str, said: str, answer: str) -> float:  # noqa: ARG002  every reward is told all three
        """Return the worth of the form."""
        found, wanted = _parsed(said), _parsed(answer)
        if found is _BROKEN:
            return 0.0
        return 1.0 if wanted is _BROKEN or _shape(found) == _shape(wanted) else _PARSES


def _parsed(text: str) -> Any:  # noqa: ANN401  any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


def _shape(value: Any) -> object:  # noqa: ANN401
    return frozenset(value) if isinstance(value, dict) else type(value)
