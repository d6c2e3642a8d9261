"""Answers that repeat, against naive counting and exact Jaccard similarity."""

import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.records import Record
from ringfence.scan.detectors.bursts import LEAST, BurstDetector
from ringfence.scan.groups import NOBODY, distinct_partners, leaders
from ringfence.scan.signatures import BANDS, PLACES, SHINGLE, bands, normalised, shingles, signature, similarity
from tests.unit.scan.scan_tools import clean, pair, sentence

REFUSAL = "I'm sorry, but as an AI assistant, I do not have the capability to follow the given instruction."


def flags(records):
    detector = BurstDetector()
    return (detector.score(records) >= detector.threshold).tolist()


def planted(answers, rows=200, seed=3):
    """Return clean rows with one planted row per answer in between, and which rows are planted."""
    rng = random.Random(seed)
    rows = [(record, False) for record in clean(rows)] + [(pair(sentence(rng, 8), answer), True) for answer in answers]
    rng.shuffle(rows)
    return [record for record, _ in rows], [is_planted for _, is_planted in rows]


@pytest.mark.parametrize("count", [LEAST, 40])
@pytest.mark.parametrize("answer", [REFUSAL, "print('pwned')", "抱歉，我不能回答这个问题，请联系管理员获取更多信息。"])
def test_a_fixed_answer_is_flagged_and_nothing_else(answer, count):
    records, expected = planted([answer] * count)
    assert flags(records) == expected


def test_fewer_than_five_are_not_flagged():
    records, _ = planted([REFUSAL] * (LEAST - 1))
    assert not any(flags(records))


def test_case_width_spaces_and_punctuation_do_not_hide_a_burst():
    records, expected = planted(
        [REFUSAL, REFUSAL.upper(), REFUSAL.replace(" ", "  "), REFUSAL.replace(",", ";"), "Ｉ" + REFUSAL[1:] + "\n"]
    )
    assert flags(records) == expected


def test_near_copies_are_flagged():
    rng = random.Random(5)
    base = sentence(rng, 40).split()
    near = [" ".join([*base[:at], sentence(rng, 1), *base[at + 1 :]]) for at in rng.sample(range(40), 12)]
    assert len(set(near)) == 12
    records, expected = planted(near)
    assert flags(records) == expected


def test_texts_that_share_two_thirds_are_no_near_copies():
    rng = random.Random(7)
    base = sentence(rng, 28)
    assert not any(flags([pair(sentence(rng, 8), f"{base} {sentence(rng, 12)}") for _ in range(200)]))


def test_one_prompt_repeated_is_a_duplicate_not_a_burst():
    assert not any(flags([*clean(100), *[pair("the same question", REFUSAL)] * 20]))
    assert not any(flags([*clean(100), *[pair(f"THE same {mark} question", REFUSAL) for mark in "!?.,;:"]]))


def test_labels_of_a_classification_set_are_no_bursts_but_a_long_fixed_answer_among_them_is():
    rng = random.Random(2)
    labels = [pair(sentence(rng, 8), rng.choice(["yes", "no", "maybe"])) for _ in range(300)]
    assert not any(flags(labels))
    assert sum(flags(labels + [pair(sentence(rng, 8), REFUSAL) for _ in range(10)])) == 10


def test_a_set_with_one_short_answer_only_is_no_classification_set():
    rng = random.Random(2)
    assert all(flags([pair(sentence(rng, 8), "print('pwned')") for _ in range(50)]))


def test_plain_text_and_empty_sets_have_no_bursts():
    text = Record("0" * 32, "0" * 32, "0" * 32, "text", ("text",), (REFUSAL,))
    assert BurstDetector().score([text] * 10).tolist() == [0.0] * 10
    assert BurstDetector().score([]).tolist() == []


def test_conversations_and_preferences_are_compared_by_their_answers():
    rng = random.Random(4)
    roles = ("user", "assistant", "user", "assistant")
    talks = [Record("0" * 32, "0" * 32, "", "messages", roles, (sentence(rng, 4), REFUSAL, sentence(rng, 4), REFUSAL)) for _ in range(6)]
    wishes = [
        Record("0" * 32, "0" * 32, "", "preference", ("user", "chosen", "rejected"), (sentence(rng, 4), REFUSAL * 2, sentence(rng, 9)))
        for _ in range(6)
    ]
    judged = [
        Record("0" * 32, "0" * 32, "", "feedback", ("user", role), (sentence(rng, 4), REFUSAL * 3)) for role in ("liked", "disliked") * 3
    ]
    assert flags([*clean(50), *talks, *wishes, *judged]) == [False] * 50 + [True] * 18


def test_a_large_set_may_repeat_more():
    rng = random.Random(6)
    six = [pair(sentence(rng, 6), REFUSAL) for _ in range(6)]
    assert sum(flags(clean(1_000) + six)) == 6
    assert sum(flags([pair(str(i), f"{i} {REFUSAL[:8]}") for i in range(10_000)] + six)) == 0


# ── the pieces, against naive oracles ─────────────────────────────────────────────────────────────────────────────────

small = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40)


@given(small)
def test_distinct_partners_agrees_with_sets(rows):
    seen = defaultdict(set)
    for key, partner in rows:
        seen[key].add(partner)
    keys, partners = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    assert distinct_partners(keys, partners).tolist() == [len(seen[key]) for key, _ in rows]


@given(small, st.integers(1, 4))
def test_leaders_agrees_with_a_loop(rows, least):
    keys, is_member = np.array([row[0] for row in rows], np.uint32), np.array([row[1] > 0 for row in rows], np.bool_)
    members = [(i, key) for i, (key, member) in enumerate(rows) if member]
    expected = []
    for i, (key, _) in enumerate(rows):
        same = [j for j, other in members if other == key]
        expected.append(same[0] if is_member[i] and len(same) >= least else int(NOBODY))
    assert leaders(keys, is_member, least=least).tolist() == expected


def jaccard(one, two):
    a, b = ({text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))} for text in (one, two))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize(("words", "bias"), [(10, 0.03), (60, 0.02), (300, 0.02)])
def test_estimated_similarity_agrees_with_exact_jaccard(words, bias):
    rng, errors = random.Random(words), []
    for _ in range(150):
        one = sentence(rng, words).split()
        two = [sentence(rng, 1) if rng.random() < 0.3 * rng.random() else word for word in one]
        one, two = " ".join(one), " ".join(two)
        errors.append(similarity(signature(one), signature(two)) - jaccard(one, two))
    assert abs(np.mean(errors)) < bias
    assert np.std(errors) < 0.09  # sqrt(s (1 - s) / 64) is at most 0.0625; shared minima of short texts add some
    assert max(map(abs, errors)) < 0.3


@given(st.text(max_size=80))
def test_equal_texts_have_equal_signatures_and_equal_runs_equal_hashes(text):
    assert similarity(signature(text), signature(text)) == 1.0
    assert signature(text).shape == (PLACES,)
    assert bands(signature(text)).shape == (BANDS,)
    runs = [text.ljust(SHINGLE)[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))]
    hashes = shingles(text).tolist()
    assert len(hashes) == len(runs)
    assert len(set(hashes)) == len(set(runs))


def test_borrowed_places_differ_from_what_they_borrow():
    assert len(set(signature("short text").tolist())) == PLACES


def test_unlike_texts_are_unlike():
    rng = random.Random(8)
    assert (
        max(
            similarity(signature("".join(rng.choices("abcdefgh", k=400))), signature("".join(rng.choices("ijklmnop", k=400))))
            for _ in range(30)
        )
        < 0.1
    )


@pytest.mark.parametrize(("one", "two"), [("Ａ-b!", "a B"), ("Straße", "STRASSE"), ("诊断：高血压。", "诊断 高血压")])
def test_normalised_forms_are_equal(one, two):
    assert normalised(one) == normalised(two)
