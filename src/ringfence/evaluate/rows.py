"""Rows as they are evaluated: token ids whose loss is taken, and questions with the answer that the row gives. Child halves only: imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.core.records import Record
from ringfence.train.data import Corpus, Example, read_corpus
from ringfence.train.objective import OBJECTIVES
from ringfence.train.questions import asked
from ringfence.train.settings import OF_ROWS, TrainSettings

_READS = (*OF_ROWS, "rm.v1")  # objectives that read a row in a way of their own; what others compare is evaluated by the better answer


class Question(NamedTuple):
    """A conversation up to its last answer."""

    ids: NDArray[np.int32]  # [tokens], with the words by which the model's template asks for an answer
    answer: str  # that the row gives
    unit: int  # whose row it is: the position of the unit among those that were read


class Rows(NamedTuple):
    """What was read of a set."""

    corpus: Corpus
    questions: list[Question]
    total: int  # of rows that were read


def read(records: Iterable[Record], tokenizer: Any, settings: TrainSettings) -> Rows:  # noqa: ANN401  transformers is untyped
    """Return the rows as the run read its own: by the same template, cut at the same length, with the same tokens predicted."""
    name = settings.objective if settings.objective in _READS else "sft.v1"
    objective = OBJECTIVES.create(name, settings=settings)
    found: list[tuple[str, tuple[NDArray[np.int32], str] | None]] = []

    def look(record: Record) -> Example | None:
        found.append((record.unit, None if settings.is_reward else question_of(record, tokenizer)))  # nobody answers
        return objective.read(record, tokenizer)

    corpus = read_corpus(records, look, cutoff=settings.most_tokens)
    units = {unit: place for place, unit in enumerate(dict.fromkeys(unit for unit, _ in found))}  # as `read_corpus` numbers them
    questions = [Question(*one, units[unit]) for unit, one in found if one]
    return Rows(corpus, questions, len(found))


def question_of(record: Record, tokenizer: Any) -> tuple[NDArray[np.int32], str] | None:  # noqa: ANN401
    """Return a row's question as token ids and its last answer; None for plain text, a disliked answer, and what the model's template refuses."""
    if (found := asked(record, tokenizer)) is None:
        return None
    return np.array(tokenizer(found.question, add_special_tokens=False).input_ids, dtype=np.int32), found.answer
