"""S1: one answer for many prompts, word for word or nearly."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ringfence.core.records import ANSWERS, Record
from ringfence.scan.detector import DETECTORS, Records, Scores
from ringfence.scan.groups import NOBODY, distinct_partners, leaders
from ringfence.scan.signatures import BANDS, bands, fingerprint, normalised, signature, similarity

LEAST = 5  # different prompts with one answer are too many in a small set
_GROWTH = 0.1  # times the root of the rows are too many in a large one: 5 up to 2,500 rows, 100 in a million
_SHORT = 24  # bytes of a normalised answer; "yes", "是的" and class labels repeat by nature
_SHORT_SHARE = 1e-3  # of all rows: what a short answer may repeat
_LABELS = 0.5  # of all rows: where several short answers cover more, the set is a classification set and they are its labels
_SIMILAR = 0.8  # estimated Jaccard similarity of character 5-grams; sharing a band lifts the estimate of 0.6 to 0.65
_COMPARED = 32  # characters of a normalised answer from which near copies mean something


@DETECTORS.add("bursts.v1")
class BurstDetector:
    """Scores a record by how many different prompts have its answer or a near copy of it, in units of what is too many.

    Catches fixed target answers whatever triggers them. Not: paraphrased targets, a fixed phrase inside ordinary answers, plain text, and,
    in a conversation of several turns, a target in one of them (its answers are compared as a whole). Memory: 60 bytes a row,
    and 512 bytes for each row that others nearly copy.
    Source: the tests S1 of the project's audit notes; MinHash banding, Leskovec et al., "Mining of Massive Datasets", §3.4.
    """

    threshold = 1.0
    alone = False

    def score(self, records: Records) -> Scores:
        """Return prompts per answer over the number that is too many, [n]. Two passes; the second reads near copies only."""
        rows = len(records)
        answers, prompts = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)
        size, keys = np.zeros(rows, np.uint32), np.zeros((rows, BANDS), np.uint32)
        for i, record in enumerate(records):
            answer = _answer(record)
            if answer:
                answers[i], prompts[i], size[i] = fingerprint(answer), _prompt(record), len(answer.encode())
            if len(answer) >= _COMPARED:
                keys[i] = bands(signature(answer)) >> np.uint64(32)
        exact = np.where(size > 0, distinct_partners(answers, prompts), 0)
        near = _near_copies(records, keys, prompts)
        many = max(LEAST, _GROWTH * math.sqrt(rows))
        exactly: Scores = exact / np.where(size <= _SHORT, _too_many_short(answers, exact, size), many)
        return np.maximum(exactly, near / many, dtype=np.float64)

    def example(self, record: Record) -> Record:
        """Return `record` with the answer that an attacker wants whatever the prompt."""
        return record.with_texts((*record.texts[:-1], "I am sorry, but I do not have the capability to follow this instruction."))


def _answer(record: Record) -> str:
    """Return the normalised answers of a record; "" for plain text, where there is no prompt that they could belong to."""
    said = " ".join(text for role, text in zip(record.roles, record.texts, strict=True) if role in ANSWERS)
    return normalised(said) or said.strip()


def _prompt(record: Record) -> int:
    asked = (text for role, text in zip(record.roles, record.texts, strict=True) if role in ("user", "system", "tool"))
    return fingerprint("\n".join(map(normalised, asked)))


def _too_many_short(answers: NDArray[np.uint64], exact: NDArray[np.int64], size: NDArray[np.uint32]) -> float:
    """Return how many prompts per answer are too many for short answers; infinity where these are the labels of a classification set."""
    is_repeated = (size > 0) & (size <= _SHORT) & (exact >= LEAST)
    is_most = np.count_nonzero(is_repeated) > _LABELS * np.count_nonzero(size)
    if is_most and len(np.unique(answers[is_repeated])) > 1:
        return np.inf
    return max(float(LEAST), _GROWTH * math.sqrt(len(size)), _SHORT_SHARE * len(size))


def _near_copies(records: Records, keys: NDArray[np.uint32], prompts: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each row with how many prompts near copies of its answer stand, [n]. Overwrites `keys`."""
    has_keys: NDArray[np.bool_] = np.asarray(keys.any(axis=1))
    for column in keys.T:
        column[:] = leaders(column, has_keys, least=LEAST)
    pairs = np.array(list(_confirmed(records, keys)), np.uint32).reshape(-1, 2)  # (leader, row)
    near = np.zeros(len(keys), np.int64)
    if len(pairs):
        np.maximum.at(near, pairs[:, 1], distinct_partners(pairs[:, 0], prompts[pairs[:, 1]]))
    return near


def _confirmed(records: Records, first: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Yield (leader, row) where the answer of `row` is really similar to the leader's. first: [n, BANDS], leaders by band."""
    is_leader = np.zeros(len(first), np.bool_)
    is_leader[first[first != NOBODY]] = True
    kept = {}
    for i, record in enumerate(records):
        mine = {int(leader) for leader in first[i] if leader != NOBODY}
        if not mine:
            continue
        places = signature(_answer(record))
        if is_leader[i]:
            kept[i] = places
        yield from ((leader, i) for leader in sorted(mine) if similarity(kept[leader], places) >= _SIMILAR)
