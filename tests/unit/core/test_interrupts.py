"""Ctrl-C waits for what must not be half done."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from ringfence.core.interrupts import stop_if_late, uninterrupted


def press():
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(done, error=None):
    with uninterrupted():
        press()
        done.append(1)
        if error:
            raise error


def test_ctrl_c_waits_until_the_block_is_through():
    done = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(done)
    assert done == [1]
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_ctrl_c_that_comes_too_late_stops_the_next_step_only():
    stop_if_late()
    try:
        with uninterrupted(final=True):
            press()
    except KeyboardInterrupt:
        pytest.fail("what is done was told to be undone")
    with pytest.raises(KeyboardInterrupt):
        stop_if_late()
    stop_if_late()


def test_an_error_of_the_block_goes_before_ctrl_c():
    with pytest.raises(ValueError, match="of the block"):
        interrupted([], ValueError("of the block"))


def test_a_handler_of_the_caller_hears_of_ctrl_c_all_the_same():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with uninterrupted(final=True):
            press()
            press()
            assert heard == []
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT] * 2


def test_another_thread_is_left_alone():
    done = []

    def work():
        with uninterrupted():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
