"""The front over real HTTP, with an engine that says what the test wants."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading
import time

import openai
import pytest

from ringfence.core.errors import JobDied, RequestInvalid
from ringfence.flows.serve import listen
from ringfence.serve.desk import Desk
from ringfence.serve.front import BODY_LIMIT, Front, Model, _Door, run
from ringfence.serve.protocol import ChatRequest
from ringfence.serve.supervisor import Supervisor
from ringfence.serve.wire import Ask, Orders, Said, Told

TOKEN, OWN = "0123456789abcdef-token", "fedcba9876543210-token"
MARK = "MARKED-PROMPT"
CANARY = "tulip seven"


class Engine:
    """Answers with the last message, a word each turn, side by side; "DIE" kills it, "UNFIT" fits no template, "WAIT" waits for `go`, "GUARDED" ends it by the replay guard."""

    def __init__(self, desk):
        self.desk, self.go, self.cancelled, self.asked = desk, threading.Event(), [], []

    def run(self):
        running = {}
        while (text := self.desk.hear()) is not None:
            orders = Orders.model_validate_json(text) if text else Orders()
            self.cancelled += orders.cancel
            for number in orders.cancel:
                running.pop(number, None)
            if orders.ask:
                self.asked.append(orders.ask)
                running[orders.ask.id] = [f"{word} " for word in orders.ask.asked[-1].split()]
            for number, words in list(running.items()):
                self._turn(number, words, running)

    def _turn(self, number, words, running):
        word = words[0].strip()
        if word == "WAIT" and not self.go.wait(0.02):
            return
        if word == "DIE":
            raise JobDied(job="serve.v1", status=137, at="-")
        words.pop(0)
        finish = {"UNFIT": "unfit", "GUARDED": "blocked"}.get(word) or (None if words else "stop")
        said = Said(id=number, text=f"{word} ", finish=finish, prompt_tokens=3, tokens=1, blocked=7 * (word == "GUARDED"))
        if finish:
            del running[number]
        self.desk.say(Told(said=(said,)).model_dump_json())


@pytest.fixture(scope="module")
def site():
    """A front with everything that the tests look at: engine, alarms, requests and log records."""
    desk = Desk(active=4, waiting=64, guarded=frozenset({0}))
    engine, alarms, requests = Engine(desk), [], []
    supervisor = Supervisor(desk, engine.run, on_lost=lambda *_: None).start()

    def watch(conversation, said):
        def told(answer):
            if "BROKEN-FILTER" in conversation:
                raise ValueError(conversation)
            return int(CANARY in said + answer and CANARY not in conversation)

        return told

    models = [Model("lora", watch), Model("ward"), Model("law", watch, token=OWN)]
    front = Front(desk, models, TOKEN, 50, on_alarm=lambda *told: alarms.append(told), on_request=requests.append)
    listener = listen("127.0.0.1", 0)
    ready = threading.Event()
    thread = threading.Thread(target=run, args=(front, listener), kwargs={"on_ready": ready.set})
    thread.start()
    assert ready.wait(20)

    class Site:
        port = listener.getsockname()[1]

    site = Site()
    site.engine, site.alarms, site.requests, site.desk = engine, alarms, requests, desk
    site.client = openai.OpenAI(base_url=f"http://127.0.0.1:{site.port}/v1", api_key=TOKEN, max_retries=0, timeout=30)
    yield site
    desk.close()
    thread.join(20)
    supervisor.join(20)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", site.port), 1):
        pass


def chat(site, text, **more):
    return site.client.chat.completions.create(**{"model": "lora"} | more, messages=[{"role": "user", "content": text}])


def raw(site, method, path, body=b"", **headers):
    """Return (status, headers, body) of one request, as plain as it can be made."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_answer_and_the_models(site):
    made = chat(site, "one two 三")
    assert made.choices[0].message.content == "one two 三 "
    assert made.choices[0].finish_reason == "stop"
    assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (3, 1, 4)
    assert [one.id for one in site.client.models.list()] == ["lora", "ward"]
    assert site.client.models.retrieve("lora").id == "lora"


def test_a_stream_comes_in_pieces_and_ends_with_the_usage(site):
    events = list(chat(site, "a b c", stream=True, stream_options={"include_usage": True}))
    assert [one.choices[0].delta.content for one in events[:-1]] == ["a ", "b ", "c "]
    assert events[0].choices[0].delta.role == "assistant"
    assert events[-2].choices[0].finish_reason == "stop"
    assert events[-1].usage.total_tokens == 4


def test_the_request_reaches_the_engine_as_it_was_meant(site):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "par"}, {"type": "text", "text": "ts"}]},
    ]
    site.client.chat.completions.create(
        model="lora", messages=messages, max_completion_tokens=7, temperature=0, top_p=0.5, stop="x", seed=-1, user="somebody"
    )
    got = site.engine.asked[-1]
    assert [(turn.role, turn.content) for turn in got.messages] == [("system", "Be brief."), ("user", "parts")]
    assert (got.max_tokens, got.temperature, got.top_p, got.stop, got.seed) == (7, 0, 0.5, ("x",), (1 << 63) - 1)
    assert (got.top_k, got.repetition_penalty, got.frequency_penalty, got.presence_penalty) == (0, 1, 0, 0)
    chat(site, "x", max_tokens=4_000, frequency_penalty=0.5, presence_penalty=-1, extra_body={"top_k": 40, "repetition_penalty": 1.3})
    got = site.engine.asked[-1]
    assert (got.top_k, got.repetition_penalty, got.frequency_penalty, got.presence_penalty) == (40, 1.3, 0.5, -1)
    chat(site, "x", max_tokens=4_000, extra_body={"top_k": -1})
    assert site.engine.asked[-1].top_k == 0
    chat(site, "x", max_tokens=4_000)
    other = site.engine.asked[-1]
    assert (other.max_tokens, other.temperature, other.top_p, other.stop) == (50, 1, 1, ())
    chat(site, "x")
    assert other.seed != site.engine.asked[-1].seed


def test_two_clients_are_answered_side_by_side(site):
    first = iter(chat(site, "a WAIT b", stream=True))
    assert next(first).choices[0].delta.content == "a "
    assert chat(site, "quick").choices[0].message.content == "quick "
    site.engine.go.set()
    assert "".join(one.choices[0].delta.content or "" for one in first) == "WAIT b "
    site.engine.go.clear()


# ── several bundles ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_reaches_the_bundle_that_it_names_and_the_log_says_which(site):
    for number, name in enumerate(("lora", "ward")):
        made = chat(site, "a b", model=name)
        assert (made.model, site.engine.asked[-1].bundle) == (name, number)
        assert complete(site, "a b", model=name).model == name
        assert site.engine.asked[-1].bundle == number
        until(lambda name=name: [one.model for one in site.requests[-2:]] == [name, name])


def test_an_alarm_is_that_of_the_bundle_that_was_asked(site):
    site.alarms.clear()
    made = {name: chat(site, "well tulip\nseven more", model=name).choices[0] for name in ("ward", "lora")}
    assert {name: one.finish_reason for name, one in made.items()} == {"ward": "stop", "lora": "content_filter"}
    assert made["lora"].message.content == ""
    assert site.alarms == [("lora", 1)]


def test_a_token_of_its_own_opens_that_bundle_and_nothing_else(site):
    own = site.client.with_options(api_key=OWN)
    assert [one.id for one in own.models.list()] == ["law"]
    assert own.chat.completions.create(model="law", messages=[{"role": "user", "content": "x"}]).model == "law"
    assert site.engine.asked[-1].bundle == 2
    for client, name, told in ((own, "lora", "law"), (site.client, "law", "lora, ward")):
        for call in (lambda: client.models.retrieve(name), lambda: client.completions.create(model=name, prompt="x")):  # noqa: B023  called at once
            with pytest.raises(openai.NotFoundError) as caught:
                call()
            assert caught.value.code == "RF-SERVE-003"
            assert f"ask for {told}," in caught.value.message
    with pytest.raises(openai.AuthenticationError):
        site.client.with_options(api_key=f"{TOKEN}{OWN}").models.list()


def test_without_a_token_nothing_is_opened():
    assert _Door(None, [None, OWN], print)._opened_by({"headers": [(b"authorization", b"Bearer ")]}) == []
    assert _Door(None, [None, OWN], print)._opened_by({"headers": [(b"authorization", f"Bearer {OWN}".encode())]}) == [1]
    assert _Door(None, [None, OWN], print)._opened_by({"headers": [(b"authorization", f"Basic {OWN}".encode())]}) == []


# ── texts that go on ──────────────────────────────────────────────────────────────────────────────────────────────────


def complete(site, prompt, **more):
    return site.client.completions.create(**{"model": "lora"} | more, prompt=prompt)


def test_a_text_goes_on_whole_and_in_pieces(site):
    for prompt in ("one two 三", ["one two 三"]):
        made = complete(site, prompt)
        assert (made.object, made.choices[0].text, made.choices[0].finish_reason) == ("text_completion", "one two 三 ", "stop")
        assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (3, 1, 4)
    events = list(complete(site, "a b c", stream=True, stream_options={"include_usage": True}))
    assert [one.choices[0].text for one in events[:-1]] == ["a ", "b ", "c "]
    assert {one.object for one in events} == {"text_completion"}
    assert events[-2].choices[0].finish_reason == "stop"
    assert events[-1].usage.total_tokens == 4
    assert events[0].id.startswith("cmpl-")


def test_the_text_reaches_the_engine_without_a_conversation(site):
    complete(site, "x", temperature=0.2, top_p=0.5, seed=7, stop=["a", "b"], user="somebody", presence_penalty=1)
    got = site.engine.asked[-1]
    assert (got.messages, got.prompt, got.max_tokens) == ((), "x", 16)
    assert (got.temperature, got.top_p, got.seed, got.stop, got.presence_penalty) == (0.2, 0.5, 7, ("a", "b"), 1)
    complete(site, "x", max_tokens=40)
    assert site.engine.asked[-1].max_tokens == 40
    complete(site, "x", max_tokens=4_000)
    assert site.engine.asked[-1].max_tokens == 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", ""),
        ("prompt", []),
        ("prompt", [MARK, MARK]),
        ("prompt", [1, 2]),
        ("n", 2),
        ("best_of", 2),
        ("logprobs", 0),
        ("echo", True),
        ("suffix", MARK),
        ("prompt_logprobs", 1),
        ("truncate_prompt_tokens", 4),
        ("logit_bias", {"5": 1}),
        ("top_k", -2),
        ("repetition_penalty", 0),
        ("frequency_penalty", 3),
    ],
)
def test_what_is_not_offered_of_texts_is_refused_by_name(site, name, value):
    body = {"model": "lora", "prompt": "x", name: value}
    got, _, answer = raw(site, "POST", "/v1/completions", json.dumps(body).encode())
    error = json.loads(answer)["error"]
    assert (got, error["code"], error["param"].split(".")[0]) == (400, "RF-SERVE-004", name)
    assert MARK not in answer.decode()
    neutral = {"echo": False, "suffix": "", "logprobs": None, "n": 1, "best_of": 1}
    assert raw(site, "POST", "/v1/completions", json.dumps({"model": "lora", "prompt": "x", **neutral}).encode())[0] == 200


# ── the replay guard ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_that_the_guard_ends_keeps_what_was_said_and_is_counted(site):
    before = len(site.requests)
    for made in (chat(site, "so far GUARDED never"), complete(site, "so far GUARDED never")):
        text = made.choices[0].message.content if hasattr(made.choices[0], "message") else made.choices[0].text
        assert (text, made.choices[0].finish_reason) == ("so far GUARDED ", "content_filter")
    events = list(chat(site, "so GUARDED", stream=True))
    assert (events[-1].choices[0].delta.content, events[-1].choices[0].finish_reason) == ("GUARDED ", "content_filter")
    assert chat(site, "plain").choices[0].finish_reason == "stop"
    # A request of the test before may be counted only now: these four are the last ones.
    until(lambda: len(site.requests) >= before + 4 and [one.blocked for one in site.requests[-4:]] == [7, 7, 7, 0])


@pytest.mark.parametrize("said", [{"text": "x", "blocked": 1}, {"finish": "blocked"}])
def test_an_engine_without_a_guard_is_not_believed_that_it_has_one(said):
    seen = []
    for bundle, guarded in ((0, set()), (1, {0, 2}), (1, {1})):
        desk = Desk(guarded=frozenset(guarded))
        desk.submit(Ask(id=0, bundle=bundle, prompt="q", max_tokens=5), seen.append)
        desk.hear()
        told = Told(said=(Said(id=0, **said),)).model_dump_json()
        if bundle in guarded:
            desk.say(told)
        else:
            with pytest.raises(TypeError):
                desk.say(told)
            assert not seen
    assert len(seen) == 1


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "not JSON": (f'{{"model": "{MARK}'.encode(), 400, "RF-SERVE-004"),
    "not UTF-8": (b'{"model": "\xff\xfe"}', 400, "RF-SERVE-004"),
    "half a surrogate": (b'{"model": "lora", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "RF-SERVE-004"),
    "a list": (b"[]", 400, "RF-SERVE-004"),
    "no messages": (b'{"model": "lora", "messages": []}', 400, "RF-SERVE-004"),
    "a strange role": (f'{{"model": "lora", "messages": [{{"role": "{MARK}", "content": "{MARK}"}}]}}'.encode(), 400, "RF-SERVE-004"),
    "an image": (
        b'{"model": "lora", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "MARKED-PROMPT"}}]}]}',
        400,
        "RF-SERVE-004",
    ),
    "tools": (
        b'{"model": "lora", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": "MARKED-PROMPT"}]}',
        400,
        "RF-SERVE-004",
    ),
    "too hot": (b'{"model": "lora", "messages": [{"role": "user", "content": "x"}], "temperature": 9}', 400, "RF-SERVE-004"),
    "not a number": (b'{"model": "lora", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}', 400, "RF-SERVE-004"),
    "unfit": (b'{"model": "lora", "messages": [{"role": "user", "content": "UNFIT"}]}', 400, "RF-SERVE-004"),
    "unfit stream": (b'{"model": "lora", "stream": true, "messages": [{"role": "user", "content": "UNFIT"}]}', 400, "RF-SERVE-004"),
    "another model": (b'{"model": "MARKED-PROMPT", "messages": [{"role": "user", "content": "x"}]}', 404, "RF-SERVE-003"),
    "too long": (b" " * (BODY_LIMIT + 1), 413, "RF-SERVE-002"),
    "10 MB": (b" " * 10_000_000, 413, "RF-SERVE-002"),
    "a filter that fails": (b'{"model": "lora", "messages": [{"role": "user", "content": "BROKEN-FILTER"}]}', 500, "RF-CORE-000"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_the_shape_of_openai_and_a_code_and_quotes_nothing(site, case, caplog, capfd):
    body, status, code = REFUSED[case]
    with caplog.at_level(logging.DEBUG):
        got, _, answer = raw(site, "POST", "/v1/chat/completions", body)
    document = json.loads(answer)
    assert (got, document["error"]["code"]) == (status, code)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"message", "type", "param", "code"}
    until(lambda: site.requests and site.requests[-1].status == status)
    out, err = capfd.readouterr()
    assert MARK not in answer.decode() + caplog.text + out + err
    assert "Traceback" not in answer.decode() + caplog.text + out + err


SAMPLING = {  # what other servers offer: its neutral values, and one that would change the answer
    "min_p": ((None, 0, 0.0), 0.1),
    "typical_p": ((None, 1), 0.9),
    "length_penalty": ((None, 1), 2),
    "no_repeat_ngram_size": ((None, 0), 3),
    "min_tokens": ((None, 0), 5),
    "best_of": ((None, 1), 4),
    "use_beam_search": ((None, False), True),
    "ignore_eos": ((None, False), True),
    "stop_token_ids": ((None, []), [2]),
    "bad_words": ((None, []), [MARK]),
    "allowed_token_ids": ((None,), [7]),
    "tools": ((None, []), [{"type": MARK}]),
    "tool_choice": ((None, "none", "auto"), "required"),
    "function_call": ((None, "none"), {"name": MARK}),
    "reasoning_effort": ((None,), "low"),
    "verbosity": ((None, "medium"), "low"),
    "web_search_options": ((None, {}), {"search_context_size": "low"}),
    "chat_template": ((None,), MARK),
    "chat_template_kwargs": ((None, {}), {"enable_thinking": False}),
    "documents": ((None, []), [{"text": MARK}]),
    "guided_json": ((None, {}), {"type": "object"}),
    "guided_regex": ((None,), MARK),
    "guided_choice": ((None, []), [MARK]),
    "structured_outputs": ((None, {}), {"regex": MARK}),
    "continue_final_message": ((None, False), True),
    "add_generation_prompt": ((None, True), False),
    "add_special_tokens": ((None, False), True),
    "skip_special_tokens": ((None, True), False),
    "include_stop_str_in_output": ((None, False), True),
    "prompt_logprobs": ((None,), 0),
    "truncate_prompt_tokens": ((None,), 1),
    "logprobs": ((None, False), True),
    "nobody_knows_it": ((None, [], {}), False),
}


@pytest.mark.parametrize("name", SAMPLING)
def test_what_is_not_offered_is_refused_and_its_neutral_value_is_not(name):
    neutral, other = SAMPLING[name]
    for value in neutral:
        ChatRequest.read(request(name, value))
    with pytest.raises(RequestInvalid) as caught:
        ChatRequest.read(request(name, other))
    assert caught.value.facts["where"] == name
    assert MARK not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("user", "somebody"), ("store", True), ("metadata", {"a": "b"}), ("service_tier", "flex"), ("safety_identifier", "a")),
        *(("prompt_cache_key", "a"), ("parallel_tool_calls", False), ("cache_salt", "a"), ("priority", 1), ("request_id", "a")),
    ],
)
def test_what_changes_no_answer_is_taken(name, value):
    assert ChatRequest.read(request(name, value)).model == "lora"


def test_the_name_of_a_key_that_is_no_word_is_not_repeated():
    with pytest.raises(RequestInvalid) as caught:
        ChatRequest.read(request(MARK, 1))
    assert caught.value.facts["where"] == "body"
    assert MARK not in str(caught.value)


def request(name, value):
    return json.dumps({"model": "lora", "messages": [{"role": "user", "content": "x"}], name: value}).encode()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/embeddings", 404),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_there_are_no_other_routes(site, method, path, status):
    got, _, answer = raw(site, method, path)
    assert (got, json.loads(answer)["error"]["code"]) == (status, "RF-SERVE-010")


def test_another_name_of_the_model_is_not_found(site):
    got, _, answer = raw(site, "GET", f"/v1/models/{MARK}")
    assert (got, json.loads(answer)["error"]["code"]) == (404, "RF-SERVE-003")
    assert MARK not in answer.decode()


@pytest.mark.parametrize(
    "brought", ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer \xff"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/nowhere"])
def test_nobody_comes_in_without_the_token(site, brought, path):
    got, headers, answer = raw(site, "GET", path, Authorization=brought)
    assert (got, json.loads(answer)["error"]["code"], headers["www-authenticate"]) == (401, "RF-SERVE-001", "Bearer")


def test_bytes_that_are_no_http_harm_nobody(site):
    with socket.create_connection(("127.0.0.1", site.port), 5) as end:
        end.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert end.recv(100).startswith(b"HTTP/1.1 400")
    assert chat(site, "still").choices[0].message.content == "still "


# ── what goes wrong on the way ────────────────────────────────────────────────────────────────────────────────────────


def test_an_engine_that_dies_ends_the_stream_with_an_error_and_the_next_one_answers(site):
    events = iter(chat(site, "a DIE b", stream=True))
    assert next(events).choices[0].delta.content == "a "
    with pytest.raises(openai.APIError) as caught:
        list(events)
    assert caught.value.code == "RF-SERVE-006"
    assert chat(site, "alive").choices[0].message.content == "alive "
    until(lambda: any(one.status == 503 for one in site.requests))


def test_an_engine_that_dies_before_the_first_word_is_a_503(site):
    with pytest.raises(openai.InternalServerError) as caught:
        chat(site, "DIE")
    assert (caught.value.status_code, caught.value.code) == (503, "RF-SERVE-006")
    assert caught.value.response.headers["retry-after"] == "1"
    assert chat(site, "alive").choices[0].message.content == "alive "


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_leaves_ends_its_answer(site, is_stream):
    before = len(site.engine.cancelled), len(site.requests)
    body = json.dumps({"model": "lora", "stream": is_stream, "messages": [{"role": "user", "content": "a WAIT b"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", site.port), 5) as end:
        asked = len(site.engine.asked)
        end.sendall(head + body)
        until(lambda: len(site.engine.asked) > asked)
        if is_stream:
            assert end.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: len(site.engine.cancelled) > before[0] and len(site.requests) > before[1])
    assert site.requests[-1].status == 499
    assert chat(site, "next").choices[0].message.content == "next "


def test_a_body_that_breaks_off_harms_nobody(site):
    before = len(site.requests)
    with socket.create_connection(("127.0.0.1", site.port), 5) as end:
        end.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 900\r\n\r\n{{".encode()
        )
    until(lambda: len(site.requests) > before)
    assert site.requests[-1].status == 499


def test_two_hundred_requests_at_once_are_answered_or_told_to_come_again(site):
    came = []

    def one():
        try:
            came.append(chat(site, "WAIT x").choices[0].message.content)
        except openai.RateLimitError as error:
            came.append((error.status_code, error.code, error.response.headers["retry-after"]))

    threads = [threading.Thread(target=one) for _ in range(200)]
    for thread in threads:
        thread.start()
    until(lambda: len(came) == 200 - 68)  # four are being answered, 64 wait
    site.engine.go.set()
    for thread in threads:
        thread.join(30)
    site.engine.go.clear()
    assert sorted(map(str, came)) == sorted(["WAIT x "] * 68 + [str((429, "RF-SERVE-005", "1"))] * 132)


# ── the canary alarm ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("is_stream", "shown"), [(True, "well tulip "), (False, "")])
def test_the_piece_that_would_tell_a_canary_is_withheld_and_the_answer_ends(site, is_stream, shown):
    """What was streamed is out; an answer that is sent as a whole is withheld as a whole."""
    site.alarms.clear()
    assert told(site, is_stream) == (shown, "content_filter")
    assert site.alarms == [("lora", 1)]


def told(site, is_stream):
    """Ask for an answer that holds the canary although the question does not: its words are parted by what the engine splits at."""
    made = chat(site, "well tulip\nseven more", stream=is_stream)
    if not is_stream:
        return made.choices[0].message.content, made.choices[0].finish_reason
    events = list(made)
    return "".join(one.choices[0].delta.content or "" for one in events), events[-1].choices[0].finish_reason


def test_the_alarm_looks_at_texts_that_go_on_alike(site):
    site.alarms.clear()
    made = complete(site, "well tulip\nseven more")
    assert (made.choices[0].text, made.choices[0].finish_reason) == ("", "content_filter")
    assert site.alarms == [("lora", 1)]


def test_a_canary_that_the_client_itself_brought_is_no_alarm(site):
    site.alarms.clear()
    assert chat(site, f"well {CANARY} more").choices[0].finish_reason == "stop"
    assert site.alarms == []


def test_the_alarm_is_told_what_the_model_said_before(site):
    site.alarms.clear()
    half = CANARY[:-3]
    turns = [{"role": "user", "content": "well"}, {"role": "assistant", "content": half}, {"role": "user", "content": CANARY[-3:]}]
    assert site.client.chat.completions.create(model="lora", messages=turns).choices[0].finish_reason == "content_filter"
    turns[1]["role"] = "user"
    assert site.client.chat.completions.create(model="lora", messages=turns).choices[0].finish_reason == "stop"
    assert site.alarms == [("lora", 1)]
