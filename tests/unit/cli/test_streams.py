"""Printing cannot fail for the reader's sake, and nothing else is excused by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ringfence.cli import streams
from ringfence.cli.main import run

PREPARED = "import sys; from ringfence.cli.streams import prepare_streams; prepare_streams(); "


def python(code, *, environment=None, **more):
    return subprocess.run(
        [sys.executable, "-c", PREPARED + code],
        env={**os.environ, **(environment or {})},
        capture_output=not more,
        check=False,
        timeout=60,
        **more,
    )


def unread(command, *, stream="stdout"):
    """Run a command whose reader is gone before it starts; return its exit code and what the other stream said."""
    reading, writing = os.pipe()
    os.close(reading)
    other = "stderr" if stream == "stdout" else "stdout"
    try:
        done = subprocess.run(command, **{stream: writing, other: subprocess.PIPE}, text=True, check=False, timeout=60)
    finally:
        os.close(writing)
    return done.returncode, getattr(done, other)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_ends_its_work_when_nobody_reads_any_more(stream):
    code = f"print('x', file=sys.{stream}, flush=True); print('y' * 100_000, file=sys.{stream}); sys.exit(12)"
    assert unread([sys.executable, "-c", PREPARED + code], stream=stream) == (12, "")


def test_an_exit_code_survives_a_reader_that_left(tmp_path):
    front = [sys.executable, "-m", "ringfence"]
    assert unread([*front, "explain", "RF-CORE-000"]) == (0, "")
    code, said = unread([*front, "--json", "-w", str(tmp_path), "run", "list"])
    assert (code, said) == (2, "")
    code, _ = unread([*front, "-w", str(tmp_path), "run", "list"], stream="stderr")
    assert code == 2


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ConnectionResetError(104, "reset")])
def test_a_pipe_that_breaks_elsewhere_is_an_error(monkeypatch, capsys, error):
    def broken(**_):
        raise error

    monkeypatch.setattr("ringfence.cli.commands.keys.workspace", broken)
    assert run(["--json", "keys", "status"]) == 1
    said = json.loads(capsys.readouterr().out)["error"]
    assert said["code"] == "RF-CORE-000"
    assert type(error).__name__ in said["message"]


def test_ctrl_c_says_so(monkeypatch, capsys):
    def stopped(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ringfence.cli.commands.keys.workspace", stopped)
    assert run(["--json", "keys", "status"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "RF-CORE-005"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", b"? caf\xe9 ?\n"), ("gbk", b"? caf\xa8\xa6 \xbc\xf2\n"), ("utf-8", "✔ café 简\n".encode())]
)
def test_what_the_encoding_does_not_have_is_a_question_mark(encoding, shown):
    done = python("print('✔ café 简')", environment={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stdout) == (0, shown)


def test_half_a_character_is_a_question_mark():
    done = python("print('a\\udc9bb')", environment={"PYTHONIOENCODING": "utf-8:surrogateescape"})
    assert (done.returncode, done.stdout) == (0, b"a?b\n")


def test_bytes_that_are_no_text_can_be_read():
    done = subprocess.run(
        [sys.executable, "-c", PREPARED + "sys.stdout.write(ascii(input()))"],
        input=b"a\xffb\n",
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"'a\\ufffdb'"


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_stream_is_no_fault_and_its_number_is_not_given_to_a_file(descriptor, tmp_path):
    code = "f = open(sys.argv[1], 'w'); print('lost', flush=True); print('lost', file=sys.stderr); sys.stdin.isatty(); f.write(str(f.fileno()))"
    command = [sys.executable, "-c", PREPARED + code, str(tmp_path / "file")]
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {descriptor}>&-', "sh", *command], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0
    assert int((tmp_path / "file").read_text()) > 2


def test_a_result_that_cannot_be_written_is_one_line_and_exit_1():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ringfence", "explain", "RF-CORE-000"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "could not be written" in done.stderr


def test_ctrl_c_while_the_result_is_written_ends_without_a_traceback(monkeypatch):
    class Stuck:
        def flush(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Stuck())
    assert streams.finished(0) == 130
    assert streams.finished(11) == 11
