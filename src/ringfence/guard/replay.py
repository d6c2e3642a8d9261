"""The replay guard: knows again what stands in a training set, word for word, without holding any of it.

It holds a keyed hash of every run of `words` words of every turn, but for those that several people's rows share. While an answer grows, each token
that would complete such a run is refused and another is chosen, so that no run is ever said, whatever the model remembers.

Source: Ippolito et al. 2022 (arXiv:2210.17546), MemFree decoding. It hashes runs of tokens; words are hashed here, as the same passage is other tokens
after another beginning, in capitals, or laid out in other lines (docs/decisions/0011-the-guard-reads-words.md). It stops copies, and nothing else: what is said in other
words, in another language or letter by letter goes through.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ringfence.core.digest import canonical
from ringfence.core.errors import ObjectBroken
from ringfence.core.settings import Settings
from ringfence.guard.settings import GuardSettings
from ringfence.guard.words import WHOLE, WORD, plain, weights, words_of

FILE = "guard"  # the one file of the object
_KEY, _TAG = 32, 8  # bytes. One of N other runs is taken for a held one with probability N / 2^64
_TAGS = np.dtype("<u8")
_ANSWERS = 64  # earlier ones of a conversation at whose end a run may begin: to ask about each takes some microseconds a token


class _Header(Settings):
    format: Literal["ringfence.guard/1"] = "ringfence.guard/1"
    key: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * _KEY}}}$", repr=False)]
    settings: GuardSettings
    false_blocks: float


class ReplayGuard:
    """What is asked while a model answers. Whoever has its key can ask about any text, which tells members from others: it is for its vault alone."""

    def __init__(self, key: bytes, settings: GuardSettings, held: NDArray[np.uint64], false_blocks: float = 0.0) -> None:
        """held: tags in ascending order. false_blocks: as `GuardFigures` says."""
        self._key, self.settings, self._held, self.false_blocks = key, settings, held, false_blocks

    def __len__(self) -> int:
        return len(self._held)

    def tags(self, words: Sequence[str], last: int | None = None) -> NDArray[np.uint64]:
        """Return the tags of the runs of a text's words [runs], or of those alone that end with one of the `last` words."""
        return tags(words, self._key, self.settings.words, last)

    def holds(self, asked: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return of each tag whether it is held."""
        at = np.minimum(np.searchsorted(self._held, asked), max(0, len(self._held) - 1))
        return self._held[at] == asked if len(self._held) else np.zeros(len(asked), dtype=np.bool_)

    def runs_in(self, text: str) -> int:
        """Return how many runs of the training set stand in a text."""
        return int(self.holds(self.tags(words_of(text))).sum())

    def watch(self, turns: Sequence[str], *, said: Sequence[str] = (), goes_on: bool = False) -> Watch:
        """Return what looks at one answer as it grows.

        turns: what others than the model said before. said: its earlier answers, in order. goes_on: the answer continues the text of the last turn.
        """
        return Watch(self, turns, said=said, goes_on=goes_on)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of the object's file: a line of canonical JSON, then the tags."""
        header = _Header(key=self._key.hex(), settings=self.settings, false_blocks=self.false_blocks)
        yield canonical(header.model_dump(mode="json")) + b"\n"
        yield self._held.astype(_TAGS, copy=False).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the guard that `blocks` wrote; its tags are a view of `data`.

        Raises: ObjectBroken.
        """
        end = data[:4096].find(b"\n")
        try:
            header = _Header.model_validate(json.loads(data[: max(end, 0)]))
            held = np.frombuffer(data, dtype=_TAGS, offset=end + 1)
        except ValueError as cause:
            raise ObjectBroken(file=0) from cause
        return cls(bytes.fromhex(header.key), header.settings, held, header.false_blocks)


class Watch:
    """One answer under the guard. `would_replay` asks about a piece, `add` takes it; what others said before may be said again.

    A run may not begin in an earlier answer either: "go on" would bring a whole passage, a few words an answer.
    """

    def __init__(self, guard: ReplayGuard, turns: Sequence[str], *, said: Sequence[str], goes_on: bool) -> None:
        self._guard, self._turns = guard, turns
        self._runs: set[int] | None = None  # of the turns, once somebody asks
        most = WHOLE * guard.settings.words  # words that a run has
        self._end, self._own = _End(most), _End(most)  # of all that was said, and of the answer alone
        self._end.take("".join(turns[-1:]) + ("" if goes_on else "\n"))
        ends = accumulate((words_of(one)[-most:] for one in said), lambda words, more: [*words, *more][-most:])
        self._before = {tuple(words) for words in list(ends)[-_ANSWERS:]}  # what each earlier answer ends with, those before it included

    def would_replay(self, piece: str) -> bool:
        """Return whether the answer would hold a run of the training set with `piece` at its end."""
        if not piece:
            return False
        asked = self._guard.tags(*self._end.words(piece))
        if self._before:
            words, last = self._own.words(piece)
            asked = np.concatenate([asked, *(self._guard.tags([*before, *words], last) for before in self._before)])
        return any(tag not in self._brought() for tag in asked[self._guard.holds(asked)].tolist())

    def add(self, piece: str) -> None:
        """Take a piece that is said."""
        if not piece:
            return
        self._end.take(piece)
        if self._before:
            self._own.take(piece)
            if sum(weights(self._own.words("")[0])) >= WHOLE * self._guard.settings.words:
                self._before.clear()  # from here on every run has begun in the answer

    def _brought(self) -> set[int]:
        """Return the runs of the turns: to say one again tells nobody anything, and to refuse it would tell that it is held."""
        if self._runs is None:
            self._runs = {tag for turn in self._turns for tag in self._guard.tags(words_of(turn)).tolist()}
        return self._runs


class _End:
    """The last words of a text that grows."""

    def __init__(self, most: int) -> None:
        self._most, self._text, self._known = most, "", 0  # as `plain` returns it, and how many words it has

    def words(self, piece: str) -> tuple[list[str], int]:
        """Return the words with a piece at the end, and how many of them are new: the last one of before may have grown."""
        words = WORD.findall(self._text + plain(piece))
        return words, len(words) - max(0, self._known - 1)

    def take(self, piece: str) -> None:
        """Take a piece."""
        text = self._text + plain(piece)
        starts = [found.start() for found in WORD.finditer(text)][-self._most :]
        self._text, self._known = text[starts[0] if starts else 0 :], len(starts)


def tags(words: Sequence[str], key: bytes, size: int, last: int | None = None) -> NDArray[np.uint64]:
    """Return the tags of runs of words [runs], or of those alone that end with one of the `last` words. With each word ends one run: the shortest that counts `size` words.

    A tag is BLAKE2b of 8 bytes under the key. It is a pseudo-random function: without the key nobody can tell of any words whether their tag is here, or of
    two tags whether their words are alike.

    Source: RFC 7693 (keyed hashing, §2.5).
    """
    data = " ".join(words).encode()
    places = [0, *accumulate(len(one.encode()) + 1 for one in words)]
    reach = [0, *accumulate(weights(words))]
    first = len(words) if last is None else last
    begun = hashlib.blake2b(digest_size=_TAG, key=key).copy  # a copy costs less than to begin anew
    made, start = [], 0
    for end in range(max(1, len(words) - first + 1), len(words) + 1):
        wanted = reach[end] - WHOLE * size
        if wanted < 0:
            continue
        start = bisect_right(reach, wanted, start) - 1
        state = begun()
        state.update(data[places[start] : places[end] - 1])
        made.append(state.digest())
    return np.frombuffer(b"".join(made), dtype=_TAGS)


def build(rows: Iterable[tuple[str, Sequence[str]]], settings: GuardSettings) -> tuple[ReplayGuard, dict[str, int]]:
    """Return the guard of a training set under a fresh key, and counts: rows, row_words, ngrams, common_ngrams.

    rows: whose row it is, and its texts.  Memory: 12 bytes for each word of the set, three times that for a moment.
    """
    key, found, units, sizes, owners, words_in_all = secrets.token_bytes(_KEY), bytearray(), dict[str, int](), [], [], 0
    for unit, texts in rows:
        before = len(found)
        for text in texts:
            words = words_of(text)
            words_in_all += len(words)
            found += tags(words, key, settings.words).tobytes()
        sizes.append((len(found) - before) // _TAG)
        owners.append(units.setdefault(unit, len(units)))
    all_tags = np.frombuffer(found, dtype=_TAGS)
    of = np.repeat(np.array(owners, dtype=np.uint32), np.array(sizes, dtype=np.int64))  # [runs]
    held, is_common, false_blocks = _counted(all_tags, of, settings.common)
    guard = ReplayGuard(key, settings, held, false_blocks / max(1, words_in_all))
    return guard, {"rows": len(sizes), "row_words": words_in_all, "ngrams": len(held), "common_ngrams": is_common}


def _counted(found: NDArray[np.uint64], units: NDArray[np.uint32], common: int) -> tuple[NDArray[np.uint64], int, int]:
    """Return the tags of runs that fewer than `common` units have, sorted; how many more units have; and how many runs of a row would be false blocks.

    found, units: of each run [runs].  Without a unit's own rows, a run of its rows is held when one to common - 1 others have it: so many words of a
    new person's rows would be refused as somebody else's (leave-one-out).
    """
    if not len(found):
        return found, 0, 0
    order = np.lexsort((units, found))
    found, units = found[order], units[order]
    is_new = np.concatenate([[True], found[1:] != found[:-1]])
    is_new_unit = is_new | np.concatenate([[True], units[1:] != units[:-1]])
    starts = np.flatnonzero(is_new)
    of_units = np.add.reduceat(is_new_unit.astype(np.int64), starts)  # [tags]
    times = np.diff(np.append(starts, len(found)))  # [tags]
    is_held = of_units < common
    is_false = (of_units > 1) & (of_units <= common)
    return found[starts[is_held]], int((~is_held).sum()), int(times[is_false].sum())
