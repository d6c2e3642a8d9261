"""How an exception becomes a `Failure`: its class, its place in our code and numbers, never its words."""

from __future__ import annotations

import traceback

from ringfence.core.errors import RingfenceError
from ringfence.core.order import Failure

_NO_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory")


class Relayed(Exception):
    """What went wrong in a process that worked for this one; `failure_of` returns the failure that it brings."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error, failure.at)
        self.failure = failure


def failure_of(error: Exception) -> Failure:
    """Return what may be said about an exception outside the process that raised it."""
    if isinstance(error, Relayed):
        return error.failure
    name = type(error).__name__
    facts: dict[str, int | float | tuple[int, ...]] = {}
    if isinstance(error, RingfenceError):
        facts = {key: value for key, value in error.facts.items() if not isinstance(value, str)}
    elif isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        name = "OutOfMemory"
    return Failure(error=name.replace("_", ""), at=_place(error), facts=facts)


def _place(error: Exception) -> str:
    """Return module:line of the innermost frame that is ours."""
    place = "unknown:0"
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("ringfence."):
            place = f"{module.lower()}:{line}"
    return place
