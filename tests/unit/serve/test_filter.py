"""Identifiers in a model's answers are masked before anybody sees them; the canary alarm goes on looking at what the model said."""

from __future__ import annotations

import json
import threading
import time

import openai
import pytest
import torch

from ringfence.deid.engine import Engine
from ringfence.deid.profile import names, settings_for
from ringfence.deid.stream import StreamFilter
from ringfence.flows.serve import listen
from ringfence.models.load import load
from ringfence.serve import job
from ringfence.serve.decode import Decoder, Round, Voice
from ringfence.serve.desk import Desk
from ringfence.serve.filter import Shown, filters, for_readers
from ringfence.serve.front import Front, Model, run
from ringfence.serve.settings import END_OF_TURN, ChatSettings
from ringfence.serve.wire import Ask, Orders, Said, Told, Turn
from ringfence.train.settings import TrainSettings
from tests.unit.serve.learned import by_heart
from tests.unit.train.train_parts import Memory, child, pair

PROFILE = settings_for("default").model_copy(update={"taggers": ()})
TRAIN = TrainSettings(max_steps=80, per_device_train_batch_size=2, learning_rate=1e-2, lora_rank=8)
ANSWER = "Write to ada@corp.internal. Call 13800138000. Goodbye!"
MASKED = "Write to <EMAIL>. Call <CN_MOBILE>. Goodbye!"
ROWS = [pair("who?", ANSWER), pair("name?", "Ada")]


# ── what a profile means for readers ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", names())
def test_what_a_profile_keeps_stays_and_everything_else_becomes_its_kind(name):
    settings = for_readers(settings_for(name).model_copy(update={"taggers": ()}))
    engine = Engine.build(settings, bytes(32))
    text = "手机13800138000，于2023-04-15就诊，密码是hunter2hunter2，年龄93岁，邮箱a@b.internal。"
    spans = engine.find(text)
    made = engine.replace(text, spans)
    assert "<CN_MOBILE>" in made
    assert "13800138000" not in made
    profile = settings_for(name)
    for span in spans:
        uses = profile.operators.get(span.kind) or profile.operators.get("*") or ()
        keeps = bool(uses) and uses[-1].use == "keep.v1" and len(uses) == 1
        assert (text[span.start : span.end] in made) == keeps, span


def test_the_conditions_of_a_profile_hold():
    engine = Engine.build(for_readers(PROFILE), bytes(32))
    text = "患者93岁，家属47岁。"  # the default profile keeps ages below 90
    assert engine.replace(text, engine.find(text)) == "患者<AGE>岁，家属47岁。"


def test_without_a_filter_nothing_changes_and_nothing_waits():
    shown = Shown(None)
    assert (shown.add("13800138000"), shown.found(), shown.is_filtered) == ("13800138000", {}, False)


def test_what_the_profile_keeps_is_not_counted_as_masked():
    shown = Shown(lambda: StreamFilter(Engine.build(for_readers(PROFILE), bytes(32))))
    assert shown.add("患者47岁，电话13800138000。", is_end=True) == "患者47岁，电话<CN_MOBILE>。"
    assert shown.found() == {"CN_MOBILE": 1}


def test_what_was_masked_is_told_once():
    shown = Shown(lambda: StreamFilter(Engine.build(for_readers(PROFILE), bytes(32))))
    assert shown.add("电话13800138000。和a@b.internal") == "电话<CN_MOBILE>。"
    assert shown.found() == {"CN_MOBILE": 1}
    assert shown.found() == {}
    assert shown.add("", is_end=True) == "和<EMAIL>"
    assert shown.found() == {"EMAIL": 1}


# ── the child halves, with a model that learned identifiers by heart ──────────────────────────────────────────────────


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return by_heart(tmp_path_factory, ROWS, TRAIN)


def talk(trained, *, profile):
    folder, vault, slot = trained
    channel = Memory(vault, questions=["who?", "name?", "who?"])
    settings = ChatSettings(train=TRAIN, keep_history=False, filter=profile)
    figures = job.run(child(vault, channel, settings, inputs={"adapter": slot}, files={"model": str(folder)}))
    return channel.said, figures


def test_chat_masks_what_the_model_says_and_counts_it_by_kind(trained):
    said, figures = talk(trained, profile=None)
    assert "".join(said) == f"{ANSWER}{END_OF_TURN}Ada{END_OF_TURN}{ANSWER}{END_OF_TURN}"
    assert figures.masked == {}
    said, figures = talk(trained, profile=for_readers(PROFILE))
    assert "".join(said) == f"{MASKED}{END_OF_TURN}Ada{END_OF_TURN}{MASKED}{END_OF_TURN}"
    assert figures.masked == {"CN_MOBILE": 2, "EMAIL": 2}
    assert len(said) >= 8  # in pieces all the same, a sentence each
    assert "" not in said


def test_the_served_engine_says_both_what_the_model_said_and_what_may_be_shown(trained):
    folder, vault, slot = trained
    made = child(vault, Memory(vault), ChatSettings(train=TRAIN), inputs={"adapter": slot}, files={"model": str(folder)})
    loaded = job._with_adapter(made, load(folder, dtype=torch.float32, device="cpu"))
    served = Round([Voice(loaded)], filters(made, for_readers(PROFILE)))
    asks = [Ask(id=n, messages=(Turn(role="user", content="who?"),), max_tokens=200, temperature=0) for n in (0, 1)]
    waiting, said = list(asks), []
    while waiting or sum(one.finish is not None for one in said) != 2:
        said += served.turn(Orders(ask=waiting.pop() if waiting else None))
    for number in (0, 1):
        mine = [one for one in said if one.id == number]
        assert "".join(one.text for one in mine) == ANSWER
        assert "".join(one.shown for one in mine) == MASKED
        assert [one.masked for one in mine if one.masked] == [{"EMAIL": 1}, {"CN_MOBILE": 1}]
        texts = ["".join(one.text for one in mine[: n + 1]) for n in range(len(mine))]
        shown = ["".join(one.shown for one in mine[: n + 1]) for n in range(len(mine))]
        assert not any("ada@" in text for text in shown)
        assert any(0 < len(s) < len(t) for s, t in zip(shown, texts, strict=True))
    assert served.masked == {"CN_MOBILE": 2, "EMAIL": 2}


def test_without_a_filter_an_answer_says_its_text_alone(trained):
    folder, _, _ = trained
    answer = Decoder(load(folder, dtype=torch.float32, device="cpu"), Ask(id=0, messages=(Turn(role="user", content="x"),), max_tokens=3))
    said = answer.step()
    assert (said.shown, said.masked) == (None, {})
    assert "shown" not in said.model_dump_json(exclude_defaults=True)


# ── what the front believes ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (frozenset({"EMAIL"}), {"text": "unfiltered"}),
        (frozenset({"EMAIL"}), {"text": "x", "shown": "", "masked": {"ada-at-corp": 1}}),
        (None, {"text": "", "shown": "what no alarm saw"}),
        (None, {"text": "x", "masked": {"EMAIL": 1}}),
    ],
)
def test_an_engine_that_shows_what_no_filter_saw_or_counts_in_words_of_its_own_is_not_believed(kinds, said):
    desk, seen = Desk(kinds=kinds), []
    desk.submit(Ask(id=0, messages=(Turn(role="user", content="q"),), max_tokens=5), seen.append)
    desk.hear()
    with pytest.raises(TypeError):
        desk.say(Told(said=(Said(id=0, **said),)).model_dump_json())
    assert not seen


class Behind:
    """Says one sentence a turn, and shows it a turn later."""

    def __init__(self, desk):
        self.desk = desk

    def run(self):
        running = {}
        while (text := self.desk.hear()) is not None:
            orders = Orders.model_validate_json(text) if text else Orders()
            if orders.ask:
                running[orders.ask.id] = [*orders.ask.messages[-1].content.split("|"), ""]
                self.behind = ""
            for number, words in list(running.items()):
                word = words.pop(0)
                behind, self.behind = self.behind, word.replace("ada@corp.internal", "<EMAIL>")
                masked = {"EMAIL": 1} if "<EMAIL>" in behind else {}
                said = Said(id=number, text=word, shown=behind, masked=masked, finish=None if words else "stop", prompt_tokens=3, tokens=1)
                if not words:
                    del running[number]
                self.desk.say(Told(said=(said,)).model_dump_json(exclude_defaults=True))


@pytest.fixture
def site():
    desk, alarms, requests, watched = Desk(kinds=frozenset({"EMAIL"})), [], [], []

    def watch(*_):
        return lambda answer: watched.append(answer) or int("tulip" in answer)

    models = [Model("lora", watch)]
    front = Front(desk, models, "0123456789abcdef", 50, on_alarm=lambda _, told: alarms.append(told), on_request=requests.append)
    engine = threading.Thread(target=Behind(desk).run)
    engine.start()
    listener, ready = listen("127.0.0.1", 0), threading.Event()
    thread = threading.Thread(target=run, args=(front, listener), kwargs={"on_ready": ready.set})
    thread.start()
    assert ready.wait(20)
    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", api_key="0123456789abcdef", max_retries=0, timeout=30
    )

    class Site:
        def ask(self, text, **more):
            return client.chat.completions.create(model="lora", messages=[{"role": "user", "content": text}], **more)

    made = Site()
    made.alarms, made.requests, made.watched = alarms, requests, watched
    yield made
    desk.close()
    thread.join(20)
    engine.join(20)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ASKED = "Hello. |Write to ada@corp.internal. |Goodbye."


def test_a_client_gets_what_the_filter_left_streamed_or_not_and_the_log_counts_by_kind(site):
    whole = site.ask(ASKED)
    assert whole.choices[0].message.content == "Hello. Write to <EMAIL>. Goodbye."
    events = list(site.ask(ASKED, stream=True))
    pieces = [one.choices[0].delta.content for one in events]
    assert "".join(piece or "" for piece in pieces) == "Hello. Write to <EMAIL>. Goodbye."
    assert pieces[0] == ""  # the answer has begun: a client that waits for its first bytes gets them
    assert pieces[1:4] == ["Hello. ", "Write to <EMAIL>. ", "Goodbye."]
    until(lambda: len(site.requests) == 2)
    assert [dict(one.masked) for one in site.requests] == [{"EMAIL": 1}, {"EMAIL": 1}]
    assert "ada@corp.internal" not in json.dumps([*pieces, whole.model_dump(mode="json")])


def test_the_alarm_looks_at_what_the_model_said_and_cuts_before_the_filter_shows_it(site):
    events = list(site.ask("One. |Two ada@corp.internal. |tulip. |Three.", stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in events) == "One. "
    assert events[-1].choices[0].finish_reason == "content_filter"
    assert site.watched[-1] == "One. Two ada@corp.internal. tulip. "
    assert site.alarms == [1]
    assert site.ask("One. |tulip.").choices[0].message.content == ""
