"""What an operator is, and how a profile says which one a span gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import BeforeValidator, Field, model_validator

from ringfence.core.registry import Registry
from ringfence.core.settings import PartName, Settings
from ringfence.deid.numerals import number

Scalar = str | int | float | bool
DEFAULT = "surrogate.v1"


_LABEL = re.compile(r"<[A-Z][A-Z0-9_]*>|⟦[A-Z][A-Z0-9_]*_[0-9a-f]+⟧")


def label(kind: str) -> str:
    """Return what stands where nothing of a value is left: `<EMAIL>`."""
    return f"<{kind}>"


def is_label(text: str) -> bool:
    """Return True for the kind in brackets, with or without a digest: whatever words it holds, it is nobody's."""
    return _LABEL.fullmatch(text) is not None


class Occurrence(NamedTuple):
    """One span that is to be replaced. `value` is folded; `subject` is whose record it stands in, the same for all records of one person."""

    kind: str
    value: str
    subject: bytes


class Tools(Protocol):
    """What operators share: stand-ins, and keyed digests that nobody without the key can make or test."""

    def surrogate(self, kind: str, value: str) -> str:
        """Return the stand-in of a value."""
        ...

    def normal(self, kind: str, value: str) -> str:
        """Return the form in which two spellings of one value are equal."""
        ...

    def digest(self, purpose: str, data: bytes) -> bytes:
        """Return HMAC-SHA256 of `data` under a key of this purpose, 32 bytes."""
        ...


class Operator(Protocol):
    """Replaces one occurrence. Pure but for what `tools` remember; total: any string has a replacement.

    It never returns the value itself, but for one that says that it keeps such values.
    """

    keeps: ClassVar[bool]  # the original stays in the text
    keeps_general: ClassVar[bool]  # an original that is general enough stays, a year for one

    def apply(self, occurrence: Occurrence, tools: Tools) -> str | None:
        """Return what stands there instead; None when the whole record must go."""
        ...


class Replacing(Settings):
    """What most operators are: they keep nothing."""

    keeps: ClassVar[bool] = False
    keeps_general: ClassVar[bool] = False


OPERATORS = Registry[Operator]("operator", package="ringfence.deid.operators")


class When(Settings):
    """A condition on a span: how sure it is, and for numbers, ages for one, their size."""

    min_score: float | None = None
    at_least: int | None = None
    at_most: int | None = None

    def holds(self, value: str, score: float) -> bool:
        """Return True when the span meets every part of the condition; what is no number meets none on its size."""
        if self.min_score is not None and score < self.min_score:
            return False
        if self.at_least is None and self.at_most is None:
            return True
        size = number(value)
        return size is not None and (self.at_least is None or size >= self.at_least) and (self.at_most is None or size <= self.at_most)


class Use(Settings):
    """One operator with its parameters and the condition under which it is used."""

    use: PartName = DEFAULT
    when: When = When()
    params: Mapping[str, Scalar] = {}

    @model_validator(mode="after")
    def _is_buildable(self) -> Use:
        OPERATORS.create(self.use, **self.params)
        return self


def _uses(value: Any) -> Any:  # noqa: ANN401  what a profile may hold
    return value if isinstance(value, (list, tuple)) else (value,)


def _use(value: Any) -> Any:  # noqa: ANN401
    return {"use": value} if isinstance(value, str) else value


Uses = Annotated[
    tuple[Annotated[Use, BeforeValidator(_use)], ...], BeforeValidator(_uses), Field(min_length=1)
]  # the first whose condition holds
