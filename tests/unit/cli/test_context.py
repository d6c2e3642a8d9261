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
def test_progress_in_a_file_is_a_line_now_and_then_with_the_time_left_and_no_loss(monkeypatch):
    made, now = io.StringIO(), [0.0]
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setattr(context.time, "monotonic", lambda: now[0])
    with progress("train") as show:
        for done in range(101):
            show(Progress(done=done, total=100, loss=2.5))
            now[0] += 1
        show(Progress(done=0, total=0, phase="evaluate"))
        now[0] += 30
        show(Progress(done=4, total=0, phase="evaluate"))
    assert made.getvalue().splitlines() == [
        "train  30/100  0:01:10 left",
        "train  60/100  0:00:40 left",
        "train  90/100  0:00:10 left",
        "train  4/?  evaluate",
    ]


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("quiet", [Options(quiet=True), Options(json=True)])
def test_progress_is_silent_for_scripts(monkeypatch, quiet):
    made = io.StringIO()
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setattr(context, "_options", quiet)
    monkeypatch.setattr(context, "_SECONDS_A_LINE", -1.0)
    with progress("train") as show:
        show(Progress(done=1, total=2))
    assert made.getvalue() == ""


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


def test_the_next_command_comes_after_the_result_where_both_go_into_one_file(monkeypatch):
    raw = io.BytesIO()
    out, err = io.TextIOWrapper(raw, write_through=False), io.TextIOWrapper(raw, write_through=True)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr(context, "_options", Options())  # not those of whatever command another test has run
    context.say("the result")
    context.advise("ringfence fsck")
    out.flush()
    assert raw.getvalue().splitlines() == [b"the result", b"Next: ringfence fsck"]
