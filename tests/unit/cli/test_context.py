"""What a terminal sees: the question for the passphrase, and how far a job is."""

from __future__ import annotations

import io
import re

import pytest

from ringfence.cli import context
from ringfence.cli.context import Options, progress, secret
from ringfence.core.errors import BadArgument
from ringfence.core.order import Progress


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


@pytest.fixture
def _terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(context, "_options", Options())
    monkeypatch.setenv("TERM", "xterm")


def answers(monkeypatch, *words):
    waiting = iter(words)
    monkeypatch.setattr("getpass.getpass", lambda _: next(waiting))


@pytest.mark.usefixtures("_terminal")
def test_the_passphrase_is_asked_for_twice_when_it_is_new(monkeypatch):
    answers(monkeypatch, "four words", "four words")
    assert secret(new=True) == b"four words"
    answers(monkeypatch, "four words", "four wrods")
    with pytest.raises(BadArgument, match="differ"):
        secret(new=True)
    answers(monkeypatch, "four words")
    assert secret() == b"four words"


@pytest.mark.usefixtures("_terminal")
def test_without_a_terminal_the_options_are_named(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(BadArgument, match="--passphrase-fd"):
        secret()


@pytest.mark.usefixtures("_terminal")
def test_progress_shows_what_is_done_and_the_time_left(monkeypatch):
    made = Terminal()
    monkeypatch.setattr("sys.stderr", made)  # here: pytest puts its own back after the fixtures
    with progress("train") as show:
        for done in (1, 2, 3):
            show(Progress(done=done, total=10, loss=2.5))
    shown = made.getvalue()
    assert "3/10" in shown
    assert "loss 2.500" in shown
    assert re.search(r"< *(\d+:\d\d:\d\d|-:--:--)", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown))
