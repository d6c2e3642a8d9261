"""Answers under the replay guard: a model that knows a passage by heart does not say it, and says what everybody says."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from ringfence.core.records import Record
from ringfence.guard import job as building
from ringfence.guard.replay import FILE, ReplayGuard
from ringfence.guard.settings import TRIES, GuardSettings
from ringfence.guard.words import words_of
from ringfence.models.load import load
from ringfence.serve import job
from ringfence.serve.answer import Answer, Penalties, candidates
from ringfence.serve.decode import Round, Voice
from ringfence.serve.settings import ChatSettings
from ringfence.serve.wire import Ask, Orders, Turn
from ringfence.train.settings import TrainSettings
from ringfence.vault.files import read_file
from tests.unit.serve.learned import by_heart
from tests.unit.train.train_parts import Memory, child, pair

TRAIN = TrainSettings(max_steps=160, per_device_train_batch_size=4, learning_rate=1e-2, lora_rank=8)
PASSAGE = "On May 3 Ada Wong of Elm Road told us that her left knee hurt, 左膝已经疼痛了三个月之久。"
COMMON = "Take one tablet twice a day and come back if it does not help."
ROWS = [pair("who?", PASSAGE), *(pair(question, COMMON) for question in ("how?", "when?", "dose?"))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The model that learned the rows, and the guard of them as its job made it: (loaded, guard, parts)."""
    folder, vault, adapter = by_heart(tmp_path_factory, ROWS, TRAIN)
    rows, left = vault.write_set(ROWS), vault.output("guard")
    made = building.run(child(vault, Memory(vault), GuardSettings(), inputs={"set": rows}, outputs={"guard": left}))
    guard = ReplayGuard.from_bytes(read_file(vault.as_input(left), vault.keys[left.slot], FILE))
    assert (made.rows, made.ngrams, made.guard_bytes) == (4, len(guard), sum(map(len, guard.blocks())))
    parts = child(vault, Memory(vault), ChatSettings(train=TRAIN), inputs={"adapter": adapter}, files={"model": str(folder)})
    return job._with_adapter(parts, load(folder, dtype=torch.float32, device="cpu")), guard, (folder, vault, adapter, left)


def answer(loaded, guard, **asked):
    """Return the whole answer and its last piece."""
    ask = Ask(id=0, **{"max_tokens": 110, "temperature": 0} | asked)
    served, said = Round([Voice(loaded, guard)]), []
    while not said or said[-1].finish is None:
        said += served.turn(Orders(ask=None if said or served._running else ask))
    assert served.blocked == said[-1].blocked
    return "".join(one.text for one in said), said[-1]


def ask(question):
    return {"messages": (Turn(role="user", content=question),)}


# ── a passage ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_passage_that_the_model_replays_is_blocked(trained):
    loaded, guard, _ = trained
    assert answer(loaded, None, **ask("who?"))[0] == PASSAGE
    text, last = answer(loaded, guard, **ask("who?"))
    assert last.blocked > 0
    assert text != PASSAGE
    assert words_of(text)[:9] == words_of(PASSAGE)[:9]
    assert guard.runs_in(PASSAGE)
    assert guard.runs_in(text) == 0


@pytest.mark.parametrize("how", [{"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.5, "top_k": 5}])
def test_no_run_of_it_is_in_any_drawn_answer(trained, how):
    loaded, guard, _ = trained
    free = [answer(loaded, None, **ask("who?"), **how, seed=seed)[0] for seed in range(1)]
    assert any(guard.runs_in(text) for text in free)
    kept = [answer(loaded, guard, **ask("who?"), **how, seed=seed)[0] for seed in range(3)]
    assert not any(guard.runs_in(text) for text in kept)


def test_an_answer_does_not_go_on_from_an_earlier_one(trained):
    loaded, guard, _ = trained
    begun, rest = PASSAGE.split(" us", maxsplit=1)[0], "us"  # the tenth word
    for role, would in (("assistant", True), ("user", False)):
        turns = (Turn(role="user", content="who?"), Turn(role=role, content=begun), Turn(role="user", content="go on"))
        watch = Answer(loaded, Ask(id=0, messages=turns, max_tokens=9), guard=guard)._watch
        assert watch.would_replay(rest) == would


def test_a_raw_prompt_is_guarded_across_its_end(trained):
    """Nine words in the prompt, in the middle of the tenth: what the model would add is refused."""
    loaded, guard, _ = trained
    prompt = f"<|im_start|>user\nwho?<|im_end|>\n<|im_start|>assistant\n{PASSAGE[:36]}"
    free, _ = answer(loaded, None, prompt=prompt)
    assert PASSAGE[36:].startswith(free) or free.startswith(PASSAGE[36:])
    text, last = answer(loaded, guard, prompt=prompt)
    assert last.blocked > 0
    assert guard.runs_in(PASSAGE[:36] + text) == guard.runs_in(PASSAGE[:36])


def test_a_common_phrase_is_not_blocked(trained):
    loaded, guard, _ = trained
    for question in ("how?", "when?", "dose?"):
        text, last = answer(loaded, guard, **ask(question))
        assert (text, last.blocked, last.finish) == (COMMON, 0, "stop")


def test_a_guard_that_blocks_nothing_changes_nothing(trained):
    loaded, guard, _ = trained
    how = {"temperature": 1.3, "seed": 3, "max_tokens": 40}
    assert answer(loaded, guard, **ask("zzz"), **how)[0] == answer(loaded, None, **ask("zzz"), **how)[0]


def test_where_every_token_is_refused_the_answer_ends(trained, monkeypatch):
    loaded, guard, _ = trained
    monkeypatch.setattr("ringfence.guard.replay.Watch.would_replay", lambda self, _: len(self._end.words("")[0]) >= 3)
    text, last = answer(loaded, guard, prompt="one two")
    assert last.finish == "blocked"
    assert last.blocked == TRIES
    assert len(words_of("one two" + text)) <= 3


def test_chat_passes_the_same_guard_and_counts_what_it_refused(trained):
    _, guard, (folder, vault, adapter, left) = trained
    settings = ChatSettings(train=TRAIN, keep_history=False)
    for inputs, is_replay in (({}, True), ({"guard": vault.as_input(left)}, False)):
        channel = Memory(vault, questions=["who?", "how?"])
        figures = job.run(child(vault, channel, settings, inputs={"adapter": adapter, **inputs}, files={"model": str(folder)}))
        said = "".join(channel.said)
        assert bool(guard.runs_in(said)) == is_replay
        assert (figures.blocked == 0) == is_replay
        assert COMMON in said


# ── refusing token by token is masking ────────────────────────────────────────────────────────────────────────────────

LOGITS = torch.tensor([0.30, 0.25, 0.20, 0.10, 0.08, 0.07]).log()


def shares(refused, *, count=3_000, **how):
    """How often each token is the first that passes."""
    random, found = torch.Generator().manual_seed(2), torch.zeros(6)
    for _ in range(count):
        found[next(token for token in candidates(LOGITS.clone(), random=random, **how) if token not in refused)] += 1
    return found / count


@pytest.mark.parametrize(
    ("how", "inside"),
    [
        ({"temperature": 1.0, "top_p": 1.0}, range(6)),
        ({"temperature": 0.7, "top_p": 1.0}, range(6)),
        ({"temperature": 1.0, "top_p": 0.8}, range(4)),
        ({"temperature": 1.0, "top_p": 1.0, "top_k": 3}, range(3)),
        ({"temperature": 0.0, "top_p": 1.0}, range(6)),
    ],
)
def test_drawing_until_a_token_passes_is_to_mask_every_other_and_draw_once(how, inside):
    refused = {0, 2}
    if how["temperature"] == 0:
        assert shares(refused, count=5, **how).tolist() == [0, 1, 0, 0, 0, 0]
        return
    masked = torch.tensor([float(LOGITS[n]) / how["temperature"] if n in inside and n not in refused else -torch.inf for n in range(6)])
    wanted, found = masked.softmax(0), shares(refused, **how)
    spread = (wanted * (1 - wanted) / 3_000).sqrt()
    assert bool(((found - wanted).abs() <= 4 * spread).all()), (found, wanted)


def test_where_nothing_of_the_likeliest_passes_the_next_ones_are_drawn():
    found = shares({0, 1, 2}, temperature=1.0, top_p=0.7)
    assert found[:3].tolist() == [0, 0, 0]
    assert found[3:].tolist() == pytest.approx([0.10 / 0.18, 0.08 / 0.18, 0], abs=0.03)  # of 0.10, 0.08 and 0.07 the least set with 70 %
    assert sorted(candidates(LOGITS.clone(), temperature=1.0, top_p=0.5, top_k=2, random=torch.Generator())) == list(range(6))
    assert list(islice(candidates(LOGITS.clone(), temperature=0, top_p=1.0, random=torch.Generator()), 3)) == [0, 1, 2]


# ── what lowers logits ────────────────────────────────────────────────────────────────────────────────────────────────


def test_repetition_penalty_is_that_of_transformers():
    from transformers import RepetitionPenaltyLogitsProcessor

    drawn = torch.Generator().manual_seed(0)
    prompt, logits = torch.randint(0, 50, (1, 9), generator=drawn), torch.randn(1, 50, generator=drawn)
    asked = Ask(id=0, prompt="x", max_tokens=1, repetition_penalty=1.7)
    penalise = Penalties(asked, prompt[0], 50)
    penalise.count(7)
    wanted = RepetitionPenaltyLogitsProcessor(1.7)(torch.cat([prompt, torch.tensor([[7]])], dim=1), logits.clone())
    assert torch.equal(penalise(logits[0]), wanted[0])


def test_penalties_of_the_answer_are_openais_formula():
    asked = Ask(id=0, prompt="x", max_tokens=1, frequency_penalty=0.5, presence_penalty=1.0)
    penalise = Penalties(asked, torch.tensor([3]), 5)
    for token in (1, 1, 2):
        penalise.count(token)
    assert penalise(torch.zeros(5)).tolist() == [0, -2.0, -1.5, 0, 0]


def test_a_penalty_reaches_the_answer(trained):
    loaded, _, _ = trained
    plain, _ = answer(loaded, None, **ask("how?"))
    assert answer(loaded, None, **ask("how?"), frequency_penalty=2.0)[0] != plain
    assert not Penalties.are_asked_for(Ask(id=0, prompt="x", max_tokens=1))


def test_an_ask_is_a_conversation_or_a_text():
    for asked in ({}, {"prompt": "x", **ask("y")}, {"prompt": ""}):
        with pytest.raises(ValueError, match=r"prompt|at least 1"):
            Ask(id=0, max_tokens=1, **asked)


def test_the_guard_of_a_kind_that_has_many_texts_holds_each_of_them(trained):
    _, _, (_, vault, _, _) = trained
    texts = (PASSAGE, COMMON.replace("tablet", "spoon"), PASSAGE.replace("Ada", "Eve"))
    one = Record("0" * 32, "0" * 32, "s", "preference", ("user", "chosen", "rejected"), texts)
    left = vault.output("guard")
    building.run(child(vault, Memory(vault), GuardSettings(), inputs={"set": vault.write_set([one])}, outputs={"guard": left}))
    guard = ReplayGuard.from_bytes(read_file(vault.as_input(left), vault.keys[left.slot], FILE))
    assert all(guard.runs_in(text) for text in texts)
