"""The desk between front and engine: who is answered when, and what becomes of requests when an engine ends."""

from __future__ import annotations

import threading
import time

import pytest
from pydantic import ValidationError

from ringfence.core.errors import EngineLost, JobDied, JobMisbehaved, NotOpened, QueueFull
from ringfence.serve.desk import Desk
from ringfence.serve.supervisor import Supervisor
from ringfence.serve.wire import Ask, Orders, Said, Told, Turn


def ask(number, tokens=5):
    return Ask(id=number, messages=(Turn(role="user", content="q"),), max_tokens=tokens)


def submitted(desk, *numbers):
    events = {number: [] for number in numbers}
    return events, [desk.submit(ask(number), events[number].append) for number in numbers]


def told(*said):
    return Told(said=said).model_dump_json()


def heard(desk):
    text = desk.hear()
    return Orders.model_validate_json(text) if text else text


def test_no_more_than_so_many_answers_run_at_once_and_the_others_keep_their_order():
    desk = Desk(active=2)
    submitted(desk, 0, 1, 2, 3)
    assert [heard(desk).ask.id, heard(desk).ask.id] == [0, 1]
    assert heard(desk) == ""
    desk.say(told(Said(id=0, finish="stop")))
    assert heard(desk).ask.id == 2


def test_an_idle_engine_is_asked_to_look_again_and_wakes_for_a_request():
    desk = Desk()
    began = time.monotonic()
    assert desk.hear() == ""
    assert 0.2 < time.monotonic() - began < 5
    threading.Timer(0.02, lambda: submitted(desk, 7)).start()
    assert heard(desk).ask.id == 7


def test_one_request_too_many_is_refused():
    desk = Desk(waiting=2)
    submitted(desk, 0, 1)
    with pytest.raises(QueueFull):
        submitted(desk, 2)


def test_a_dropped_request_is_cancelled_where_it_has_begun_and_forgotten_where_not():
    desk = Desk(active=1)
    events, tickets = submitted(desk, 0, 1, 2)
    heard(desk)
    for ticket in tickets[:2]:
        desk.drop(ticket)
    orders = heard(desk)
    assert (orders.cancel, orders.ask.id) == ((0,), 2)
    desk.say(told(Said(id=0, text="late"), Said(id=2, text="x")))
    assert events[0] == events[1] == []
    assert [one.text for one in events[2]] == ["x"]


def test_a_lost_engine_ends_what_it_had_begun_and_the_rest_waits():
    desk = Desk(active=1)
    events, _ = submitted(desk, 0, 1)
    heard(desk)
    assert desk.lost()
    assert [type(one) for one in events[0]] == [EngineLost]
    assert events[1] == []
    assert heard(desk).ask.id == 1


def test_an_engine_that_never_came_up_takes_the_waiting_ones_along():
    desk = Desk()
    events, _ = submitted(desk, 0)
    assert not desk.lost()
    assert [type(one) for one in events[0]] == [EngineLost]


def test_closing_ends_everything_and_lets_nothing_in():
    desk = Desk(active=1)
    events, _ = submitted(desk, 0, 1)
    heard(desk)
    desk.close()
    assert [type(one) for one in events[0] + events[1]] == [EngineLost, EngineLost]
    assert desk.hear() is None
    with pytest.raises(EngineLost):
        submitted(desk, 2)


@pytest.mark.parametrize("text", ["", "[]", '{"said": [{"id": 0, "text": 1}]}', '{"said": [], "more": 1}'])
def test_what_no_engine_says_is_refused(text):
    with pytest.raises(ValidationError):
        Desk().say(text)


def test_an_engine_may_not_say_more_pieces_than_it_may_make_tokens():
    desk = Desk()
    submitted(desk, 0)
    heard(desk)
    with pytest.raises(TypeError):
        desk.say(told(*[Said(id=0, text="x")] * 8))


# ── the supervisor ────────────────────────────────────────────────────────────────────────────────────────────────────


def engines(desk, *ends):
    """Engines that come up and then end as told; the last one serves until the desk is closed."""
    waiting = list(ends)

    def run():
        end = waiting.pop(0) if waiting else None
        if end is not None and not getattr(end, "comes_up", True):
            raise end
        while (text := desk.hear()) is not None:
            if text and end:
                raise end
            if text:
                desk.say(told(Said(id=Orders.model_validate_json(text).ask.id, text="yes", finish="stop")))

    return run


def died(*, comes_up=True):
    error = JobDied(job="serve.v1", status=1, at="-")
    return error if comes_up else never_up(error)


def never_up(error):
    error.comes_up = False
    return error


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_new_engine_takes_over_and_answers_what_had_not_begun():
    desk, lost = Desk(active=1), []
    thread = Supervisor(desk, engines(desk, died()), on_lost=lambda error, wait: lost.append((type(error), wait))).start()
    events, _ = submitted(desk, 0, 1)
    until(lambda: events[1])
    assert isinstance(events[0][0], EngineLost)
    assert events[1][0].text == "yes"
    assert lost == [(JobDied, 0.25)]
    desk.close()
    thread.join(5)
    assert not thread.is_alive()
    assert desk.end is None


def test_engines_that_do_not_come_up_again_are_waited_for_ever_longer():
    desk, waits = Desk(), []
    down = died(comes_up=False)
    Supervisor(desk, engines(desk, died(), down, down), on_lost=lambda _, wait: waits.append(wait)).start()
    submitted(desk, 0)
    until(lambda: len(waits) == 3)
    assert waits == [0.25, 0.5, 1.0]
    began = time.monotonic()
    desk.close()
    assert time.monotonic() - began < 0.8  # it would wait a second, and then two


def test_an_engine_that_opened_its_model_before_is_tried_again_where_it_does_not_open_it_now():
    desk, lost = Desk(), []
    Supervisor(desk, engines(desk, died(), never_up(NotOpened())), on_lost=lambda error, wait: lost.append((type(error), wait))).start()
    events, _ = submitted(desk, 0)
    until(lambda: len(lost) == 2)
    assert lost == [(JobDied, 0.25), (NotOpened, 0.5)]
    again, _ = submitted(desk, 1)
    until(lambda: again[1])
    assert again[1][0].text == "yes"
    desk.close()
    assert desk.end is None
    assert isinstance(events[0][0], EngineLost)


@pytest.mark.parametrize(
    "end", [died(comes_up=False), never_up(NotOpened()), JobMisbehaved(job="serve.v1", problem="-"), RuntimeError("x")]
)
def test_an_end_that_would_come_again_closes_the_desk(end):
    desk = Desk()
    Supervisor(desk, engines(desk, end), on_lost=lambda *_: None).start()
    if getattr(end, "comes_up", True):
        submitted(desk, 0)
    assert desk.wait(20, until_closed=True)
    assert desk.end is end


def test_whoever_fails_to_be_told_of_a_lost_engine_closes_the_desk():
    """Otherwise no engine would ever come, and whoever waits for an answer would wait for ever."""
    desk, broken = Desk(), BrokenPipeError(32, "Broken pipe")

    def on_lost(*_):
        raise broken

    thread = Supervisor(desk, engines(desk, died()), on_lost=on_lost).start()
    events, _ = submitted(desk, 0)
    assert desk.wait(20, until_closed=True)
    assert desk.end is broken
    assert [type(one) for one in events[0]] == [EngineLost]
    thread.join(5)
    assert not thread.is_alive()
