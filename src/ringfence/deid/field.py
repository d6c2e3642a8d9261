"""A Chinese field read into tables of numbers, so that thousands of characters are scored at once.

It finds what CRFsuite finds with `features.characters`, which is how such a field is trained and the oracle of its tests. There every character gets
some twenty strings, which takes three times as long as everything else together; here a feature is a place in a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ringfence.deid import features, people
from ringfence.deid.batches import batches
from ringfence.deid.crfmodel import CrfModel
from ringfence.deid.paths import best_paths

_PAD = "\x01"  # what stands beside the first and the last character, as in `features.characters`
_GAP = 4  # of them between two sentences: no hint reaches further
_EDGE = "#"  # class of what stands there
_OUTSIDE = 4  # its place in a word, written as 9
_PLACES = 5
_UNICODE = 0x110000
_AT_ONCE = 1 << 14  # characters that are scored at once: what is held of them fits a cache
_UNKNOWN = 0  # number of a character or a class that the field does not know

Rows = NDArray[np.int32]  # numbers of attributes; the last one weighs nothing
Numbers = NDArray[np.int64]


class ChineseField:
    """Tags the characters of Chinese sentences."""

    def __init__(self, model: CrfModel) -> None:
        self.tags = model.tags
        self._between = model.between  # [from, to]
        self._weights = np.vstack([model.weights, np.zeros((1, len(model.tags)))])  # [attributes + 1, tags]
        self._row = {name: number for number, name in enumerate(model.attributes)}
        self._none = len(model.attributes)
        self._read_characters()
        self._read_classes()
        self._read_said()
        self._single = {name: self._row.get(name, self._none) for name in ("compound", "title", "common")}
        self._hints = [[self._row.get(f"{name}{n}", self._none) for n in range(_GAP + 1)] for name in ("says", "role")]
        self._compound = _sorted_pairs(people.names().compound)

    def best(self, sentences: Sequence[str], said: Sequence[Sequence[str]] | None = None) -> list[NDArray[np.int64]]:
        """Return the number of the best tag of each character, for each sentence: [characters].

        said: for each sentence, the tags of another tagger, where the field was trained with them (`learn.rows`).
        """
        found: list[NDArray[np.int64]] = []
        for some in batches(sentences, lambda sentence: len(sentence) + _GAP, enough=_AT_ONCE):
            found += self._best(some, said[len(found) : len(found) + len(some)] if said is not None else None)
        return found

    def _best(self, sentences: Sequence[str], said: Sequence[Sequence[str]] | None) -> list[NDArray[np.int64]]:
        gap = _PAD * _GAP
        text = gap + gap.join(sentences) + gap
        starts = np.array(list(accumulate((len(one) + _GAP for one in sentences[:-1]), initial=_GAP)), dtype=np.int64)
        lengths = np.array([len(one) for one in sentences], dtype=np.int64)
        scores = self._scores(text, starts, sentences)
        if said is not None:
            scores[_GAP - 2 : -_GAP + 2] += self._scores_said(said)
        return viterbi(scores, starts, lengths, self._between)

    # ── scores ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _scores(self, text: str, starts: Numbers, sentences: Sequence[str]) -> NDArray[np.float64]:
        """Return what each tag of each character scores by itself: [characters, tags]. Of the gaps, anything."""
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        size = len(codes)
        inside = np.zeros(size, dtype=bool)
        for start, sentence in zip(starts.tolist(), sentences, strict=True):
            inside[start : start + len(sentence)] = True
        numbers = self._number[codes]
        pairs = self._pair_rows[:, self._pair(numbers[:-1], numbers[1:])]  # [4, size - 1]
        classes = np.where(inside, self._class_of(codes), self._edge)
        places = np.where(inside, np.array(features.cut_zh(text)), _OUTSIDE)
        middle = slice(2, size - 2)  # whole neighbourhoods alone; beyond them there are gaps only

        def beside(values: NDArray[np.int64], step: int) -> NDArray[np.int64]:
            return values[2 + step : size - 2 + step]

        p, q, r, s, t = (beside(classes, step) for step in range(-2, 3))
        x, y, z = (beside(places, step) for step in (-1, 0, 1))
        weights, n = self._weights, self._classes
        rows: list[Rows] = [self._one[step + 2][beside(numbers, step)] for step in range(-2, 3)]
        rows += [pairs[which][2 + step : size - 2 + step] for which, step in enumerate((-1, 0, -2, 1))]
        rows += [self._r[r], self._qr[q * n + r], self._rs[r * n + s]]
        rows += [table[(a * n + b) * n + c] for table, a, b, c in ((self._qrs, q, r, s), (self._rst, r, s, t), (self._pqr, p, q, r))]
        rows += [self._zr[z * n + r], self._yz[y * _PLACES + z], self._zx[z], self._xyz[(x * _PLACES + y) * _PLACES + z]]
        scores = np.zeros((size, weights.shape[1]))
        inner = scores[middle]
        for row in rows:
            inner += weights[row]
        for at, attribute in self._sparse(text, codes, starts, sentences):
            scores[at] += weights[attribute]
        return scores

    def _sparse(self, text: str, codes: NDArray[np.uint32], starts: Numbers, sentences: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield (character, attribute) of the features that few characters have."""
        for found, rows in zip(features.hints(text), self._hints, strict=True):
            yield from ((at, rows[distance]) for at, distance in found.items() if 0 <= at < len(text))
        for at, names in features.latin(text).items():
            yield from ((at, self._row.get(name, self._none)) for name in names)
        wide = codes.astype(np.int64)
        pairs = wide[:-1] * _UNICODE + wide[1:]
        for at in np.flatnonzero(_is_in(pairs, self._compound)).tolist():
            yield at, self._single["compound"]
        for start, sentence in zip(starts.tolist(), sentences, strict=True):
            if "《" in sentence:
                yield from ((start + at, self._single["title"]) for at in features.titles(sentence))

    def _scores_said(self, said: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return what each tag scores by what another tagger says of the character and its neighbours: [characters, tags], two of the gaps beside."""
        gap = [self._says["-"]] * _GAP
        told = list(gap)
        for tags in said:
            told += [self._says.get(tag, _UNKNOWN) for tag in tags]
            told += gap
        numbers = np.array(told, dtype=np.int64)
        before, here, after = numbers[1:-3], numbers[2:-2], numbers[3:-1]
        n = len(self._says) + 1
        found: NDArray[np.float64] = self._weights[self._t[here]]
        found += self._weights[self._t_before[before * n + here]]
        found += self._weights[self._t_after[here * n + after]]
        return found

    # ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_characters(self) -> None:
        """Read the features of one and of two characters."""
        ones = {name: row for name, row in self._row.items() if len(name) == 2 and name[0] in "abcde"}  # noqa: PLR2004  letter, character
        twos = {name: row for name, row in self._row.items() if len(name) == 4 and name[:2] in _PAIRS}  # noqa: PLR2004
        known = sorted({name[1] for name in ones} | {c for name in twos for c in name[2:]})
        self._number = np.zeros(_UNICODE, dtype=np.int64)
        self._number[[ord(c) for c in known]] = np.arange(1, len(known) + 1)
        number = {character: int(self._number[ord(character)]) for character in known}
        self._one = [
            self._table(len(known) + 1, {number[name[1]]: row for name, row in ones.items() if name[0] == letter}) for letter in "abcde"
        ]
        self._width = len(known) + 1
        keys = {name: number[name[2]] * self._width + number[name[3]] for name in twos}
        self._pairs = np.array(sorted(set(keys.values())), dtype=np.int64)
        place = {key: n for n, key in enumerate(self._pairs.tolist())}
        self._pair_rows = np.stack(
            [self._table(len(place) + 1, {place[keys[name]]: row for name, row in twos.items() if name[:2] == two}) for two in _PAIRS]
        )

    def _pair(self, left: Numbers, right: Numbers) -> Numbers:
        """Return the places of pairs of characters among the known ones; the last place is that of all others."""
        keys = left * self._width + right
        at = np.minimum(np.searchsorted(self._pairs, keys), max(len(self._pairs) - 1, 0))
        return np.where(self._pairs[at] == keys, at, len(self._pairs)) if len(self._pairs) else np.zeros_like(keys)

    def _read_classes(self) -> None:
        """Read the features of classes of characters and of places in words."""
        shapes = {name: [g for g in match.groups() if g is not None] for name in self._row if (match := _CLASSES.fullmatch(name))}
        places = {name: match.groups() for name in self._row if (match := _IN_WORDS.fullmatch(name))}
        known = {text for _, rest in shapes.values() for text in rest.split(",")} | {rest for _, digits, rest in places.values() if digits}
        self._class = {name: number for number, name in enumerate(sorted(known | {_EDGE}), 1)}
        self._classes = n = len(self._class) + 1
        self._edge = self._class[_EDGE]
        self._class_table = np.full(_UNICODE, -1, dtype=np.int64)  # filled as characters come

        def of(letters: str) -> Rows:
            cells = {}
            for name, (kind, rest) in shapes.items():
                parts = rest.split(",")
                if kind == letters and len(parts) == len(letters):
                    cell = 0
                    for part in parts:
                        cell = cell * n + self._class[part]
                    cells[cell] = self._row[name]
            return self._table(n ** len(letters), cells)

        self._r, self._qr, self._rs, self._qrs, self._rst, self._pqr = (of(letters) for letters in ("r", "qr", "rs", "qrs", "rst", "pqr"))
        zr: dict[int, int] = {}
        for name, (_, digit, rest) in places.items():
            if digit:
                zr[_place(digit) * n + self._class[rest]] = self._row[name]
        self._zr = self._table(_PLACES * n, zr)
        digits = range(_PLACES)
        say = "01239"
        self._yz = self._table(_PLACES**2, {y * _PLACES + z: self._row.get(f"yz{say[y]}{say[z]}") for y in digits for z in digits})
        self._zx = self._table(_PLACES, {z: self._row.get(f"zx{say[z]}{say[z]}") for z in digits})
        self._xyz = self._table(
            _PLACES**3,
            {
                (x * _PLACES + y) * _PLACES + z: self._row.get(f"xyz{say[x]}{say[y]}{say[z]}{say[z]}")
                for x in digits
                for y in digits
                for z in digits
            },
        )

    def _read_said(self) -> None:
        """Read the features of what another tagger says: t and a tag, t- and the tag before with it, t+ and it with the tag behind."""
        ones = {name[1:]: row for name, row in self._row.items() if _SAID.fullmatch(name)}
        twos = {name: row for name, row in self._row.items() if _SAID_TWO.fullmatch(name)}
        known = sorted({"-", *ones, *(tag for name in twos for tag in name[2:].split(","))})
        self._says = {tag: number for number, tag in enumerate(known, 1)}
        n = len(known) + 1
        self._t = self._table(n, {self._says[tag]: row for tag, row in ones.items()})
        self._t_before, self._t_after = (
            self._table(
                n * n,
                {
                    self._says[first] * n + self._says[second]: row
                    for name, row in twos.items()
                    if name[1] == sign
                    for first, second in [name[2:].split(",")]
                },
            )
            for sign in "-+"
        )

    def _class_of(self, codes: NDArray[np.uint32]) -> Numbers:
        found = self._class_table[codes]
        if (fresh := np.unique(codes[found < 0])).size:
            for code in fresh.tolist():
                self._class_table[code] = self._class.get(features.class_zh(chr(code)), _UNKNOWN)
            found = self._class_table[codes]
        return found

    def _table(self, size: int, cells: dict[int, int] | dict[int, int | None]) -> Rows:
        table = np.full(size, self._none, dtype=np.int32)
        for cell, row in cells.items():
            if row is not None:
                table[cell] = row
        return table


_PAIRS = ("bc", "cd", "ab", "de")
_CLASSES = re.compile(r"(?:(r)(?!ole\d)([^,]*)|(qr|rs)([^,]*,[^,]*)|(qrs|rst|pqr)([^,]*,[^,]*,[^,]*))")  # of one, two and three characters
_SAID = re.compile(r"t(?:O|[BI][A-Z][A-Z0-9_]*)")
_SAID_TWO = re.compile(r"t[-+](?:-|O|[BI][A-Z][A-Z0-9_]*),(?:-|O|[BI][A-Z][A-Z0-9_]*)")
_IN_WORDS = re.compile(r"(z)(\d)(.*)", re.DOTALL)


def viterbi(scores: NDArray[np.float64], starts: Numbers, lengths: Numbers, between: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return the best tags of each sentence.

    scores: [characters, tags].  starts, lengths: [sentences].  between: [from, to].  Of equal paths the one with the lower tags counts.
    """
    order = np.argsort(-lengths, kind="stable")  # the longest first, so that those that go on are always the first ones
    first, size = starts[order], lengths[order]
    alive = [int(np.searchsorted(-size, -step, side="left")) for step in range(int(size[0]) if size.size else 0)]
    tags = best_paths([scores[first[:count] + step].T for step, count in enumerate(alive)], between)
    found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)] * len(order)
    for place, number in enumerate(order.tolist()):
        if lengths[number]:
            found[number] = tags[: lengths[number], place]
    return found


def _place(digit: str) -> int:
    return _OUTSIDE if digit == "9" else int(digit)


def _sorted_pairs(words: Iterable[str]) -> Numbers:
    return np.array(sorted(ord(word[0]) * _UNICODE + ord(word[1]) for word in words if len(word) == 2), dtype=np.int64)  # noqa: PLR2004


def _is_in(keys: Numbers, known: Numbers) -> NDArray[np.bool_]:
    if not known.size:
        return np.zeros(keys.shape, dtype=bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found
