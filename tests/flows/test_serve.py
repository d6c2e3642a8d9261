"""`ringfence serve` whole: the command in a process of its own, a real sandbox, real HTTP, the stock OpenAI client."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest

from ringfence.core.errors import Busy, LedgerUnavailable
from ringfence.flows import serve as flow
from ringfence.serve.desk import Desk
from ringfence.vault.files import write_files
from tests.flows.conftest import PASSPHRASE, reopen
from tests.unit.train.train_parts import Vault

MARK = "MARKED-quince-7731"
TOKEN = "a-token-of-our-own-0123456789"


class Server:
    """A running `ringfence serve`."""

    def __init__(self, folder, *arguments):
        folder.mkdir(exist_ok=True)
        (folder / "word").write_text(PASSPHRASE)
        self._said, self._err = folder / "out.txt", folder / "err.txt"
        command = [sys.executable, "-m", "ringfence", "--json", "--passphrase-file", folder / "word", "serve", "--port", "0", *arguments]
        with self._said.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err, cwd=folder)
        until(lambda: self._said.stat().st_size or self.process.poll() is not None, 120)
        self.ready = json.loads(self._said.read_text() or "{}")

    @property
    def err(self):
        return self._err.read_text()

    def client(self, token=None, **more):
        token = token or self.err.partition("shown once): ")[2].splitlines()[0]
        return openai.OpenAI(base_url=self.ready["url"], api_key=token, timeout=60, **{"max_retries": 0, **more})

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(30)

    def engine(self):
        """The processes below the server, the innermost first."""
        found, waiting = [], [self.process.pid]
        while waiting:
            below = Path(f"/proc/{waiting[0]}/task").glob("*/children")
            new = [int(one) for path in below for one in path.read_text().split()]
            found += new
            waiting = waiting[1:] + new
        return found[::-1]


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(client, text="hello", **more):
    settings = {"temperature": 0, "max_tokens": 12} | more
    return client.chat.completions.create(model="lora", messages=[{"role": "user", "content": text}], **settings)


def text_of(events):
    return "".join(one.choices[0].delta.content or "" for one in events if one.choices)


@pytest.fixture(scope="module")
def served(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(finished[0], folder / "ws")
    server = Server(folder, "-w", folder / "ws", "lora", "--max-new-tokens", "400")
    assert "url" in server.ready, server.ready
    server.space = folder / "ws"
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def elsewhere(finished, tmp_path, monkeypatch):
    """A folder with the bundle, its owner's public keys and a token, outside any workspace."""
    space, _, bundle = finished
    shutil.copytree(bundle, tmp_path / "lora")
    (tmp_path / "keys.json").write_bytes(reopen(space).public.to_bytes())
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def from_elsewhere(elsewhere):
    """A server of that bundle."""
    arguments = (elsewhere / "lora", "--keys", elsewhere / "keys.json", "--token-file", elsewhere / "token")
    server = Server(elsewhere / "run", *arguments)
    yield server
    server.process.kill()
    server.process.wait()


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_ready_line_says_where_and_what_that_there_is_no_alarm_and_a_guard(served):
    models = [{"name": "lora", "alarm": False, "guard": True}]
    assert served.ready == {"url": served.ready["url"], "engine": "ringfence", "filter": None, "models": models}
    assert served.ready["url"].startswith("http://127.0.0.1:")
    assert "no canary alarm" in served.err


def test_a_stream_says_what_a_whole_answer_says(served):
    client = served.client()
    whole = ask(client)
    assert whole.choices[0].message.content == text_of(ask(client, stream=True))
    assert whole.usage.completion_tokens == 12
    assert whole.choices[0].finish_reason == "length"
    assert (
        ask(client, temperature=1.2, seed=4).choices[0].message.content == ask(client, temperature=1.2, seed=4).choices[0].message.content
    )


def test_two_clients_at_once_both_make_progress(served):
    times = {}
    start = threading.Barrier(2)

    client = served.client()

    def one(number):
        start.wait()
        times[number] = [time.monotonic() for _ in ask(client, f"{number}", max_tokens=400, stream=True)]

    threads = [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(seen) > 20 for seen in times.values())
    assert times[1][10] < times[2][-1]
    assert times[2][10] < times[1][-1]


def test_two_hundred_requests_at_once_all_come_back(served):
    came, client = [], served.client()

    def one():
        try:
            came.append(ask(client, max_tokens=2).choices[0].finish_reason)
        except openai.RateLimitError as error:
            came.append(error.code)

    threads = [threading.Thread(target=one) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(came) == 200
    assert set(came) <= {"length", "stop", "RF-SERVE-005"}
    assert (
        came.count("length") + came.count("stop") >= 60
    )  # 4 at work and 64 waiting, less what an earlier test's client has just left behind


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_refusals_come_with_a_code(served):
    for code, call in {
        "RF-SERVE-001": lambda: ask(served.client("wrong-" + TOKEN)),
        "RF-SERVE-002": lambda: ask(served.client(), MARK * 600_000),
        "RF-SERVE-003": lambda: served.client().chat.completions.create(model=MARK, messages=[{"role": "user", "content": "x"}]),
        "RF-SERVE-004": lambda: ask(served.client(), MARK, n=2),
    }.items():
        with pytest.raises(openai.APIStatusError) as caught:
            call()
        assert caught.value.code == code
        assert MARK not in caught.value.message


def test_an_engine_killed_in_the_middle_of_an_answer_gives_a_clean_error_and_is_replaced(served):
    before = served.engine()
    events = iter(ask(served.client(), MARK, max_tokens=400, stream=True))
    next(events)
    os.kill(before[0], signal.SIGKILL)
    with pytest.raises(openai.APIError) as caught:
        list(events)
    assert caught.value.code == "RF-SERVE-006"
    assert ask(served.client(), "again").usage.completion_tokens == 12
    assert not set(before) & set(served.engine())
    assert "a new engine starts" in served.err


def test_no_word_of_a_conversation_is_anywhere(served):
    answer = ask(served.client(), f"{MARK} {MARK}", max_tokens=40).choices[0].message.content
    for client, model in ((served.client(f"no-token-{MARK}"), "lora"), (served.client(), MARK)):
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": MARK}])
    lines = [json.loads(line) for line in served.err.splitlines() if line.startswith("{")]
    told = ("status", "tokens", "seconds")
    assert {tuple(line) for line in lines} == {("time", *told), ("time", "model", *told)}
    assert {line.get("model") for line in lines} == {None, "lora"}
    assert {line["status"] for line in lines} >= {200, 401, 404}
    assert "Traceback" not in served.err
    kept = [path.read_bytes() for path in [*served.space.parent.rglob("*")] if path.is_file()]
    assert not [data for data in kept if MARK.encode() in data or (len(answer) > 8 and answer.encode() in data)]


def test_ctrl_c_ends_server_engine_and_port(served):
    below = served.engine()
    port = int(served.ready["url"].split(":")[2].partition("/")[0])
    assert served.end(signal.SIGINT) == 130
    assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        pass
    ledger = reopen(served.space).ledger
    entries = [json.loads(ledger.raw(number)) for number in range(ledger.size)]
    assert '"serve"' in json.dumps(entries[-1])


def test_a_bundle_from_elsewhere_is_served_and_sigterm_ends_a_running_answer_cleanly(from_elsewhere):
    server = from_elsewhere
    assert "token" not in server.err
    events = iter(ask(server.client(TOKEN), max_tokens=400, stream=True))
    next(events)
    server.process.send_signal(signal.SIGTERM)
    with pytest.raises(openai.APIError) as caught:
        list(events)
    assert caught.value.code == "RF-SERVE-006"
    assert server.process.wait(30) == 0


@pytest.mark.full
def test_a_bundle_altered_under_a_running_server_is_not_opened_again(elsewhere, from_elsewhere):
    server = from_elsewhere
    path = elsewhere / "lora" / "adapter_config.json"
    path.write_bytes(path.read_bytes() + b" ")
    os.kill(server.engine()[0], signal.SIGKILL)
    assert server.process.wait(30) == 12


def test_an_engine_that_does_not_end_by_itself_is_ended():
    desk = Desk()
    patience = flow._Patience(desk)
    assert [patience() for _ in range(50)] == [False] * 50
    desk.close()
    assert [patience() for _ in range(12)] == [False] * 12
    with pytest.raises(TimeoutError):
        patience()


# ── what is not served ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_tampered_bundle_is_refused(elsewhere, cli):
    path = elsewhere / "lora" / "adapter_config.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert cli("serve", "lora", "--port", "0", "--keys", "keys.json")[0] == 12


def test_a_run_that_was_not_released_is_refused_and_no_opening_recorded(finished, cli):
    folder, run_id, _ = finished
    before = reopen(folder).ledger.size
    code, answer = cli("serve", run_id, "--port", "0", workspace=folder)
    assert (code, answer["error"]["code"]) == (11, "RF-SERVE-008")
    assert "ringfence chat" in answer["error"]["remedy"]
    assert reopen(folder).ledger.size == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--host", "0.0.0.0"), "RF-SERVE-007"),
        (("--host", "::"), "RF-SERVE-007"),
        (("--host", "example.org"), "RF-SERVE-007"),
        (("--token-file", "short"), "RF-CORE-004"),
        (("--token-file", "none"), "RF-CORE-004"),
        (("--keys", "none"), "RF-CORE-004"),
    ],
)
def test_a_call_that_cannot_work_is_refused(elsewhere, cli, arguments, code):
    (elsewhere / "short").write_text("short")
    status, answer = cli("serve", "lora", "--port", "0", "--keys", "keys.json", *arguments)
    assert (status, answer["error"]["code"]) == (2, code)


def test_a_name_that_is_nothing_and_a_port_that_is_taken_are_refused(finished, cli):
    code, answer = cli("serve", "nothing", "--port", "0", workspace=finished[0])
    assert (code, answer["error"]["code"]) == (2, "RF-RELEASE-003")
    with flow.listen("localhost", 0) as taken:
        code, answer = cli("serve", "lora", "--port", taken.getsockname()[1], workspace=finished[0])
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")


def test_without_the_libraries_of_the_front_it_says_how_to_get_them(finished, cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "ringfence.serve.front", None)
    code, answer = cli("serve", "lora", "--port", "0", workspace=finished[0])
    assert (code, answer["error"]["code"]) == (20, "RF-SERVE-009")


# ── the canary alarm ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alarm_cuts_the_answer_and_is_on_record_without_its_text(copy):
    folder, _, _ = copy
    space = reopen(folder)
    found, seen = alarmed(space)
    assert [one.choices[0].finish_reason for one in seen.made] == ["content_filter", "length"]
    assert seen.made[0].choices[0].message.content == ""
    assert seen.made[1].usage.completion_tokens == 9
    assert seen.alarms == [("lora", 2, None, "alarm")]  # it was on record when they were told
    entry = json.loads(reopen(folder).ledger.raw(space.ledger.size - 1))
    assert {key: entry[key] for key in entry if key not in ("time", "actor", "v")} == {
        "type": "alarm",
        "run": found.manifest.run,
        "name": "lora",
        "count": 2,
    }


@pytest.mark.parametrize("error", [Busy(what_held="the lock"), pytest.param(LedgerUnavailable(), marks=pytest.mark.full)])
def test_an_alarm_that_cannot_be_recorded_cuts_the_answer_all_the_same_and_says_so(copy, monkeypatch, error):
    def refuse(*_):
        raise error

    space = reopen(copy[0])
    last = space.ledger.size  # the opening
    monkeypatch.setattr(flow.Bundle, "record", refuse)
    _, seen = alarmed(space)
    assert [one.choices[0].finish_reason for one in seen.made] == ["content_filter", "length"]
    assert seen.made[0].choices[0].message.content == ""
    assert seen.alarms == [("lora", 2, error, "open")]
    assert space.ledger.size == last + 1


def alarmed(space):
    """Serve a bundle whose first answer tells two canaries; return it and what was seen: of an alarm also the type of the ledger's last entry."""
    (found,) = flow.from_workspace(space, ["lora"], guard="off")
    bundle = replace(found, alarm=lambda asked, _: lambda _: 2 * (MARK in asked))
    listener, seen = flow.listen("127.0.0.1", 0), SimpleNamespace(alarms=[], made=[])

    def use(url):
        def talk():
            client = openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0)
            try:
                seen.made += [ask(client, MARK), ask(client, "hello")]
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=talk).start()

    def alarm(name, count, error):
        seen.alarms.append((name, count, error, json.loads(space.ledger.raw(space.ledger.size - 1))["type"]))

    came = flow.serve([bundle], listener, token=TOKEN, max_new_tokens=9, watcher=flow.Watcher(ready=use, alarm=alarm))
    assert came == signal.SIGTERM
    return found, seen


def test_the_filter_of_the_newest_audit_of_the_same_adapter_is_taken(tmp_path, monkeypatch):
    class CanaryFilter:
        def __init__(self, data):
            self.data = data

        @classmethod
        def from_bytes(cls, data):
            return cls(data)

        def watch(self, _):
            return lambda _: len(self.data)

    monkeypatch.setitem(sys.modules, "ringfence.audit.filter", SimpleNamespace(CanaryFilter=CanaryFilter, FILE="filter"))
    vault, things, runs = Vault(tmp_path), {}, {}
    for index, (adapter, data) in enumerate([("a", b"x"), ("a", b"xx"), ("b", b"xxx"), ("a", None)]):
        made = []
        if data is not None:
            slot = vault.output("figures")
            write_files(slot, vault.keys[slot.slot], {"filter": data})
            made = [SimpleNamespace(role="filter", digest=slot.slot)]
            things[slot.slot] = SimpleNamespace(slot=vault.as_input(slot))
        runs[str(index)] = SimpleNamespace(index=index, intent=SimpleNamespace(arrow="audit", inputs={"adapter": adapter}), made=made)
    space = SimpleNamespace(
        state=SimpleNamespace(runs=runs, live=lambda: things),
        keys=SimpleNamespace(data_key=lambda slot: vault.keys[slot]),
        input=lambda thing: SimpleNamespace(slot=thing.slot, folder=Path(thing.slot.path)),
    )
    assert flow._filter(space, "a")("")("") == 2
    assert flow._filter(space, "b")("")("") == 3
    assert flow._filter(space, "c") is None
    things.clear()
    assert flow._filter(space, "a") is None
