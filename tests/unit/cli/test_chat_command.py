"""The command `chat` with a model that says what the test wants: answers line up with questions, and standard output is theirs alone."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest

from ringfence.cli.main import run
from ringfence.flows.guard import ELSEWHERE, Guarding
from ringfence.serve.settings import ChatFigures


@pytest.fixture
def model(monkeypatch):
    """Return a function that sets the pieces of each answer, and the list of questions that the model heard."""
    heard = []

    def answers(*pieces):
        def talk(_speaker, *, hear, say, max_new_tokens, profile):
            waiting = iter(pieces)
            turns = 0
            while (question := hear()) is not None:
                heard.append(question)
                for piece in next(waiting):
                    say(piece, is_end=False)
                say("", is_end=True)
                turns += 1
            return ChatFigures(turns=turns, tokens=turns)

        monkeypatch.setattr("ringfence.flows.chat.chat", talk)
        return heard

    monkeypatch.setattr("ringfence.cli.verifying.owner_space", lambda _: None)
    monkeypatch.setattr("ringfence.flows.chat.from_workspace", lambda *_, **__: SimpleNamespace(guarding=Guarding()))
    return answers


@pytest.fixture
def typed(monkeypatch):
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def asked(*questions):
    return [word for question in questions for word in ("--ask", question)]


@pytest.mark.parametrize("pieces", [([], ["fe", "ver"]), (["fe", "ver"], []), ([], []), (["a"], ["b"])])
def test_every_question_has_its_answer_and_an_empty_one_counts(model, capsys, pieces):
    model(*pieces)
    assert run(["--json", "chat", "lora", *asked("one", "two")]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "answers": ["".join(one) for one in pieces],
        "guard": False,
        "turns": 2,
        "tokens": 2,
        "masked": {},
        "blocked": 0,
    }


def test_an_empty_answer_is_an_empty_line(model, capsys):
    model([], ["fe", "ver"])
    assert run(["chat", "lora", *asked("one", "two")]) == 0
    assert capsys.readouterr().out == "\nfever\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_prompt_is_no_part_of_the_output(model, typed, capsys, options):
    heard = model(["fever"])
    typed("what?", "")
    assert run([*options, "chat", "lora"]) == 0
    shown = capsys.readouterr()
    assert heard == ["what?"]
    assert shown.err.endswith("> > ")
    assert shown.out == "fever\n" if not options else json.loads(shown.out)["answers"] == ["fever"]


def test_the_end_of_the_input_ends_the_conversation(model, typed, capsys):
    model(["fever"])
    typed("what?")
    assert run(["chat", "lora"]) == 0
    assert capsys.readouterr().out == "fever\n"


def test_a_question_of_broken_bytes_can_be_sent(model):
    heard = model(["?"])
    assert run(["chat", "lora", *asked("a\udcffb")]) == 0
    assert heard == ["a?b"]


@pytest.mark.parametrize(
    ("guarding", "told"),
    [(Guarding(), ""), (Guarding((None, b"key")), "replay guard: on"), (Guarding(why=ELSEWHERE), "no replay guard: the")],
)
def test_it_says_whether_answers_pass_a_replay_guard(model, monkeypatch, capsys, guarding, told):
    model(["yes"])
    monkeypatch.setattr("ringfence.flows.chat.from_workspace", lambda *_, **__: SimpleNamespace(guarding=guarding))
    assert run(["chat", "lora", *asked("one")]) == 0
    out, err = capsys.readouterr()
    assert out == "yes\n"
    assert err.startswith(told)
    assert bool(err) == bool(told)
