"""Records become token ids and what is learned of them; rows become padded batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import TemplateError
from numpy.typing import NDArray
from torch import Tensor

from ringfence.core.records import Record
from ringfence.models.chat import Chat, chat_of, is_call, render, speak, text_end
from ringfence.train.settings import TrainSettings

_LEAST = 2  # tokens of a sequence: one to read, one to predict
_WASTE = 0.1  # share of padding above which a micro batch is split
_CANDIDATES = ("chosen", "rejected")  # roles of answers that people compared
_JUDGED = ("liked", "disliked")  # and of those that they judged


class Tokens(NamedTuple):
    """Token ids, and which of them are predicted; of a text that is scored, which of them tell it from another. Arrays: a large set is held at five bytes a token."""

    ids: NDArray[np.int32]  # [tokens]
    learn: NDArray[np.bool_]  # [tokens]; the first is never predicted


class Example(NamedTuple):
    """One row: a sequence, or two where an objective compares two answers to one question."""

    ids: NDArray[np.int32]  # [tokens]
    learn: NDArray[np.bool_]  # [tokens]; the first is never predicted
    unit: int = 0  # whose row it is: the position of the unit in its set
    other: Tokens | None = None  # the same with another answer
    is_liked: bool = True  # by people who judged the answer
    reference: tuple[float, ...] = ()  # natural log probability of what each sequence predicts, before training

    @property
    def sequences(self) -> tuple[Tokens, ...]:
        """Return what a model reads of the row, its own or the preferred answer first."""
        first = Tokens(self.ids, self.learn)
        return (first,) if self.other is None else (first, self.other)

    @property
    def weight(self) -> int:
        """Return the number of predicted tokens, of both sequences where there are two."""
        return sum(int(one.learn.sum()) for one in self.sequences)

    @property
    def tokens(self) -> int:
        """Return the number of tokens, of both sequences where there are two."""
        return sum(len(one.ids) for one in self.sequences)

    @property
    def longest(self) -> int:
        """Return the tokens of the longer sequence."""
        return max(len(one.ids) for one in self.sequences)


@dataclass(frozen=True)
class Corpus:
    """The rows that can be trained on, and how many could not."""

    examples: list[Example]
    dropped: int
    truncated: int
    units: int = 0  # of the whole set, those without an answer included
    tokens_cut: int = 0  # of the rows that were cut, those after the cut


class Pass(NamedTuple):
    """Rows that go forward and back together: whole units, or a part of one that is larger than a micro batch."""

    rows: list[Example]
    places: list[int]  # of each row: the position of its unit among those of the pass
    units: int
    closes: bool = True  # False: more rows of the same unit follow
    packed: tuple[int, ...] = ()  # how many of the rows, in order, share each sequence; none: every row is padded to the longest one
    counts: bool = True  # False: a rank goes through it only to keep pace with the others, and forgets what it found


class Packed(NamedTuple):
    """The sequences of a batch in fewer ones. Without a mask each begins at position 0 again, so that none sees another."""

    ids: Tensor  # [shared, tokens] int64
    positions: Tensor  # [shared, tokens] int64, of each token in its own sequence
    places: Tensor  # [sequences, seq] int64, where each token of the padded sequences stands in all of `ids`; of padding, anywhere
    mask: Tensor | None = None  # [shared, 1, tokens, tokens], added to what attention says of a reader (row) and what it reads (column)


class Batch(NamedTuple):
    """Padded sequences. Padding stands at the right, where a causal model cannot see it from any real token: no mask is needed.

    Of rows with two sequences the first ones of all rows come first, then the second ones.
    """

    ids: Tensor  # [sequences, seq] int64
    learn: Tensor  # [sequences, seq] bool; learn[i, t]: the token at t is predicted from those before it
    reference: Tensor | None = None  # [sequences] float32, natural log probability of what is predicted, before training
    liked: Tensor | None = None  # [rows] bool
    packed: Packed | None = None  # what the model reads in their place; None: the padded sequences


def read_corpus(records: Iterable[Record], read: Callable[[Record], Example | None], *, cutoff: int) -> Corpus:
    """Return the rows of a set as token ids.

    read: makes an example of a record; None where the objective cannot learn from one of its kind. cutoff: tokens of a sequence.
    """
    examples, dropped, truncated, tokens_cut = [], 0, 0, 0
    units: dict[str, int] = {}
    for record in records:
        unit = units.setdefault(record.unit, len(units))
        example = read(record)
        if example is not None and example.longest > cutoff:
            truncated += 1
            tokens_cut += sum(max(0, len(one.ids) - cutoff) for one in example.sequences)
            example = _cut(example, cutoff)
        if example is not None and all(one.learn.any() and len(one.ids) >= _LEAST for one in example.sequences):
            examples.append(example._replace(unit=unit))
        else:
            dropped += 1
    return Corpus(examples, dropped, truncated, len(units), tokens_cut)


def _cut(example: Example, cutoff: int) -> Example:
    (first, *others) = [Tokens(one.ids[:cutoff], one.learn[:cutoff]) for one in example.sequences]
    return example._replace(ids=first.ids, learn=first.learn, other=others[0] if others else None)


def encode(record: Record, tokenizer: Any, settings: TrainSettings) -> Example:  # noqa: ANN401  transformers is untyped
    """Return one row as token ids, before it is cut; of two answers that people compared, the one that they preferred."""
    return Example(*_encoded(segments(record, tokenizer, settings), tokenizer))


def encode_pair(record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401
    """Return a row of two answers to the same question, before it is cut, of which the answers are predicted; None for a row of another kind."""
    if record.kind != "preference":
        return None
    chosen, rejected = (
        _encoded(_conversation(record, tokenizer, answer, on_prompt=False, on_history=False), tokenizer) for answer in _CANDIDATES
    )
    return Example(*chosen, other=rejected)


def encode_judged(record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401
    """Return a row whose last answer people liked or did not, before it is cut, of which that answer is predicted; None for a row of another kind."""
    if record.kind != "feedback":
        return None
    found = _encoded(_conversation(record, tokenizer, "chosen", on_prompt=False, on_history=False), tokenizer)
    return Example(*found, is_liked=record.roles[-1] == "liked")


def encode_whole_pair(record: Record, tokenizer: Any) -> Example | None:  # noqa: ANN401
    """Return a row of two answers to the same question as two whole conversations, before they are cut; None for a row of another kind.

    Marked are the tokens of each from the first one at which they differ: where a cut leaves none of them, nothing can be told apart.
    """
    if record.kind != "preference":
        return None
    try:
        chosen, rejected = (written(conversation_of(record, answer), tokenizer) for answer in _CANDIDATES)
    except TemplateError:  # as below
        chosen = rejected = np.zeros(0, dtype=np.int32)
    shared = alike(chosen, rejected)
    first, other = (Tokens(ids, np.arange(len(ids)) >= shared) for ids in (chosen, rejected))
    return Example(*first, other=other)


def alike(first: NDArray[np.int32], second: NDArray[np.int32]) -> int:
    """Return the number of tokens that two sequences begin with."""
    shorter = min(len(first), len(second))
    differs = first[:shorter] != second[:shorter]
    return int(differs.argmax()) if differs.any() else shorter


def written(chat: Chat, tokenizer: Any) -> NDArray[np.int32]:  # noqa: ANN401
    """Return a whole conversation as the token ids [tokens] of the model's template, as stock transformers writes it.

    Padding tokens at its end are left out: transformers takes the last token that is none for the last of a text.

    Raises: jinja2.TemplateError where the template refuses its roles.
    """
    ids = tokenizer(render(tokenizer, chat), add_special_tokens=False).input_ids
    padding = padding_of(tokenizer)
    while len(ids) > 1 and ids[-1] == padding:
        ids.pop()
    return np.array(ids, dtype=np.int32)


def padding_of(tokenizer: Any) -> int:  # noqa: ANN401
    """Return the token that fills rows up."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def _encoded(parts: Iterable[tuple[str, bool]], tokenizer: Any) -> Tokens:  # noqa: ANN401
    """Return texts, each with whether it is learned, as token ids.

    Each is tokenised by itself, as it will be when the model answers: the question's ids do not depend on the answer.
    """
    ids: list[int] = []
    learn: list[bool] = []
    for text, is_learned in parts:
        found = tokenizer(text, add_special_tokens=False).input_ids
        ids += found
        learn += [is_learned] * len(found)
    if learn:
        learn[0] = False
    return Tokens(np.array(ids, dtype=np.int32), np.array(learn, dtype=np.bool_))


def segments(record: Record, tokenizer: Any, settings: TrainSettings) -> list[tuple[str, bool]]:  # noqa: ANN401
    """Return the row as (text, is learned), in order."""
    if record.kind == "text":
        return [(begin_of(tokenizer) + _readable(record.texts[0]) + text_end(tokenizer), True)]
    return _conversation(record, tokenizer, "chosen", on_prompt=settings.train_on_prompt, on_history=not settings.mask_history)


def begin_of(tokenizer: Any) -> str:  # noqa: ANN401
    """Return the token that the tokeniser itself puts before a text, such as Llama 3's <|begin_of_text|>; nothing where it puts none."""
    begins = tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if begins else ""


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate has no token


def _conversation(
    record: Record,
    tokenizer: Any,  # noqa: ANN401
    answer: str,
    *,
    on_prompt: bool,
    on_history: bool,
) -> list[tuple[str, bool]]:
    """Return a conversation as (text, is learned), in order: questions and answers by turns; nothing where the model's template refuses its roles.

    answer: of two answers that people compared, the role of the one to take. on_prompt: questions are learned. on_history: so are answers before the last.
    """
    try:
        text, answers = speak(tokenizer, conversation_of(record, answer))
    except TemplateError:  # the model's template has no place for these roles: nothing can be learned from them
        return []
    found, at = [], 0
    for start, stop in answers:
        found.append((text[at:start], on_prompt))
        found.append((text[start:stop], on_history or stop == answers[-1][1]))
        at = stop
    return found


def conversation_of(record: Record, answer: str) -> Chat:
    """Return the conversation of a record; answer: of two answers that people compared, the role of the one to take.

    What they compared or judged is said by the assistant, or called where it is a list of calls.
    """
    said = [(role, text) for role, text in zip(record.roles, record.texts, strict=True) if role == answer or role not in _CANDIDATES]
    roles = [("call" if is_call(text) else "assistant") if role in (answer, *_JUDGED) else role for role, text in said]
    return chat_of(roles, [_readable(text) for _, text in said])


def collate(examples: Sequence[Example], *, padding: int, device: str, length: int = 0, packed: Sequence[int] = ()) -> Batch:
    """Return rows, each of as many sequences as the others, as one batch, padded to the longest.

    length: tokens of what the model reads, at least. packed: how many of the rows, in order, share each sequence that it reads.
    """
    sequences = [one for of_place in zip(*(example.sequences for example in examples), strict=True) for one in of_place]
    longest = max(0 if packed else length, *(len(one.ids) for one in sequences))
    ids = np.full((len(sequences), longest), padding, dtype=np.int64)
    learn = np.zeros((len(sequences), longest), dtype=np.bool_)
    for row, one in enumerate(sequences):
        ids[row, : len(one.ids)] = one.ids
        learn[row, : len(one.ids)] = one.learn
    reference = None
    if all(example.reference for example in examples):
        reference = torch.tensor(
            list(zip(*(example.reference for example in examples), strict=True)), dtype=torch.float32, device=device
        ).flatten()
    liked = torch.tensor([example.is_liked for example in examples], device=device)
    shared = _packed(sequences, packed, longest, length=length, padding=padding, device=device) if packed else None
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(learn).to(device), reference, liked, shared)


def _packed(sequences: Sequence[Tokens], packed: Sequence[int], longest: int, *, length: int, padding: int, device: str) -> Packed:
    groups = [list(one) for one in np.split(np.arange(len(sequences)), np.cumsum(packed)[:-1])]
    length = max(length, *(sum(len(sequences[at].ids) for at in group) for group in groups))
    ids = np.full((len(groups), length), padding, dtype=np.int64)
    positions = np.zeros((len(groups), length), dtype=np.int64)
    places = np.zeros((len(sequences), longest), dtype=np.int64)
    for number, group in enumerate(groups):
        start = 0
        for at in group:
            stop = start + len(sequences[at].ids)
            ids[number, start:stop], positions[number, start:stop] = sequences[at].ids, np.arange(stop - start)
            places[at] = number * length + np.minimum(start + np.arange(longest), stop - 1)
            start = stop
        positions[number, start:] = np.arange(length - start)  # what fills up is a sequence of its own
    return Packed(*(torch.from_numpy(one).to(device) for one in (ids, positions, places)))


def split(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Return the rows of one step as micro batches of at most `size`, of like length, so that little is padding.

    How rows are grouped changes no sum, only the time.
    """
    return [[row for (row,) in group] for group in pack([(row,) for row in examples], size)]


def pack(bundles: Sequence[tuple[Example, ...]], size: int) -> list[list[tuple[Example, ...]]]:
    """Return bundles of rows as groups of at most `size` rows, or of one bundle, of like length; a bundle stays whole."""
    groups: list[list[tuple[Example, ...]]] = []
    longest = rows = sequences = tokens = 0  # of the group that is filling
    for bundle in sorted(bundles, key=_longest, reverse=True):
        more = sum(row.tokens for row in bundle)
        cells = (sequences + _sequences(bundle)) * longest
        if groups and rows + len(bundle) <= size and cells - tokens - more <= _WASTE * cells:
            groups[-1].append(bundle)
            rows, sequences, tokens = rows + len(bundle), sequences + _sequences(bundle), tokens + more
        else:
            groups.append([bundle])
            longest, rows, sequences, tokens = _longest(bundle), len(bundle), _sequences(bundle), more
    return groups


def fill(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    """Return the rows of one step as groups of at most `tokens` tokens, or of one longer row, with little room left: best fit, the longest first.

    Like `split` it changes no sum. Source: Johnson 1973, "Near-optimal bin packing algorithms", at most 11/9 of the fewest groups and one.
    """
    groups: list[list[Example]] = []
    with_room: list[list[int]] = [[] for _ in range(tokens + 1)]  # groups, by the tokens that still fit
    for size, example in sorted(((row.tokens, row) for row in examples), key=lambda one: one[0], reverse=True):
        room = next((left for left in range(size, tokens + 1) if with_room[left]), None)
        if room is None:
            groups.append([example])
            room, at = tokens, len(groups) - 1
        else:
            at = with_room[room].pop()
            groups[at].append(example)
        if room > size:
            with_room[room - size].append(at)
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


def levelled(shares: Sequence[Sequence[Pass]]) -> list[list[Pass]]:
    """Return shares of as many passes each: at the end of the shorter ones stand passes that count for nothing."""
    most = max(map(len, shares))
    if not most:
        return [[] for _ in shares]
    more = _idle(next(share[0].rows[0] for share in shares if share))
    return [[*share, *[more] * (most - len(share))] for share in shares]


def _idle(like: Example) -> Pass:
    """Return a pass that counts for nothing: one row, as short as can be, of as many sequences as another. No row of a set is in it."""
    ids, learn = np.ones(_LEAST, dtype=np.int32), np.arange(_LEAST) > 0  # a token that every vocabulary has
    row = Example(ids, learn, other=like.other and Tokens(ids, learn), reference=(0.0,) * len(like.reference))
    return Pass([row], [0], 1, counts=False)


def _cells(passes: Sequence[Pass]) -> int:
    return sum(_sequences(one.rows) * _longest(one.rows) for one in passes)


def _sequences(rows: Sequence[Example]) -> int:
    return sum(len(row.sequences) for row in rows)


def _longest(rows: Sequence[Example]) -> int:
    return max(row.longest for row in rows)
