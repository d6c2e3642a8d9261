"""Oracle of what spans cover."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.deid.recogniser import Span


def redact(text: str, spans: Iterable[Span]) -> str:
    """Return `text` with every span replaced by its kind in angle brackets; overlapping spans are replaced once."""
    parts, at = [], 0
    for span in sorted(spans):
        if span.start >= at:
            parts += [text[at : span.start], f"<{span.kind}>"]
        at = max(at, span.end)
    return "".join([*parts, text[at:]])
