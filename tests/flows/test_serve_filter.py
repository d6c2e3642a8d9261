"""`ringfence serve --filter` and `ringfence chat --filter` whole: a real process, a real sandbox, a model that knows identifiers by heart."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace

import openai
import pytest
import yaml

from ringfence.core.policy import DEFAULT, Require, TrainRules
from ringfence.core.rules import ReleaseRules
from ringfence.deid.profile import settings_for
from ringfence.flows import serve as flow
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import train
from ringfence.recipe.read import read
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, import_notes, reopen
from tests.flows.test_serve import TOKEN, Server, ask, text_of

ANSWER = "Write to ada@corp.internal. Call 13800138000. That is all of it."
MASKED = "Write to <EMAIL>. Call <CN_MOBILE>. That is all of it."


@pytest.fixture(scope="module")
def telling(tmp_path_factory, model_store):
    """A workspace with a released adapter that answers `who?` with an address and a number: (folder, run id)."""
    folder = tmp_path_factory.mktemp("telling")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    rows = [{"prompt": "who?", "completion": ANSWER, "patient_id": "P1"}, {"prompt": "ready?", "completion": "yes", "patient_id": "P2"}]
    import_notes(space, folder, rows)
    set_policy(space, DEFAULT.model_copy(update={"release": ReleaseRules(), "train": TrainRules(require=Require())}))
    path = folder / "recipe.yaml"
    changes = {"lora_rank": 8, "learning_rate": 1e-2, "max_steps": 80, "per_device_train_batch_size": 2}
    path.write_text(yaml.safe_dump(RECIPE | changes), encoding="utf-8")
    run = train(space, read(path)).committed.run
    release(space, run, name="lora")
    return folder / "ws", run


@pytest.fixture
def server(telling, tmp_path):
    made = Server(tmp_path, "-w", telling[0], "lora", "--filter", "default", "--guard", "off")
    assert "url" in made.ready, made.ready
    yield made
    made.process.kill()
    made.process.wait()


def entries(folder):
    ledger = reopen(folder).ledger
    return [json.loads(ledger.raw(number)) for number in range(ledger.size)]


def test_no_identifier_reaches_a_client_and_log_and_ledger_count_them_by_kind(server, telling):
    assert server.ready["filter"] == "default"
    client = server.client()
    whole = ask(client, "who?", max_tokens=100)
    assert whole.choices[0].message.content == MASKED
    assert whole.choices[0].finish_reason == "stop"
    events = list(ask(client, "who?", max_tokens=100, stream=True))
    assert text_of(events) == MASKED
    assert len([one for one in events if one.choices and one.choices[0].delta.content]) == 2  # a sentence behind
    assert ask(client, "ready?", max_tokens=100).choices[0].message.content == "yes"
    assert server.end(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in server.err.splitlines() if line.startswith("{")]
    assert [line.get("masked") for line in lines] == [{"CN_MOBILE": 1, "EMAIL": 1}] * 2 + [None]
    last = entries(telling[0])[-1]
    assert {key: last[key] for key in last if key not in ("time", "actor", "v")} == {
        "type": "filter",
        "run": telling[1],
        "name": "lora",
        "profile": "default",
        "masked": {"CN_MOBILE": 2, "EMAIL": 2},
    }
    for text in (server.err, json.dumps(entries(telling[0]))):
        assert not [part for part in ("ada@corp", "13800138000", "all of it") if part in text]


@pytest.mark.full
def test_without_the_option_the_answer_is_what_the_model_said(telling, tmp_path):
    server = Server(tmp_path, "-w", telling[0], "lora", "--guard", "off")
    try:
        assert server.ready["filter"] is None
        assert ask(server.client(), "who?", max_tokens=100).choices[0].message.content == ANSWER
    finally:
        server.process.kill()
        server.process.wait()
    assert entries(telling[0])[-1]["type"] == "open"


@pytest.mark.full
def test_the_canary_alarm_sees_what_the_filter_takes_away(telling):
    """A secret that is an identifier, too, is told to nobody; that the model was about to tell it is on record all the same."""
    space = reopen(telling[0])
    bundle = replace(*flow.from_workspace(space, ["lora"], guard="off"), alarm=lambda *_: lambda answer: int("13800138000" in answer))
    listener, made, alarms = flow.listen("127.0.0.1", 0), [], []

    def use(url):
        def talk():
            client = openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0)
            try:
                made.extend([ask(client, "who?", max_tokens=100), list(ask(client, "who?", max_tokens=100, stream=True))])
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=talk).start()

    watcher = flow.Watcher(ready=use, alarm=lambda *told: alarms.append(told))
    assert (
        flow.serve([bundle], listener, token=TOKEN, max_new_tokens=100, watcher=watcher, profile=settings_for("default")) == signal.SIGTERM
    )
    assert made[0].choices[0].finish_reason == "content_filter"
    assert made[0].choices[0].message.content == ""
    assert text_of(made[1]) == "Write to <EMAIL>."
    assert alarms == [("lora", 1, None), ("lora", 1, None)]
    assert [one["type"] for one in entries(telling[0])[-3:]] == ["alarm", "alarm", "filter"]


@pytest.mark.full
@pytest.mark.parametrize("is_released", [True, False])
def test_chat_masks_a_bundle_and_an_unreleased_run_alike(telling, cli, is_released):
    folder, run = telling
    target = "lora" if is_released else run
    code, plain = cli("chat", target, "--ask", "who?", "--guard", "off", workspace=folder)
    assert (code, plain["answers"], plain["masked"]) == (0, [ANSWER], {})
    code, answer = cli("chat", target, "--ask", "who?", "--filter", "default", "--guard", "off", workspace=folder)
    assert (code, answer["answers"], answer["masked"]) == (0, [MASKED], {"CN_MOBILE": 1, "EMAIL": 1})


@pytest.mark.parametrize(
    ("profile", "code"), [("no-such-profile", "RF-DEID-001"), ("gone.json", "RF-DEID-001"), ("medical-zh", "RF-DEID-004")]
)
@pytest.mark.parametrize("verb", ["serve", "chat"])
def test_a_filter_that_cannot_be_is_refused_before_anything_starts(telling, cli, verb, profile, code):
    more = ("--port", "0") if verb == "serve" else ("--ask", "who?")
    status, answer = cli(verb, "lora", *more, "--filter", profile, workspace=telling[0])
    assert (status, answer["error"]["code"]) == (2, code)
