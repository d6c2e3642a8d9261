"""What vLLM is left to take is what ringfence's own engine would say. vLLM itself is not here: a batch of its shape computes by the tiny model."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ringfence.core.errors import NotOpened
from ringfence.guard.replay import build
from ringfence.guard.settings import GuardSettings
from ringfence.models.load import load
from ringfence.models.tiny import write_tiny_model
from ringfence.serve import job, vllm
from ringfence.serve.decode import Round, Voice
from ringfence.serve.settings import RANKS, ServeSettings
from ringfence.serve.vllm import Chooser, PagedRound, Shape, _room, _sizes
from ringfence.serve.wire import Ask, Orders, Turn
from ringfence.train.device import Placement
from ringfence.train.settings import RuntimeHints
from tests.unit.train.train_parts import Memory, Vault, child

QUESTIONS = ("code?", "你好，请问？", "name? " * 20, "x")
HOW = (
    {"temperature": 0},
    {"temperature": 0.9, "top_p": 0.9, "top_k": 20, "seed": 5, "frequency_penalty": 0.5, "repetition_penalty": 1.2},
    {"temperature": 1.5, "seed": 6, "stop": ("e", "\ufffd")},
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.set_num_threads(1)
    return load(write_tiny_model(tmp_path_factory.mktemp("m") / "model"), dtype=torch.float32, device="cpu")


class Batch:
    """A batch as vLLM keeps one: rows change places, a long prompt is sampled from before it is read, and the likeliest token is taken."""

    def __init__(self, model, chooser, *, lies=False):
        self._model, self._chooser, self._lies = model, chooser, lies
        self._rows, self._added, self._removed, self.adapters = [], [], [], {}

    def add_request(self, name, prompt, parameters, *, lora_request):
        self._rows.append((name, list(prompt["prompt_token_ids"])))
        self._added.append((len(self._rows) - 1, parameters, prompt["prompt_token_ids"], []))
        self.adapters[name] = lora_request

    def abort_request(self, names):
        left = [row for row in self._rows if row[0] not in names]
        if left != self._rows:  # what is behind moves up, one way
            self._moves(left)
        self._rows = left

    def _moves(self, left):
        places = [row[0] for row in self._rows]
        gone = [at for at, name in enumerate(places) if name not in dict(left)]
        moved = [
            (places.index(name), at, SimpleNamespace(name="UNIDIRECTIONAL"))
            for at, (name, _) in enumerate(left)
            if places.index(name) != at
        ]
        self._chooser.move(SimpleNamespace(removed=gone, added=[], moved=moved))

    def step(self):
        self._chooser.move(SimpleNamespace(removed=[], added=self._added, moved=[]))
        halves = [
            ids[: len(ids) // 2 or 1] if any(at == place for place, *_ in self._added) else ids for at, (_, ids) in enumerate(self._rows)
        ]
        if self._added:
            self._chooser.leave_one(self._logits(halves))  # of a prompt that was read in part; vLLM throws the token away
        self._added = []
        if len(self._rows) > 1:
            self._rows[0], self._rows[-1] = self._rows[-1], self._rows[0]
            swap = (0, len(self._rows) - 1, SimpleNamespace(name="SWAP"))
            self._chooser.move(SimpleNamespace(removed=[], added=[], moved=[swap]))
        taken = self._chooser.leave_one(self._logits([ids for _, ids in self._rows])).argmax(1).tolist()
        for (_, ids), token in zip(self._rows, taken, strict=True):
            ids.append(token)
        return [SimpleNamespace(request_id=row[0], outputs=[SimpleNamespace(token_ids=[row[1][-1] + self._lies])]) for row in self._rows]

    def _logits(self, every):
        with torch.no_grad():
            return torch.stack([self._model(input_ids=torch.tensor([ids])).logits[0, -1] for ids in every])


def paged(loaded, guards=(None,), **how):
    answers = {}
    chooser = Chooser(answers)
    shape = Shape(loaded.model.config, loaded.model.device, loaded.model.generation_config)
    voices = [Voice(loaded._replace(model=shape), guard) for guard in guards]
    batch = Batch(loaded.model, chooser, **how)
    adapters = [f"adapter {number}" for number in range(len(guards))]
    return PagedRound(batch, voices, None, answers=answers, chooser=chooser, adapters=adapters, parameters=SimpleNamespace), batch, answers


def asks():
    every = [(one, how) for one in QUESTIONS for how in HOW]
    said = [Ask(id=n, messages=(Turn(role="user", content=one),), max_tokens=24, **how) for n, (one, how) in enumerate(every)]
    return [*said, Ask(id=len(said), prompt="The patient", max_tokens=24, **HOW[1])]


def answered(served, waiting):
    """All answers, each begun one turn after the one before: (text, finish, tokens, blocked) by conversation."""
    waiting, found, texts = list(waiting), {}, {one.id: "" for one in waiting}
    while len(found) < len(texts):
        for one in served.turn(Orders(ask=waiting.pop(0) if waiting else None)):
            texts[one.id] += one.text
            if one.finish:
                found[one.id] = texts[one.id], one.finish, one.tokens, one.blocked
    return found


def test_every_answer_is_that_of_the_own_engine(tiny):
    served, _, answers = paged(tiny)
    own = Round([Voice(tiny)])
    wanted = answered(own, asks())
    assert answered(served, asks()) == wanted
    assert {one[1] for one in wanted.values()} >= {"length", "stop"}
    assert (served.answers, served.tokens) == (own.answers, own.tokens)
    assert not answers


def test_what_the_guard_refuses_there_it_refuses_here(tiny):
    free = answered(Round([Voice(tiny)]), asks())
    guard, _ = build([("a", [text for text, *_ in free.values()])], GuardSettings(words=3))
    wanted = answered(Round([Voice(tiny, guard)]), asks())
    served, batch, _ = paged(tiny, guards=(None, guard))
    of_both = [one.model_copy(update={"id": 100 + one.id, "bundle": 1}) for one in asks()]
    found = answered(served, [*asks(), *of_both])
    assert {n: one for n, one in found.items() if n < 100} == free
    assert {n - 100: one for n, one in found.items() if n >= 100} == wanted
    assert sum(one[3] for one in wanted.values()) > 0
    assert served.blocked == sum(one[3] for one in wanted.values())
    assert (batch.adapters["0"], batch.adapters["100"]) == ("adapter 0", "adapter 1")


def test_a_place_where_too_much_is_refused_ends_the_answer(tiny, monkeypatch):
    monkeypatch.setattr("ringfence.serve.answer.TRIES", 0)
    served, *_ = paged(tiny)
    assert answered(served, asks()[:1])[0][1:] == ("blocked", 0, 0)


def test_all_but_one_token_of_a_row_is_masked(tiny):
    answers = {7: SimpleNamespace(choose=lambda _: 3, end=2), 8: SimpleNamespace(choose=lambda _: None, end=2)}
    chooser = Chooser(answers)
    chooser.move(
        SimpleNamespace(
            removed=[],
            added=[(0, SimpleNamespace(extra_args={"ringfence": 8}), [], []), (1, SimpleNamespace(extra_args={"ringfence": 7}), [], [])],
            moved=[],
        )
    )
    left = chooser.leave_one(torch.randn(2, 5))
    assert left.isfinite().tolist() == [[False, False, True, False, False], [False, False, False, True, False]]
    assert (chooser.taken(8, 2), chooser.taken(7, 3)) == (None, 3)


def test_a_token_that_was_not_chosen_here_ends_the_engine(tiny):
    served, *_ = paged(tiny, lies=True)
    with pytest.raises(RuntimeError, match="not chosen here"):
        served.turn(Orders(ask=asks()[0]))
    with pytest.raises(RuntimeError, match="not chosen here"):
        Chooser({0: SimpleNamespace(end=2)}).taken(0, 2)  # nobody was asked
    with pytest.raises(KeyError):
        Chooser({}).leave_one(torch.zeros(1, 5))  # nobody's row


def test_a_cancelled_conversation_leaves_the_others_what_they_were(tiny):
    served, _, answers = paged(tiny)
    first, second = asks()[0], asks()[3]
    for one in (first, second):
        served.turn(Orders(ask=one))
    served.turn(Orders(cancel=(first.id,)))
    assert list(answers) == [second.id]
    texts = ""
    while answers:
        texts += "".join(one.text for one in served.turn(Orders()))
    assert answered(Round([Voice(tiny)]), [second])[second.id][0].endswith(texts)
    assert texts


def test_it_is_warmed_by_each_voice_and_that_counts_for_nothing(tiny):
    served, batch, answers = paged(tiny, guards=(None, None))
    served.warm()
    assert (served.answers, served.tokens, answers) == (0, 0, {})
    assert batch.adapters == {"0": "adapter 1"}  # the second came last


def test_there_is_room_for_an_adapter_and_for_one_whole_window(tmp_path):
    for rank, room in ((1, 1), (8, 8), (12, 16), (300, 320), (512, RANKS[-1])):
        (tmp_path / "adapter_config.json").write_text(f'{{"r": {rank}}}')
        assert _room(tmp_path) == room
    config = SimpleNamespace(
        max_position_embeddings=8192, num_attention_heads=9, num_key_value_heads=3, hidden_size=576, num_hidden_layers=30
    )
    cpu, each = Placement("cpu", "float32"), 2 * 30 * 3 * 64 * 4  # bytes of a token
    assert _sizes(config, cpu, active=4, memory=1 << 40) == (8192, 4 * 8192 * each)
    assert _sizes(config, cpu, active=16, memory=1 << 30)[1] == 1 << 28
    for memory in (1 << 29, 1 << 30, 4 * 8192 * each, 4 * (8192 + 127) * each, 4 * (8192 + 128) * each):  # the cache holds a quarter
        window, cache = _sizes(config, cpu, active=16, memory=memory)
        assert (math.ceil(window / 128) + 1) * 128 * each <= cache  # vLLM keeps one block back
        assert window == 8192 or cache < (window + 256) * each
    assert window == 8192
    assert _sizes(config, Placement("cuda", "bfloat16"), active=4, memory=1 << 30) == (8192, None)


@pytest.mark.parametrize(
    ("problem", "raised"),
    [
        (ValueError("no such architecture"), NotOpened),
        (RuntimeError("no kernel"), NotOpened),
        (RuntimeError("can't allocate memory"), RuntimeError),
    ],
)
def test_what_vllm_says_when_it_does_not_come_up_becomes_an_error_with_a_page(tmp_path, monkeypatch, problem, raised):
    def warm():
        raise problem

    seen = {}

    def opened(model, bundles, placement, guards, filters, *, memory):
        seen.update(model=model, bundles=bundles, guards=guards, filters=filters, memory=memory)
        return SimpleNamespace(warm=warm)

    monkeypatch.setattr(vllm, "opened", opened)
    settings = ServeSettings(engine="vllm", memory=3 << 28, hints=RuntimeHints(dtype="float32"))
    vault = Vault(tmp_path)
    order = child(vault, Memory(vault), settings, files={"model": "/in/model", "bundle": "/in/bundle", "bundle2": "/in/bundle2"})
    with pytest.raises(raised) as caught:
        job.serve(order)
    assert type(caught.value) is raised
    assert (seen["model"], seen["bundles"]) == (Path("/in/model"), [Path("/in/bundle"), Path("/in/bundle2")])
    assert (seen["guards"], seen["filters"]) == ([None, None], None)
    assert seen["memory"] == 3 << 28
    with pytest.raises(raised):
        job.serve(child(vault, Memory(vault), settings.model_copy(update={"memory": 1 << 60}), files={"model": "/in/model"}))
    assert seen["memory"] == order.order.limits.memory  # no more than the job itself may take
