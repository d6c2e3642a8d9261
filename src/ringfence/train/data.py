"""Records become token ids and what is learned of them; rows become padded batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ringfence.core.records import Record
from ringfence.train.settings import TrainSettings

_ANSWERS = ("assistant", "chosen")
_LEAST = 2  # tokens of a row: one to read, one to predict
_WASTE = 0.1  # share of padding above which a micro batch is split


class Example(NamedTuple):
    """One row: token ids, and which of them are predicted. Arrays: a large set is held at five bytes a token."""

    ids: NDArray[np.int32]  # [tokens]
    learn: NDArray[np.bool_]  # [tokens]; the first is never predicted
    unit: int = 0  # whose row it is: the position of the unit in its set

    @property
    def weight(self) -> int:
        """Return the number of predicted tokens."""
        return int(self.learn.sum())


@dataclass(frozen=True)
class Corpus:
    """The rows that can be trained on, and how many could not."""

    examples: list[Example]
    dropped: int
    truncated: int
    units: int = 0  # of the whole set, those without an answer included


class Pass(NamedTuple):
    """Rows that go forward and back together: whole units, or a part of one that is larger than a micro batch."""

    rows: list[Example]
    places: list[int]  # of each row: the position of its unit among those of the pass
    units: int
    closes: bool = True  # False: more rows of the same unit follow


class Batch(NamedTuple):
    """Padded rows. Padding stands at the right, where a causal model cannot see it from any real token: no mask is needed."""

    ids: Tensor  # [batch, seq] int64
    learn: Tensor  # [batch, seq] bool; learn[i, t]: the token at t is predicted from those before it


def read_corpus(records: Iterable[Record], tokenizer: Any, settings: TrainSettings) -> Corpus:  # noqa: ANN401  transformers is untyped
    """Return the rows of a set as token ids."""
    examples, dropped, truncated = [], 0, 0
    units: dict[str, int] = {}
    for record in records:
        unit = units.setdefault(record.unit, len(units))
        example = encode(record, tokenizer, settings)._replace(unit=unit)
        if len(example.ids) > settings.cutoff_len:
            truncated += 1
            example = Example(example.ids[: settings.cutoff_len], example.learn[: settings.cutoff_len], unit)
        if example.weight and len(example.ids) >= _LEAST:
            examples.append(example)
        else:
            dropped += 1
    return Corpus(examples, dropped, truncated, len(units))


def encode(record: Record, tokenizer: Any, settings: TrainSettings) -> Example:  # noqa: ANN401
    """Return one row as token ids, before it is cut.

    Each turn is tokenised by itself, as it will be when the model answers: the question's ids do not depend on the answer.
    """
    ids: list[int] = []
    learn: list[bool] = []
    for text, is_learned in segments(record, tokenizer, settings):
        found = tokenizer(text, add_special_tokens=False).input_ids
        ids += found
        learn += [is_learned] * len(found)
    if learn:
        learn[0] = False
    return Example(np.array(ids, dtype=np.int32), np.array(learn, dtype=np.bool_))


def segments(record: Record, tokenizer: Any, settings: TrainSettings) -> list[tuple[str, bool]]:  # noqa: ANN401
    """Return the row as (text, is learned), in order."""
    texts = [text.encode("utf-8", "replace").decode() for text in record.texts]  # a lone surrogate has no token
    end: str = tokenizer.eos_token
    if record.kind == "text":
        return [(texts[0] + end, True)]
    turns = [
        {"role": "assistant" if role in _ANSWERS else role, "content": text}
        for role, text in zip(record.roles, texts, strict=True)
        if role != "rejected"
    ]
    answers = [i for i, turn in enumerate(turns) if turn["role"] == "assistant"]
    segments, at = [], 0
    for i in answers:
        question = tokenizer.apply_chat_template(turns[:i], tokenize=False, add_generation_prompt=True) if i else ""
        whole: str = tokenizer.apply_chat_template(turns[: i + 1], tokenize=False)
        stop = (
            whole.rfind(end) + len(end) if end in whole[len(question) :] else len(whole)
        )  # what follows the end token is the next question's
        segments.append((whole[at : len(question)], settings.train_on_prompt))
        segments.append((whole[len(question) : stop], not settings.mask_history or i == answers[-1]))
        at = stop
    return segments


def collate(examples: Sequence[Example], *, padding: int, device: str, length: int = 0) -> Batch:
    """Return rows as one batch, padded to the longest."""
    longest = max(length, *(len(example.ids) for example in examples))
    ids = np.full((len(examples), longest), padding, dtype=np.int64)
    learn = np.zeros((len(examples), longest), dtype=np.bool_)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = example.ids
        learn[row, : len(example.ids)] = example.learn
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(learn).to(device))


def split(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Return the rows of one step as micro batches of at most `size`, of like length, so that little is padding.

    How rows are grouped changes no sum, only the time.
    """
    return [[row for (row,) in group] for group in pack([(row,) for row in examples], size)]


def pack(bundles: Sequence[tuple[Example, ...]], size: int) -> list[list[tuple[Example, ...]]]:
    """Return bundles of rows as groups of at most `size` rows, or of one bundle, of like length; a bundle stays whole."""
    groups: list[list[tuple[Example, ...]]] = []
    longest = rows = tokens = 0  # of the group that is filling
    for bundle in sorted(bundles, key=_longest, reverse=True):
        more = sum(len(row.ids) for row in bundle)
        cells = (rows + len(bundle)) * longest
        if groups and rows + len(bundle) <= size and cells - tokens - more <= _WASTE * cells:
            groups[-1].append(bundle)
            rows, tokens = rows + len(bundle), tokens + more
        else:
            groups.append([bundle])
            longest, rows, tokens = _longest(bundle), len(bundle), more
    return groups


def deal(passes: Sequence[Pass], ranks: int) -> list[list[Pass]]:
    """Return the passes of a step as one share for each rank, of about the same work, perhaps none; the passes of one unit stay together, in order.

    The largest first, each to whoever has least (Graham 1969: the busiest has at most 4/3 of what the best division would give it).
    """
    together: list[list[Pass]] = [[]]
    for one in passes:
        together[-1].append(one)
        if one.closes:
            together.append([])
    shares: list[list[Pass]] = [[] for _ in range(ranks)]
    work = [0] * ranks
    for bundle in sorted(together[:-1], key=_cells, reverse=True):
        least = work.index(min(work))
        shares[least] += bundle
        work[least] += _cells(bundle)
    return shares


def _cells(passes: Sequence[Pass]) -> int:
    return sum(len(one.rows) * _longest(one.rows) for one in passes)


def _longest(rows: Sequence[Example]) -> int:
    return max(len(row.ids) for row in rows)
