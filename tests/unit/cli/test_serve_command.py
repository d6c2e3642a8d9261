"""What the command `serve` notes on standard error, and that nobody needs to read it."""

from __future__ import annotations

import io
import sys

import pytest

from ringfence.cli.commands import serve
from ringfence.core.errors import Busy, JobDied


def full():
    return io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [full, closed])
def test_a_note_that_cannot_be_written_ends_nothing(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    serve._lost(JobDied(job="serve.v1", status=1, at="-"), 0.25)
    serve._alarm("lora", 1, None)
    serve._note("x")


def test_an_alarm_claims_to_be_on_record_only_where_it_is(capsys):
    serve._alarm("lora", 2, None)
    assert "an answer of lora was about to tell 2 planted canaries and was cut; it is in the ledger" in capsys.readouterr().err
    serve._alarm("lora", 2, Busy(what_held="the lock"))
    said = capsys.readouterr().err
    assert "2 planted canaries and was cut" in said
    assert "could not be recorded" in said
    assert "RF-WORKSPACE-003" in said
    assert "in the ledger" not in said
