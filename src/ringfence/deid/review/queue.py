"""The terminal queue, as the child sees it: show a row, hear a line, decide.

A line is a word and what it is about; its capital letter means every row of the sample in which the same value stands:

    o              nothing (else) is left in this row: it is finished
    l KIND TEXT    TEXT still identifies somebody     L KIND TEXT   here and in every row
    l KIND @T:A-B  the same, by characters A to B of text T
    r N            number N is no identifier          R N           nor is the same value anywhere
    t N KIND       number N is of that kind           T N KIND      and so is the same value everywhere
    u              take back the last decision
    n, p           next row, previous row, without a decision
    q              quit; the next session goes on here

Behind the last row only u, p and q mean something.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from ringfence.deid.review.marks import Action, At, Review, by_number
from ringfence.deid.review.sample import Place, Stretch, stretches
from ringfence.deid.review.settings import ItemShown, Note, NoteShown, PiecesShown, RowShown, Shown, State, TextShown

_PIECE = 1 << 14  # characters of text in one message: far below the limit of a frame even if each is escaped
_RANGE = re.compile(r"@(\d{1,9}):(\d{1,9})-(\d{1,9})")
_LEAK = 2  # words after the command: kind and text


class Queue:
    """One session on a sample."""

    def __init__(
        self, review: Review, *, kinds: Sequence[str], show: Callable[[Shown], None], originals: Sequence[Sequence[str]] | None = None
    ) -> None:
        """kinds: what a reviewer may name.  originals: what stood in the places of each row, for a session that shows it."""
        self._review, self._show, self._originals = review, show, originals
        self._kinds = {kind.upper(): kind for kind in kinds}
        self.at = min(set(range(len(review.rows))) - review.done, default=len(review.rows))

    @property
    def is_over(self) -> bool:
        """Whether the last row is behind."""
        return self.at >= len(self._review.rows)

    def show(self) -> None:
        """Show the row: its texts with numbered places, and what the numbers are; behind the last one, that it is."""
        if self.is_over:
            self._note("through", len(self._review.rows) - len(self._review.done))
            return
        review, n = self._review, self.at
        row = review.rows[n]
        self._show(RowShown(at=n + 1, of=len(review.rows), reviewed=len(review.done), leaking=review.leaking(), is_done=n in review.done))
        leaks = {at: number for number, at in by_number(review, n).items() if isinstance(at, At)}
        for number, role in enumerate(row.roles):
            if self._originals is not None:
                self._show(TextShown(number=number + 1, role=role, is_original=True))
                self._pieces([(s.before, _item(s)) for s in stretches(row, number, self._originals[n])])
            self._show(TextShown(number=number + 1, role=role))
            self._pieces(_marked(stretches(row, number, None), {at: i for at, i in leaks.items() if at.text == number}))
        for number, item in by_number(review, n).items():
            self._show(ItemShown(number=number, kind=self._kind(item), state=self._state(item)))

    def hear(self, line: str) -> bool:
        """Do what a line says, and return False at the end of the session."""
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        everywhere = word.isupper()
        if self.is_over and word.lower() not in ("q", "p", "u"):
            return bool(word)  # an empty line ends it, too
        match word.lower():
            case "q":
                return False
            case "o":
                self._review.take(Action("done", (At(self.at),)))
                self._note("finished")
                self.at = self._next_open()
            case "n":
                self.at += 1
            case "p":
                self.at = max(0, self.at - 1)
            case "u":
                self._undo()
            case "l":
                self._leak(rest, everywhere=everywhere)
            case "r":
                self._decide("reject", rest, everywhere=everywhere)
            case "t":
                self._retype(rest, everywhere=everywhere)
            case _:
                self._note("unknown_command")
        return True

    def _next_open(self) -> int:
        rows = len(self._review.rows)
        return next((n for n in range(self.at + 1, rows) if n not in self._review.done), rows)

    def _undo(self) -> None:
        action = self._review.undo()
        if action is None:
            self._note("nothing_to_undo")
            return
        self._note("undone", len(action.at))
        self.at = action.at[0].row if len(action.at) == 1 else self.at

    def _leak(self, rest: str, *, everywhere: bool) -> None:
        name, _, words = rest.partition(" ")
        kind = self._kinds.get(name.upper())
        if kind is None:
            self._note("unknown_kind")
            return
        found = self._places(words.strip(), everywhere=everywhere)
        if not found:
            self._note("not_found")
            return
        self._review.take(Action("leak", found, kind))
        self._note("marked", len(found))

    def _places(self, words: str, *, everywhere: bool) -> tuple[At, ...]:
        """Return where the words stand in this row, whole ones if there are any, and, if so asked, in the others, in them alone perhaps."""
        review, here = self._review, [self.at]
        found: tuple[At, ...]
        if match := _RANGE.fullmatch(words):
            number, start, end = int(match[1]) - 1, int(match[2]), int(match[3])
            texts = review.rows[self.at].texts
            if not (0 <= number < len(texts) and start < end <= len(texts[number])):
                return ()
            first = At(self.at, number, start, end)
            if any(at.text == number and at.start < end and start < at.end for at in review.leaks_of(self.at)):
                return ()
            words, found = texts[number][start:end], (first,)
        else:
            words = self._as_written(words)
            found = review.occurrences(words, here) or review.occurrences(words, here, loosely=True)
        if everywhere:
            found += review.occurrences(words, (n for n in range(len(review.rows)) if n != self.at))
        return found

    def _as_written(self, words: str) -> str:
        """Return the words as they stand in the row: what is not shown, a zero-width space for one, cannot be typed."""
        if not words or any(words in text for text in self._review.rows[self.at].texts):
            return words
        bare = _bare(words)
        for text in self._review.rows[self.at].texts:
            places = [i for i, c in enumerate(text) if _bare(c)]
            start = _bare(text).find(bare) if bare else -1
            if start >= 0:
                return text[places[start] : places[start + len(bare) - 1] + 1]
        return words

    def _retype(self, rest: str, *, everywhere: bool) -> None:
        number, _, name = rest.partition(" ")
        kind = self._kinds.get(name.strip().upper())
        if kind is None:
            self._note("unknown_kind")
        else:
            self._decide("retype", number, kind=kind, everywhere=everywhere)

    def _decide(self, do: Literal["reject", "retype"], number: str, *, kind: str = "", everywhere: bool) -> None:
        review = self._review
        item = by_number(review, self.at).get(int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else None  # noqa: PLR2004
        if item is None:
            self._note("no_such_number")
            return
        at: tuple[At, ...]
        if isinstance(item, At):
            at = (item,)
            if everywhere:
                words = review.rows[item.row].texts[item.text][item.start : item.end]
                at = tuple(a for a in review.leaks if review.rows[a.row].texts[a.text][a.start : a.end] == words)
            review.take(Action(do, at, kind, is_leak=True))
        else:
            at = review.alike(item) if everywhere else (At(self.at, item.text, item.start, item.end),)
            review.take(Action(do, at, kind))
        self._note("marked", len(at))

    def _note(self, note: Note, count: int = 0) -> None:
        self._show(NoteShown(note=note, count=count))

    def _kind(self, item: Place | At) -> str:
        return self._review.leaks[item] if isinstance(item, At) else self._review.kind_of(self.at, item)

    def _state(self, item: Place | At) -> State:
        if isinstance(item, At):
            return "leak"
        at = At(self.at, item.text, item.start, item.end)
        if at in self._review.rejected:
            return "rejected"
        return "retyped" if at in self._review.retyped else "replaced"

    def _pieces(self, pieces: Sequence[tuple[str, int]]) -> None:
        batch: list[tuple[str, int]] = []
        size = 0
        for text, item in pieces:
            for start in range(0, max(len(text), 1), _PIECE):
                part = text[start : start + _PIECE]
                if batch and size + len(part) > _PIECE:
                    self._show(PiecesShown(pieces=tuple(batch)))
                    batch, size = [], 0
                batch.append((sendable(part), item))
                size += len(part) + 1
        self._show(PiecesShown(pieces=tuple(batch)))


def sendable(text: str) -> str:
    """Return the text with unpaired surrogates, which no encoding has, replaced one for one."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def _bare(text: str) -> str:
    """Return the text without characters that a terminal is not shown, and with surrogates as they are shown."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text if unicodedata.category(c) not in ("Cc", "Cf"))


def _item(stretch: Stretch) -> int:
    return 0 if stretch.place is None else stretch.place + 1


def _marked(runs: Sequence[Stretch], leaks: dict[At, int]) -> list[tuple[str, int]]:
    """Return the masked text in runs with numbers; a leak inside a replaced place is shown as the leak."""
    found: list[tuple[str, int]] = []
    at = 0
    for run in runs:
        edges = sorted({0, len(run.after), *(min(max(e - at, 0), len(run.after)) for leak in leaks for e in (leak.start, leak.end))})
        if len(edges) == 1:
            found.append((run.after, _item(run)))
        for a, b in pairwise(edges):
            leak = next((i for one, i in leaks.items() if one.start <= at + a and at + b <= one.end), 0)
            found.append((run.after[a:b], leak or _item(run)))
        at += len(run.after)
    return found
