"""The replay guard against a naive one: what is held, what is common, and that no answer under it ever holds a run of the training set."""

from __future__ import annotations

import json
import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringfence.core.errors import ObjectBroken
from ringfence.guard.replay import ReplayGuard, build, tags
from ringfence.guard.settings import GuardSettings
from ringfence.guard.words import words_of

FEW = GuardSettings(words=3, common=3)
SETS = st.lists(st.tuples(st.sampled_from("PQRS"), st.lists(st.text("ab 咳", max_size=16), max_size=2)), max_size=8)
PASSAGE = "The patient Ada Wong came on the third of May with a cough that nobody could explain at all"


def runs(text, size):
    """The run that ends with each word, the slow way: the shortest that counts so many words, a Chinese character half."""
    words, found = words_of(text), []
    for end in range(1, len(words) + 1):
        starts = [start for start in range(end) if sum(0.5 if one == "咳" else 1 for one in words[start:end]) >= size]
        found += [tuple(words[starts[-1] : end])] if starts else []
    return found


def holds(guard, run):
    return bool(guard.holds(guard.tags(run))[-1])


def have(rows, size):
    """Who has each run, the slow way."""
    found = defaultdict(set)
    for unit, texts in rows:
        for text in texts:
            for run in runs(text, size):
                found[run].add(unit)
    return found


@settings(max_examples=200)
@given(SETS)
def test_what_is_held_is_what_fewer_than_three_units_have(rows):
    guard, counts = build(rows, FEW)
    found = have(rows, 3)
    held = {run for run, units in found.items() if len(units) < 3}
    assert {run for run in found if holds(guard, run)} == held
    assert (len(guard), counts["ngrams"], counts["common_ngrams"]) == (len(held), len(held), len(found) - len(held))
    assert counts["rows"] == len(rows)
    assert counts["row_words"] == sum(len(words_of(text)) for _, texts in rows for text in texts)


@settings(max_examples=100)
@given(SETS)
@example([(unit, ["a b a b"]) for unit in "PQR"])  # of each, two others have it
@example([(unit, ["a b a b"]) for unit in "PQRS"])
def test_false_blocks_are_what_a_guard_without_the_units_own_rows_would_refuse(rows):
    guard, counts = build(rows, FEW)
    refused = 0
    for unit in {unit for unit, _ in rows}:
        without, _ = build([row for row in rows if row[0] != unit], FEW)
        refused += sum(holds(without, run) for owner, texts in rows if owner == unit for text in texts for run in runs(text, 3))
    assert guard.false_blocks == pytest.approx(refused / max(1, counts["row_words"]))


def test_a_phrase_that_three_people_share_is_nobodys_and_of_two_it_is_held():
    rows = [(f"P{n}", ("Take one tablet twice a day after meals and drink a glass of water.",)) for n in range(3)]
    shared, _ = build(rows, GuardSettings())
    assert len(shared) == 0
    held, _ = build(rows[:2], GuardSettings())
    assert holds(held, words_of(rows[0][1][0])[:10])
    assert len(build([rows[0]] * 5, GuardSettings())[0]) == len(held)  # five rows of one person are one person's


def test_a_run_ends_with_its_turn():
    guard, _ = build([("P", ("one two", "three four"))], FEW)
    assert len(guard) == 0


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_guard_survives_its_file_and_holds_no_text():
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    data = b"".join(guard.blocks())
    other = ReplayGuard.from_bytes(data)
    assert (len(other), other.settings, other.false_blocks) == (len(guard), guard.settings, guard.false_blocks)
    assert holds(other, words_of(PASSAGE)[:10])
    assert not [word for word in words_of(PASSAGE) if len(word) > 3 and word.encode() in data.lower()]
    with pytest.raises(ObjectBroken):
        ReplayGuard.from_bytes(data[:-1])
    with pytest.raises(ObjectBroken):
        ReplayGuard.from_bytes(b"{}\n")


def test_without_its_key_the_file_tells_nothing_of_the_set():
    """Under another key the same passage has other tags, in no order of theirs: nobody can ask without it, or compare two guards of one set."""
    one, other = (build([("P", (PASSAGE,))], GuardSettings())[0] for _ in range(2))
    head, _, held = b"".join(one.blocks()).partition(b"\n")
    strange = json.loads(head) | {"key": "00" * 32}
    asked = ReplayGuard.from_bytes(json.dumps(strange).encode() + b"\n" + held)
    assert not any(holds(asked, run) for run in runs(PASSAGE, 10))
    assert all(holds(one, run) for run in runs(PASSAGE, 10))
    assert not set(one._held.tolist()) & set(other._held.tolist())
    bits = np.unpackbits(build([("P", (" ".join(map(str, range(2_000))),))], GuardSettings())[0]._held.view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.01  # no plain count or code of the words


def test_tags_are_those_of_each_run_alone():
    words, key = words_of(PASSAGE), bytes(32)
    assert tags(words, key, 10).tolist() == [int(tags(words[at : at + 10], key, 10)[0]) for at in range(len(words) - 9)]
    assert tags(words[:9], key, 10).tolist() == tags([], key, 10).tolist() == []
    for last in range(len(words) + 1):
        assert tags(words, key, 10, last).tolist() == tags(words, key, 10).tolist()[-last:] * bool(last)
    assert len(tags(words_of("患者咳嗽三天"), key, 3)) == 1  # six characters count as three words
    assert tags(["ab", "c", "d"], key, 3)[0] != tags(["a", "bc", "d"], key, 3)[0]


# ── an answer ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300)
@given(
    SETS,
    st.lists(st.text("abAB咳 ,\u0301", max_size=3), max_size=40),
    st.text("ab ", max_size=8),
    st.booleans(),
    st.lists(st.text("ab 咳", max_size=8), max_size=3),
)
@example([("P", ["b b a"])], ["", "a", "b"], "", False, ["a b b", "", "b"])  # from the end of the first answer
@example([("P", ["a b 咳咳"])], ["咳", " 咳"], "", False, ["a", "b"])
def test_no_answer_that_passes_holds_a_run_but_what_was_brought(rows, pieces, question, goes_on, said):
    guard, _ = build(rows, FEW)
    watch, answer = guard.watch([question], said=said, goes_on=goes_on), ""
    before = ["\n".join(said[: n + 1]) for n in range(len(said))]
    for piece in pieces:
        would = watch.would_replay(piece)
        assert would == watch.would_replay(piece)  # it only asks
        new = set(runs(question + ("" if goes_on else "\n") + answer + piece, 3))
        for one in before:  # of these, what ends in the answer
            new |= set(runs(f"{one}\n{answer}{piece}", 3)[len(runs(one, 3)) :])
        new -= set(runs(question, 3))
        assert would == any(holds(guard, run) for run in new)
        if not would:
            watch.add(piece)
            answer += piece


def test_it_is_the_last_word_that_is_refused_however_it_comes():
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    for cut in range(1, 8):
        watch, said = guard.watch(["Who came?"]), ""
        pieces = [PASSAGE[at : at + cut].upper() for at in range(0, len(PASSAGE), cut)]
        for piece in pieces:
            if watch.would_replay(piece):
                break
            watch.add(piece)
            said += piece
        words = words_of(said)
        assert len(words) in (9, 10)
        assert words[:8] == words_of(PASSAGE)[:8]  # of the ninth perhaps the beginning
        assert guard.runs_in(said) == 0


@pytest.mark.parametrize("size", [1, 3])
def test_of_a_script_without_spaces_the_twentieth_character_is_refused(size):
    passage = "患者自述左膝疼痛三个月上下楼梯时加重夜间尤甚服药后稍有好转"
    guard, _ = build([("P", (passage,))], GuardSettings())
    watch, said = guard.watch(["怎么了？"]), ""
    while said != passage and not watch.would_replay(piece := passage[len(said) : len(said) + size]):
        watch.add(piece)
        said += piece
    assert len(said) == 19 // size * size


def test_what_the_question_begins_the_answer_may_not_end():
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    begun, rest = PASSAGE.split(" Ma", maxsplit=1)[0], "y with"  # nine words and half of one: a text goes on in the middle of a word
    assert guard.watch([begun + " Ma"], goes_on=True).would_replay(rest)
    assert guard.watch([begun]).would_replay("May with")
    assert not guard.watch([begun]).would_replay("June with")
    assert not guard.watch([begun, "another question"]).would_replay("May with")


def test_what_the_asker_brought_may_be_said_back_and_tells_nothing():
    """Otherwise whoever has a text could learn that it was trained on: `repeat this` would be refused."""
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    watch = guard.watch(["be brief", f"Say again: {PASSAGE[:60]}"])
    assert not watch.would_replay(PASSAGE[:60])
    watch.add(PASSAGE[:60])
    assert watch.would_replay(PASSAGE[60:])


@pytest.mark.parametrize("few", [1, 4, 9])
def test_what_an_earlier_answer_begins_no_later_one_ends(few):
    """Otherwise "go on" would bring the passage, a few words an answer."""
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    words = PASSAGE.split()
    said = [" ".join(words[at : min(9, at + few)]) for at in range(0, 9, few)]
    for later in ([], ["Sunny."], ["Sunny.", "I do not know."]):  # of which "no, the story" goes back
        watch = guard.watch(["Who came?", "go on"], said=[*said, *later])
        assert watch.would_replay(f" {words[9]}")
        assert not watch.would_replay(" June")
        watch.add(f" and {words[9]}")
        assert not watch.would_replay(f" {words[10]}")  # a word between


def test_an_earlier_answer_is_what_the_model_said_and_brings_nothing():
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    begun, last = PASSAGE.split(" with", maxsplit=1)[0].rsplit(" ", maxsplit=1)
    for turns, would in ((["say it again"], True), ([f"Is it {PASSAGE}?", "say it again"], False)):
        watch = guard.watch(turns, said=[PASSAGE])
        watch.add(begun)
        assert watch.would_replay(f" {last}") == would


def test_earlier_answers_cost_little_and_nothing_once_a_run_has_room_in_the_answer():
    guard, _ = build([("P", (PASSAGE,))], GuardSettings())
    watch, tags_ = guard.watch(["go on"], said=[f"answer {n}" for n in range(99)]), []
    guard.tags = lambda *asked, **more: tags_.append(asked) or ReplayGuard.tags(guard, *asked, **more)
    for n in range(20):
        tags_.clear()
        assert not watch.would_replay(f" word{n}")
        assert len(tags_) == (1 + 64 if n < 10 else 1)
        watch.add(f" word{n}")


def test_false_alarms_are_as_rare_as_64_bits_make_them():
    drawn = random.Random(1)
    words = ["".join(drawn.choices("abcdefgh", k=4)) for _ in range(20_000)]
    guard, _ = build([("P", (" ".join(words),))], GuardSettings())
    drawn.shuffle(words)
    assert guard.runs_in(" ".join(words)) == 0
