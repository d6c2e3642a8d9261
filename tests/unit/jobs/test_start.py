"""The host believes no child: what is outside its closed schema ends it, with a coded error that quotes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ringfence.core.errors import JobDied, JobMisbehaved, JobTimeout, OutOfMemory
from ringfence.core.order import Keys, Limits
from ringfence.core.work import Work
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.sandbox.python import own
from ringfence.serve.settings import ChatFigures, ChatSettings

HERE = Path(__file__).parent
TALKER, MUTE = "chat.v1", "model.v1"


def run(child, *, job=TALKER, figures=ChatFigures, seconds=20.0, memory=1 << 30, handlers=None):
    work = Work(job=job, run="chat-0123456789ab", tenant="0" * 32, settings=ChatSettings(), limits=Limits(seconds=seconds, memory=memory))
    return start(work, figures, handlers=handlers, entry=f"hostile_children:{child}", roots=[*own().roots, HERE])


def test_a_child_that_keeps_its_contract_is_accepted():
    seen = []
    done = run("well_behaved", handlers=Handlers(progress=seen.append))
    assert done.figures == ChatFigures(turns=1, tokens=2)
    assert [p.done for p in seen] == [1]
    assert done.sandbox.self_test is not None
    assert done.sandbox.self_test.failures() == []


@pytest.mark.parametrize(
    "child",
    [
        "text_in_figures",
        "extra_figure",
        "text_in_progress",
        "unknown_frame",
        "speaks_without_a_channel",
        "checkpoints_without_a_right",
        "leases_without_a_right",
        "garbage",
        "endless_frame",
        "text_in_failure",
        "error_without_facts",
    ],
)
def test_a_child_that_breaks_its_contract_is_ended(child):
    with pytest.raises(JobMisbehaved) as caught:
        run(child)
    assert "Wang" not in str(caught.value)


@pytest.mark.parametrize("child", ["invented_place", "text_as_error_name"])
def test_a_failure_with_an_invented_place_or_name_prints_neither(child):
    with pytest.raises(JobDied) as caught:
        run(child)
    assert "wang" not in str(caught.value).lower()


def test_a_child_that_hangs_is_stopped():
    with pytest.raises(JobTimeout) as caught:
        run("hangs", seconds=1.5)
    assert caught.value.exit_code == 21


@pytest.mark.parametrize("child", ["dies", "leaves_without_a_word"])
def test_a_child_that_dies_is_noticed(child):
    with pytest.raises(JobDied):
        run(child)


def test_a_job_gets_no_key_but_its_own(monkeypatch):
    monkeypatch.setattr("ringfence.jobs.start.open_cage", lambda **_: pytest.fail("a sandbox was opened"))
    for keys in (Keys(purpose={"content": b"k" * 32}), Keys(data={"0" * 32: b"k" * 32})):
        work = Work(job=TALKER, run="chat-0123456789ab", tenant="0" * 32, settings=ChatSettings(), keys=keys)
        with pytest.raises(TypeError, match="not its own"):
            start(work, ChatFigures)


def test_only_jobs_that_load_a_model_see_the_gpus(monkeypatch):
    class Seen(Exception):
        pass

    def cage(*, mounts, **_):
        raise Seen(*mounts.gpus)

    monkeypatch.setattr("ringfence.jobs.start.gpu_nodes", lambda: ("/dev/nvidia0", "/dev/nvidiactl"))
    monkeypatch.setattr("ringfence.jobs.start.open_cage", cage)
    for job, row in JOBS.items():
        keys = Keys(purpose=dict.fromkeys(row.purpose, b"k" * 32))
        work = Work(job=job, run="x-0123456789ab", tenant="0" * 32, settings=ChatSettings(), keys=keys)
        with pytest.raises(Seen) as caught:
            start(work, row.figures)
        assert caught.value.args == (
            ("/dev/nvidia0", "/dev/nvidiactl")
            if job in ("train.v1", "price.v1", "audit.v1", "eval.v1", "formats.v1", "chat.v1", "serve.v1")
            else ()
        )


def late(answer="x"):
    """Hear something only once the child is certainly gone."""

    def hear():
        time.sleep(1.0)
        return answer

    return Handlers(hear=hear)


def test_a_child_that_left_before_its_answer_is_noticed():
    with pytest.raises(JobDied):
        run("asks_and_leaves", handlers=late())


def test_what_a_child_said_before_it_left_is_still_heard():
    with pytest.raises(JobDied) as caught:
        run("asks_fails_and_leaves", handlers=late())
    assert "OSError" in str(caught.value)


def test_a_child_that_never_reads_does_not_hold_the_host(monkeypatch):
    monkeypatch.setattr("ringfence.jobs.start._GRACE", 1.0)
    with pytest.raises(JobMisbehaved):
        run("asks_and_never_reads", seconds=60.0, handlers=Handlers(hear=lambda: "x" * 10_000))


def test_a_child_sees_and_writes_nothing_of_the_host():
    assert run("writes_where_it_may_not").figures.tokens == 0


def test_a_child_finds_no_way_out():
    assert run("calls_out").figures.tokens == 0


def test_a_child_that_eats_memory_is_stopped():
    with pytest.raises((OutOfMemory, JobDied)):
        run("eats_memory", memory=512 << 20)


def test_figures_of_another_job_are_a_mistake_of_the_caller():
    with pytest.raises(TypeError):
        run("well_behaved", job=MUTE)
