"""Internal terms: found where they were planted, not made of common words."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from ringfence.deid import discover
from ringfence.deid.sentences import Chinese, English

NAMES = ("璇玑平台", "赤霄", "ORC-219", "BlueHeron", "Project Larkspur", "沧溟二期")


def corpus(terms, *, seed=1, times=6, rows=600):
    draw = random.Random(seed)
    zh, en = Chinese(draw), English(draw)
    texts = ["".join(piece for piece, _ in (zh if draw.random() < 0.7 else en).sentence()) for _ in range(rows)]
    around = [
        "我们在{}上处理，",
        "请登录{}查看，",
        "{}的负责人，",
        "通过{}提交，",
        "与{}对接，",
        "{}已经上线，",
        "We moved it to {}. ",
        "see {} for details; ",
    ]
    for term in terms:
        for n in range(times):
            texts.insert(draw.randrange(len(texts)), around[(n + len(term)) % len(around)].format(term))
    return texts


def test_planted_terms_come_first():
    found = discover.candidates(corpus(NAMES))
    first = {candidate.term for candidate in found[:40]}
    assert len(first & set(NAMES)) >= 4, [c.term for c in found[:40]]
    assert all(a.score >= b.score for a, b in pairwise(found))


def test_counts_are_exact_and_rare_terms_are_left_out():
    texts = ["请登录璇玑平台查看", "璇玑平台已经上线，", "通过璇玑平台提交", "赤霄，", "赤霄"]
    found = {c.term: c.occurrences for c in discover.candidates(texts)}
    assert found.get("璇玑平台") == 3 or found.get("璇玑") == 3
    assert "赤霄" not in found


def test_what_is_masked_is_no_term():
    texts = [text.replace("璇玑平台", "\0\0\0\0") for text in corpus(("璇玑平台",))]
    assert not [c for c in discover.candidates(texts) if "璇玑" in c.term]


def test_common_words_and_fragments_are_no_terms():
    found = {c.term for c in discover.candidates(corpus(NAMES))}
    assert not found & {"我们", "登录", "查看", "for details", "玑平", "玑平台", "the"}


@pytest.mark.parametrize("texts", [[], [""], ["\0"], ["。" * 50], ["aaaa " * 50], ["\ud800" * 20], ["璇" * 100]])
def test_odd_texts_are_survived(texts):
    assert isinstance(discover.candidates(texts), list)


def test_n_grams_are_counted_as_a_plain_count_counts_them():
    draw = random.Random(4)
    row = np.array([draw.randrange(0, 4) for _ in range(300)])
    grams = discover._grams(row, least=3, letters=["", "a", "b", "c"])
    values = row.tolist()
    for n in range(2, len(grams.at) + 1):
        plain = {}
        for i in range(len(values) - n + 1):
            gram = tuple(values[i : i + n])
            if 0 not in gram:
                plain[gram] = plain.get(gram, 0) + 1
        frequent = {gram: count for gram, count in plain.items() if count >= 3}
        seen = {tuple(values[i : i + n]): int(grams.counts[n - 1][number]) for i, number in enumerate(grams.at[n - 1].tolist()) if number}
        assert seen == frequent
