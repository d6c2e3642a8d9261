"""De-identification of text that arrives in pieces, such as a model's answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ringfence.deid.engine import Engine, with_instead
from ringfence.deid.recogniser import Span

# Where a piece ends whatever follows: a line, a sentence of Chinese, a sentence of English whose last word is no abbreviation. The marks of ASCII
# end one only before a space: a question mark also stands inside of a URL, an exclamation mark inside of a password.
_END = re.compile(r"[\n。！？；]+|[!?]+(?=\s)|(?<=[a-z]{4})[.](?=[ \n])")
# Characters without such an end that are held back; the next number where no place for a cut is among them.
_LEVELS = (600, 1_200, 2_400, 4_800)
_LOOK = 200  # characters behind a cut that are looked at before it is made
_SPACE = re.compile(r"[\s，、]")  # after which it is made if it can be
_CONTEXT = 128  # characters before a piece in which a key word may stand
_OPENED = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----(?!(?s:.*)-----END )")  # a key in PEM, which is one over many lines
_UNBROKEN = re.compile(r"[^\s，、。；！？]*")  # what goes on with an identifier that is longer than all that may be held back


class StreamFilter:
    """Takes text in pieces of any size and returns it without identifiers, a sentence behind.

    What comes out depends on the text alone, not on how it was cut: it is looked at sentence by sentence, each with the end of the one before.
    A sentence that goes on beyond 600 characters is cut where no identifier stands or touches, as far as 200 characters more can tell, and never
    within a stretch of visible ASCII characters; where there is no such place, up to 4,800 characters are held back. Of an identifier that is
    longer still the rest is left out, up to the next space. The lines of a key in PEM stay together.

    Another identifier that is spread over two sentences or lines is not found; one that is known as such only by what stands more than 200 characters
    on, or by a word more than 128 characters before it, may not be found.
    """

    def __init__(self, engine: Engine, *, subject: bytes = b"") -> None:
        self.found: Counter[str] = Counter()  # what was replaced, by kind
        self._engine, self._subject = engine, subject
        self._held, self._before = "", ""
        self._level = 0  # of the numbers of characters
        self._is_skipping = False  # the rest of a very long identifier

    def feed(self, text: str) -> str:
        """Return what is decided after `text` has come."""
        self._held += text
        done, at = [], self._skipped(0)
        while piece := self._first(self._held[at : at + _LEVELS[-1] + 1]):
            length, masked = piece
            done.append(masked)
            at = self._skipped(at + length)
        self._held = self._held[at:]
        return "".join(done)

    def close(self) -> str:
        """Return what was held back. A filter that was closed takes the next text as if nothing had come before."""
        rest = self._done(self._held, self._spans(self._held)) if self._held else ""
        self._held, self._before, self._is_skipping = "", "", False
        return rest

    def _first(self, held: str) -> tuple[int, str] | None:
        """Return the length of the first complete piece of what is held, and what stands for it; None while it may go on."""
        while True:
            most = _LEVELS[self._level]
            end = _end(held, most)
            if end is not None and end < len(held):  # one more character shows that the marks have ended
                return end, self._done(held[:end], self._spans(held[:end]))
            if len(held) <= most:
                return None
            spans = self._spans(held[:most])
            cut = _place(held[:most], spans)
            if cut is None and most == _LEVELS[-1]:
                cut = _last_resort(most, spans)
                self._is_skipping = cut == most
            if cut is not None:
                return cut, self._done(held[:cut], [span for span in spans if span.start < cut])
            self._level += 1

    def _spans(self, text: str) -> list[Span]:
        """Return the spans of a text that stands behind what came before."""
        at = len(self._before)
        found = self._engine.find(self._before + text)
        return [Span(max(span.start, at) - at, span.end - at, span.kind, span.score) for span in found if span.end > at]

    def _done(self, piece: str, spans: Sequence[Span]) -> str:
        self._before = (self._before + piece)[-_CONTEXT:]
        self._level = 0
        instead = self._engine.instead(piece, spans, subject=self._subject)
        if instead is None:  # the profile drops what holds such a thing
            self.found.update(span.kind for span in spans)
            return ""
        self.found.update(span.kind for span, new in zip(spans, instead, strict=True) if not new.is_kept)
        return with_instead(piece, spans, instead)

    def _skipped(self, at: int) -> int:
        """Return where what is held goes on behind the rest of a very long identifier."""
        if not self._is_skipping:
            return at
        rest = _UNBROKEN.match(self._held, at)
        end = rest.end() if rest else at
        self._is_skipping = end == len(self._held)
        return end


def _end(text: str, most: int) -> int | None:
    """Return where the first sentence or line of `text[:most]` ends that is not a line of a key."""
    ends = (match.end() for match in _END.finditer(text, 0, most))
    return next((end for end in ends if not _OPENED.search(text, 0, end)), None)


def _place(text: str, spans: Sequence[Span]) -> int | None:
    """Return where `text` is cut: at the last place where that parts nothing, better behind a space; None where there is none."""
    opened = _OPENED.search(text)
    reach = min(len(text) - _LOOK, opened.start() if opened else len(text))
    free = [at for at in _free(reach, spans) if not ("!" <= text[at - 1] <= "~" and "!" <= text[at] <= "~")]
    spaces = [at for at in free if at >= reach // 2 and _SPACE.match(text, at - 1)]
    return max(spaces or free, default=None)


def _last_resort(most: int, spans: Sequence[Span]) -> int:
    """Return where so long a text is cut at least outside of a span; `most` where one goes on to its end."""
    reach = most - _LOOK
    return max(_free(reach, spans), default=max((span.end for span in spans if span.start < reach), default=reach))


def _free(reach: int, spans: Sequence[Span]) -> list[int]:
    """Return the places from 1 to `reach` that are neither inside of a span nor at its end, where it might go on."""
    taken = bytearray(reach + 1)
    for span in spans:
        first, last = min(span.start + 1, reach + 1), min(span.end, reach)
        taken[first : last + 1] = b"\x01" * (last + 1 - first)
    return [at for at in range(1, reach + 1) if not taken[at]]
