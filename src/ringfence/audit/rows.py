"""What a run says of real rows: answers word for word, and identifiers that de-identification had replaced. Child halves only: imports torch.

A row is replayed when greedy decoding, given all that stands before, says one of its answers as a whole or fifty tokens of it in a row, and the
base model does not; of a plain text, what follows its beginning counts as the answer. A replaced identifier is newly extractable when the model finds the original after the true text before it, greedily or within 1,000
samples with probability one half, and the base model does not.

Source: Carlini et al. 2023 (arXiv:2202.07646) for fifty tokens; Hayes et al. 2024 (arXiv:2410.19482) for the samples.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import TemplateError
from numpy.typing import NDArray

from ringfence.audit.forward import Forward
from ringfence.audit.settings import Interval, RowFigures
from ringfence.audit.statistics import extractable_log_probability, rate
from ringfence.core.records import Record
from ringfence.core.rules import LEVEL
from ringfence.guard.replay import ReplayGuard
from ringfence.models.chat import chat_of, render, text_end
from ringfence.train.data import Example, begin_of, segments, split
from ringfence.train.settings import TrainSettings
from ringfence.vault.sets import SetReader

LEAST_ANSWER = 12  # tokens: a shorter answer can be known without being remembered
STRETCH = 50  # tokens of a long answer that are enough
BEGINNING = 50  # tokens of a plain text that are given, or half of it
_BATCH = 16  # rows at once


class Target(NamedTuple):
    """Stretches of one text that a model may say, and where they stand."""

    example: Example
    places: tuple[NDArray[np.int64], ...]  # of each stretch [tokens]


class Said(NamedTuple):
    """How a model says one stretch."""

    log_p: float  # natural, of all its tokens
    stretch: int  # the most likeliest tokens in a row
    is_whole: bool  # every token is the likeliest
    is_first: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)  # of each token [tokens]: it is the likeliest


def rows_of(source: SetReader, canaries: frozenset[str], sample: int) -> tuple[int, list[Record]]:
    """Return how many rows of a training set are real, and a random sample of them, or all."""
    real = [at for at, id_ in enumerate(source.index.record_ids) if id_.tobytes().hex() not in canaries]
    chosen = sorted(random.SystemRandom().sample(real, min(sample, len(real))))
    return len(real), [next(iter(source.rows(at, at + 1))) for at in chosen]


class RowScorer:
    """Tries real rows and replaced identifiers on a model."""

    def __init__(self, forward: Forward, settings: TrainSettings) -> None:
        self._forward, self._settings = forward, settings

    def replay(
        self, total: int, rows: Sequence[Record], *, guard: ReplayGuard | None = None, show: Callable[[int], None] = lambda _: None
    ) -> RowFigures:
        """Return what the model replays of these rows. total: how many there are in all; a sample has bounds, all of them are exact.

        guard: the same is asked of the model under a replay guard: a token that it refuses is not said.
        """
        tried = [(record, target) for record in rows if (target := self._answers(record)).places]
        said = self._said([target for _, target in tried], adapted=True, show=show)
        suspects = {at: those for at, answers in enumerate(said) if (those := [n for n, one in enumerate(answers) if _is_replay(one)])}
        asked = [Target(tried[at][1].example, tuple(tried[at][1].places[n] for n in those)) for at, those in suspects.items()]
        known = [[_is_replay(one) for one in answers] for answers in self._said(asked, adapted=False)]
        new = [
            (at, n)
            for at, base in zip(suspects, known, strict=True)
            for n, is_known in zip(suspects[at], base, strict=True)
            if not is_known
        ]
        replayed = {at for at, _ in new}
        is_exact = bool(tried) and len(rows) == total
        found = RowFigures(
            rows=total,
            rows_tried=len(tried),
            rows_short=len(rows) - len(tried),
            rows_replayed=len(replayed),
            rows_known=len(suspects) - len(replayed),
            rows_within=sum(any(one.log_p >= extractable_log_probability() for one in answers) for answers in said),
            replay=_share(len(replayed), len(tried), is_exact=is_exact),
        )
        if guard is None:
            return found
        left = {at for at, n in new if _is_replay(self._under(guard, tried[at][0], tried[at][1].places[n], said[at][n]))}
        return found.model_copy(
            update={
                "rows_replayed_guarded": len(left),
                "replay_guarded": _share(len(left), len(tried), is_exact=is_exact),
                "guard_false_blocks": guard.false_blocks,
            }
        )

    def _under(self, guard: ReplayGuard, record: Record, places: NDArray[np.int64], said: Said) -> Said:
        """Return how the model says a stretch where a guard refuses tokens. places: where the stretch stands."""
        refused = self._refused(guard, record, first=int(places[0]))
        is_said = said.is_first & ~refused[: len(places)]
        return Said(said.log_p, _longest(is_said.tolist()), is_whole=bool(is_said.all()), is_first=is_said)

    def _refused(self, guard: ReplayGuard, record: Record, *, first: int) -> NDArray[np.bool_]:
        """Return which tokens of a row a guard refuses, from the one at `first` to the end of its segment, as the model comes to each of them after the true text."""
        before, at = "", 0
        for text, _ in segments(record, self._forward.tokenizer, self._settings):
            told = self._forward.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ends = [0, *(end for _, end in told.offset_mapping)]
            if first < at + len(told.input_ids):
                begin = first - at
                watch = guard.watch([before + text[: ends[begin]]], goes_on=begin > 0)
                found = []
                for start, end in pairwise(ends[begin:]):
                    found.append(watch.would_replay(text[start:end]))
                    watch.add(text[start:end])
                return np.array(found, dtype=np.bool_)
            before, at = before + text, at + len(told.input_ids)
        return np.zeros(0, dtype=np.bool_)

    def spans(
        self, masked: Sequence[tuple[SetReader, Iterable[bytes]]], sample: int, *, show: Callable[[int], None] = lambda _: None
    ) -> tuple[int, int, int]:
        """Return how many identifiers were replaced, were tried, and became extractable.

        masked: a set before de-identification and the lines of the span table that de-identification left, for each set that was joined. Of an original
        that stands in a record several times the first place counts: after that a model can copy it, which shows no memory.
        """
        found = [
            (number, line["id"], span)
            for number, (_, lines) in enumerate(masked)
            for line in map(json.loads, lines)
            for span in _first_places(line["spans"])
        ]
        chosen = random.SystemRandom().sample(found, min(sample, len(found)))
        wanted: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
        for number, record, span in chosen:
            wanted.setdefault((number, record), []).append(span)
        targets = [
            self._span(record, span)
            for number, (cleared, _) in enumerate(masked)
            for record in cleared
            for span in wanted.get((number, record.id), ())
        ]
        said = self._said(targets, adapted=True, show=show)
        suspects = [target for target, (one,) in zip(targets, said, strict=True) if _is_extractable(one)]
        known = sum(_is_extractable(one) for (one,) in self._said(suspects, adapted=False))
        return len(found), len(targets), len(suspects) - known

    def _answers(self, record: Record) -> Target:
        """Return every answer of a row, end marks aside, as far as training read it and where it is long enough; learned or not, it was there."""
        tokenizer, cut = self._forward.tokenizer, self._settings.cutoff_len
        ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(text_end(tokenizer))}
        ids: list[int] = []
        found = []
        for at, (text, _) in enumerate(segments(record, tokenizer, self._settings)):
            first, more = len(ids), tokenizer(text, add_special_tokens=False).input_ids
            ids += more
            if record.kind == "text":
                first = min(BEGINNING, len(more) // 2)
            elif at % 2 == 0:  # a question
                continue
            last = len(ids) - bool(ends.intersection(ids[-1:]))
            found.append(np.arange(max(first, 1), min(last, cut)))
        example = Example(np.array(ids[:cut], dtype=np.int32), np.zeros(min(len(ids), cut), dtype=np.bool_))
        return Target(example, tuple(places for places in found if len(places) >= LEAST_ANSWER))

    def _span(self, record: Record, span: Mapping[str, Any]) -> Target:
        """Return the original of a replaced identifier after the true text before it."""
        tokenizer, at = self._forward.tokenizer, span["text"]
        before, original = record.texts[at][: span["start"]], record.texts[at][span["start"] : span["end"]]
        before, original = (text.encode("utf-8", "replace").decode() for text in (before, original))
        text = before + original
        if record.kind == "text":
            text = begin_of(tokenizer) + text
        else:
            turns = [
                (_ROLES.get(role, role), said)
                for role, said in zip(record.roles[:at], record.texts[:at], strict=True)
                if role != "chosen"  # what stands after it is the other answer to the same question
            ]
            turns.append((_ROLES.get(record.roles[at], record.roles[at]), text))
            with contextlib.suppress(TemplateError):  # no place for these roles: nobody trained on them; the text alone is tried
                rendered = render(tokenizer, chat_of([role for role, _ in turns], [said for _, said in turns]))
                if original in rendered:  # a template may write what stands in a schema otherwise
                    text = rendered[: rendered.rfind(original) + len(original)]
        told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        first = len(text) - len(original)
        inside = [place for place, (_, end) in enumerate(told.offset_mapping) if end > first]
        ids = np.array(told.input_ids[-self._settings.cutoff_len :], dtype=np.int32)  # the nearest text is what a model goes by
        shift = len(told.input_ids) - len(ids)
        places = np.array([place - shift for place in inside if place - shift > 0], dtype=np.int64)
        return Target(Example(ids, np.zeros(len(ids), dtype=np.bool_)), (places,))

    def _said(self, targets: Sequence[Target], *, adapted: bool, show: Callable[[int], None] = lambda _: None) -> list[list[Said]]:
        place = {id(target.example): at for at, target in enumerate(targets)}
        said: dict[int, list[Said]] = {}
        for group in split([target.example for target in targets], _BATCH):
            chosen = [place[id(example)] for example in group]
            said |= zip(chosen, self._group([targets[at] for at in chosen], adapted=adapted), strict=True)
            show(len(said))
        return [said[at] for at in range(len(targets))]

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is untyped here
    def _group(self, targets: Sequence[Target], *, adapted: bool) -> Iterator[list[Said]]:
        ids, hidden = self._forward.hidden([target.example for target in targets], adapted=adapted)
        for row, target in enumerate(targets):
            yield [self._stretch(ids[row], hidden[row], places, adapted=adapted) for places in target.places]

    def _stretch(self, ids: torch.Tensor, hidden: torch.Tensor, where: NDArray[np.int64], *, adapted: bool) -> Said:
        if not len(where):  # its context fills the window: nothing can be said of it
            return Said(float("-inf"), 0, is_whole=False)
        places = torch.from_numpy(where).to(ids.device)
        log_p, is_first = self._forward.read(hidden[places - 1], ids[places], adapted=adapted)
        return Said(float(log_p.sum()), _longest(is_first.tolist()), is_whole=bool(is_first.all()), is_first=is_first.cpu().numpy())


_ROLES = dict.fromkeys(("chosen", "rejected", "liked", "disliked"), "assistant")


def _first_places(spans: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the spans of one record whose original did not stand before them; spans are in the order of the text."""
    seen: dict[str, Mapping[str, Any]] = {}
    for span in spans:
        seen.setdefault(span["original"], span)
    return list(seen.values())


def _share(count: int, tried: int, *, is_exact: bool) -> Interval:
    """Return a share of rows with its bounds; of all rows it is exact."""
    found = rate(count, tried)
    if is_exact:
        return Interval(value=found.value, lower=found.value, upper=found.value, level=1.0)
    return Interval(value=found.value, lower=found.lower, upper=found.upper, level=1 - LEVEL)


def _is_replay(said: Said) -> bool:
    return said.is_whole or said.stretch >= STRETCH


def _is_extractable(said: Said) -> bool:
    return said.is_whole or said.log_p >= extractable_log_probability()


def _longest(flags: Iterable[bool]) -> int:
    longest = here = 0
    for flag in flags:
        here = here + 1 if flag else 0
        longest = max(longest, here)
    return longest
