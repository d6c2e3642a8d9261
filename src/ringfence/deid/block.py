"""Many texts as one: folded and searched together, because a call per text would cost more than the search."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from ringfence.deid.fold import Folded, fold
from ringfence.deid.recogniser import SEPARATOR, Span


class Block:
    """Texts joined by NUL and folded. `text` is searched; spans in it come back as spans of the single texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._folded: Folded = fold(SEPARATOR.join(texts))
        starts = list(accumulate((len(text) + 1 for text in texts[:-1]), initial=0))
        self._original_starts = starts
        self._starts = self._folded.places(starts) if self._folded.firsts else starts

    @property
    def text(self) -> str:
        """The folded texts, joined."""
        return self._folded.text

    def value(self, span: Span) -> str:
        """Return the folded characters of a span of the block."""
        return self.text[span.start : span.end]

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """Return the range of the folded text in which the texts `first` to `last` (exclusive) stand."""
        return self._starts[first], self._starts[last] if last < len(self._starts) else len(self.text)

    def by_text(self, spans: Iterable[Span]) -> dict[int, list[tuple[Span, str]]]:
        """Return, per text that has any, its spans in its own original coordinates, each with its folded value."""
        rows: dict[int, list[tuple[Span, str]]] = {}
        text, starts, originals = self.text, self._starts, self._original_starts
        original = self._folded.original if self._folded.firsts else None
        for first, last, kind, score in spans:
            row = bisect_right(starts, first) - 1
            start, end = original(first, last) if original else (first, last)
            base = originals[row]
            found = (Span(start - base, end - base, kind, score), text[first:last])
            if row in rows:
                rows[row].append(found)
            else:
                rows[row] = [found]
        return rows
