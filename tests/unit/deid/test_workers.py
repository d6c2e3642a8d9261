"""Pieces come back in order, whoever does them; what goes wrong in a worker ends all of them and says what it was."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from ringfence.core.errors import ObjectBroken, WorkerLost
from ringfence.core.failure import Relayed, failure_of
from ringfence.core.order import Limits
from ringfence.deid.workers import in_order
from ringfence.sandbox.cage import Mounts, open_cage
from ringfence.sandbox.python import own
from tests.unit.sandbox.sandbox_cages import heard

INSIDE = Path(__file__).parent / "inside"


def processes() -> list[str]:
    """Return the pids of this process's children."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 40])
def test_results_come_in_order(workers):
    def work(number, say):
        time.sleep((number * 7 % 5) / 500)  # the later ones are often done first
        return number * number, os.getpid()

    got = list(in_order(work, 20, workers=workers))
    assert [value for value, _ in got] == [n * n for n in range(20)]
    pids = {pid for _, pid in got}
    assert (pids == {os.getpid()}) if workers == 1 else (len(pids) > 1 and os.getpid() not in pids and len(pids) <= min(workers, 20))
    assert processes() == []


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_share_is_done_here(count):
    assert list(in_order(lambda _number, _say: os.getpid(), count, workers=4)) == [os.getpid()] * count


def test_reports_add_up():
    said = []
    list(in_order(lambda number, say: [say(1) for _ in range(number)], 6, workers=3, say=said.append))
    assert sum(said) == 15


def test_results_that_wait_are_few(tmp_path):
    """A worker that is far ahead of the first unfinished piece is given nothing more."""

    def work(number, say):
        (tmp_path / str(number)).touch()
        if number == 0:
            deadline = time.monotonic() + 20
            while len(list(tmp_path.iterdir())) < 4 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.2)  # for a fifth piece, if one were given out
            return sorted(int(path.name) for path in tmp_path.iterdir())
        return []

    assert next(iter(in_order(work, 50, workers=2))) == [0, 1, 2, 3]
    assert processes() == []


def test_large_results_do_not_block():
    assert [len(value) for value in in_order(lambda number, _say: bytes(3_000_000 + number), 8, workers=3)] == [
        3_000_000 + n for n in range(8)
    ]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, 137), (signal.SIGTERM, 143)])
def test_a_killed_worker_ends_everything(number, status):
    def work(piece, say):
        if piece == 3:
            os.kill(os.getpid(), number)
        return piece

    with pytest.raises(WorkerLost) as caught:
        list(in_order(work, 40, workers=3))
    assert caught.value.facts == {"status": status}
    assert processes() == []


def test_a_worker_that_leaves_quietly_is_lost_too():
    with pytest.raises(WorkerLost) as caught:
        list(in_order(lambda _piece, _say: os._exit(0), 4, workers=2))
    assert caught.value.facts == {"status": 0}


def test_an_exception_comes_back_as_class_place_and_numbers():
    def work(piece, say):
        if piece == 2:
            raise ObjectBroken(file=7)
        return piece

    with pytest.raises(Relayed) as caught:
        list(in_order(work, 5, workers=2))
    failure = failure_of(caught.value)
    assert (failure.error, failure.facts) == ("ObjectBroken", {"file": 7})
    assert processes() == []


def test_the_words_of_an_exception_stay_where_they_are():
    def work(piece, say):
        raise KeyError("Wang Xiaoming 110105")

    with pytest.raises(Relayed) as caught:
        list(in_order(work, 3, workers=2))
    assert "Wang" not in repr(caught.value)
    failure = failure_of(caught.value)
    assert failure.error == "KeyError"
    assert failure.at.startswith("ringfence.core.copies:")  # the innermost frame that is ours


def test_leaving_early_ends_the_workers():
    for value in in_order(lambda piece, _say: time.sleep(60 if piece > 3 else 0.01) or piece, 100, workers=3):
        if value == 2:
            break
    assert processes() == []


def test_workers_end_with_the_process_that_asked(tmp_path):
    """As after a crash: nobody waits for them, and a worker in the middle of a piece must not go on with it."""
    asking = os.fork()
    if asking == 0:

        def work(piece, say):
            (tmp_path / f"{os.getpid()}").touch()
            time.sleep(60)

        list(in_order(work, 4, workers=2))
        os._exit(0)
    deadline = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(asking, signal.SIGKILL)
    os.waitpid(asking, 0)
    pids = [path.name for path in tmp_path.iterdir()]
    assert len(pids) == 2
    while any(Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("tier", ["T0", "T1"])
@pytest.mark.parametrize(
    ("entry", "said"),
    [("numbers", [[n * n for n in range(12)], 3, 5]), ("killed", {"status": 137}), ("hungry", "OutOfMemory")],
)
def test_workers_work_inside_the_sandbox(tier, entry, said):
    limits = Limits(seconds=60, memory=512 << 20)
    roots = [*own().roots, INSIDE]
    with open_cage(tier=tier, mounts=Mounts(), limits=limits, entry=f"sharing:{entry}", import_roots=roots) as cage:
        cage.hand_over(b"order", b"keys")
        assert json.loads(heard(cage)) == said
        assert cage.wait(20) == 0
