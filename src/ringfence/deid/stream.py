"""De-identification of text that arrives in pieces, such as a model's answer."""

from __future__ import annotations

import re
from collections import Counter

from ringfence.deid.engine import Engine
from ringfence.deid.recogniser import Span

# Where a piece ends whatever follows: a line, a sentence of Chinese, a sentence of English whose last word is no abbreviation.
_END = re.compile(r"[\n。！？!?；]+|(?<=[a-z]{4})[.](?=[ \n])")
_LONGEST = 400  # characters that are held back at the most
_SPACE = re.compile(r"[\s，、,;：]")
_CONTEXT = 64  # characters before a piece in which a key word may stand


class StreamFilter:
    """Takes text in pieces of any size and returns it without identifiers, a sentence behind.

    What comes out depends on the text alone, not on how it was cut: it is looked at sentence by sentence, each with the end of the one before.
    An identifier that is spread over two sentences or lines is not found; one longer than 400 characters is found in part.
    """

    def __init__(self, engine: Engine, *, subject: bytes = b"") -> None:
        self.found: Counter[str] = Counter()  # by kind
        self._engine, self._subject = engine, subject
        self._held, self._before = "", ""

    def feed(self, text: str) -> str:
        """Return what is decided after `text` has come."""
        self._held += text
        done = []
        while (end := self._cut()) is not None:
            done.append(self._masked(self._held[:end]))
            self._held = self._held[end:]
        return "".join(done)

    def close(self) -> str:
        """Return what was held back."""
        rest, self._held = self._held, ""
        return self._masked(rest) if rest else ""

    def _cut(self) -> int | None:
        """Return where the first complete piece of what is held ends; None while it may go on."""
        match = _END.search(self._held, 0, _LONGEST)
        if match is not None and match.end() < len(self._held):  # one more character shows that the marks have ended
            return match.end()
        if len(self._held) <= _LONGEST:
            return None
        spaces = [m.end() for m in _SPACE.finditer(self._held, _LONGEST // 2, _LONGEST)]
        return spaces[-1] if spaces else _LONGEST

    def _masked(self, piece: str) -> str:
        at = len(self._before)
        spans = [
            Span(max(span.start, at) - at, span.end - at, span.kind, span.score)
            for span in self._engine.find(self._before + piece)
            if span.end > at
        ]
        self._before = (self._before + piece)[-_CONTEXT:]
        self.found.update(span.kind for span in spans)
        masked = self._engine.replace(piece, spans, subject=self._subject)
        return "" if masked is None else masked
