"""What stands between a model's words and a reader who shall not see identifiers. Light: the engine is imported in the child alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.core.order import Child
from ringfence.deid.operator import OPERATORS, Use
from ringfence.deid.settings import DeidSettings, model_role

if TYPE_CHECKING:
    from ringfence.deid.stream import StreamFilter

_REDACTED = Use(use="redact.v1")
_OTHERS = "*"


def for_readers(settings: DeidSettings) -> DeidSettings:
    """Return a profile's settings as an answer is read: what it keeps stays, everything else becomes its kind, `<EMAIL>`.

    A stand-in would be taken for a true number or name, and needs a key that a bundle does not bring.
    """
    operators = {kind: (*map(_for_readers, uses), _REDACTED) for kind, uses in settings.operators.items()}
    return settings.model_copy(update={"operators": {_OTHERS: (_REDACTED,), **operators}, "plant": 0})


def _for_readers(use: Use) -> Use:
    return use if OPERATORS.create(use.use, **use.params).keeps else Use(use=_REDACTED.use, when=use.when)


Filters = Callable[[], "StreamFilter"]  # one for each answer


def filters(child: Child[Any], settings: DeidSettings) -> Filters:
    """Return what makes a filter for an answer; the patterns are compiled and the taggers loaded by then.

    Raises: AutomatonChanged.
    """
    from ringfence.deid.compiled import handed  # noqa: PLC0415
    from ringfence.deid.engine import Engine  # noqa: PLC0415
    from ringfence.deid.stream import StreamFilter  # noqa: PLC0415

    files = child.order.files
    engine = Engine.build(
        settings,
        bytes(32),  # what is redacted needs no key
        models={tagger: Path(files[model_role(tagger)]) for tagger in settings.models},
        automata=handed(child.order),
    )
    engine.load()
    return lambda: StreamFilter(engine)


class Shown:
    """One answer as it is shown: unchanged without a filter.

    found: what was masked since it was last asked, by kind.
    """

    def __init__(self, filters: Filters | None) -> None:
        self._filter = filters() if filters else None
        self._told: Counter[str] = Counter()

    @property
    def is_filtered(self) -> bool:
        """Whether there is a filter."""
        return self._filter is not None

    def add(self, text: str, *, is_end: bool = False) -> str:
        """Return what may be shown after `text` has come; at the end all the rest."""
        if self._filter is None:
            return text
        return self._filter.feed(text) + (self._filter.close() if is_end else "")

    def found(self) -> dict[str, int]:
        """Return how many identifiers were masked since the last call, by kind."""
        if self._filter is None:
            return {}
        new = self._filter.found - self._told
        self._told = self._filter.found.copy()
        return dict(sorted(new.items()))
