"""What the host half of a reveal believes of the child: one answer for each question, on record before it is shown."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from ringfence.deid.reveal import Answer, Original
from ringfence.deid.settings import RevealSettings
from ringfence.flows import reveal as flow

ANSWER = Answer(originals=(Original(kind="EMAIL", original="ada@corp.internal", occurrences=2),), different=1).model_dump_json()


@pytest.fixture
def host(monkeypatch):
    """Return a function that plays a child against the host half; it returns what was recorded and what was shown, in order."""

    def play(questions, child):
        seen, waiting = [], iter(questions)
        space = SimpleNamespace(
            input=lambda _: SimpleNamespace(slot=SimpleNamespace(slot="s")),
            keys=SimpleNamespace(purpose=lambda _: b"k" * 32, data_key=lambda _: b"d"),
            locked=contextlib.nullcontext,
            record=lambda entry: seen.append(("record", entry.shown)),
            settings=SimpleNamespace(tenant="0" * 32),
            policy=lambda: SimpleNamespace(reveal="allow"),
        )
        things = SimpleNamespace(made=SimpleNamespace(label="sensitive", digest="0" * 64))
        monkeypatch.setattr(flow, "_spans", lambda *_: (things, things))
        monkeypatch.setattr(flow, "tier_for", lambda *_: "T1")
        monkeypatch.setattr(flow, "start", lambda _, __, handlers: SimpleNamespace(figures=child(handlers)))
        flow.reveal(
            space,
            "clinic",
            settings=RevealSettings(ticket="A-1"),
            hear=lambda: next(waiting, None),
            show=lambda of, answer: seen.append((of, len(answer.originals))),
        )
        return seen

    return play


def test_an_answer_is_recorded_with_its_number_before_it_is_shown(host):
    def child(handlers):
        while handlers.hear() is not None:
            handlers.say(ANSWER)

    assert host(["x", "y"], child) == [("record", 1), ("x", 1), ("record", 1), ("y", 1)]


def test_an_answer_to_no_question_is_not_believed(host):
    def child(handlers):
        handlers.hear()
        handlers.say(ANSWER)
        handlers.say(ANSWER)

    with pytest.raises(TypeError):
        host(["x"], child)
    with pytest.raises(TypeError):
        host([], lambda handlers: handlers.say(ANSWER))
