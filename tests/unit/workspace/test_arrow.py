"""What an arrow leaves when it fails at a bad moment, and whom it keeps waiting."""

from __future__ import annotations

import contextlib

import pytest

from ringfence.core.errors import (
    AccountFrozen,
    Busy,
    KeysBroken,
    LedgerBroken,
    LedgerUnavailable,
    NotAWorkspace,
    RingfenceError,
    StorageFull,
)
from ringfence.core.order import CheckpointReady
from ringfence.core.settings import Settings
from ringfence.flows.init import init
from ringfence.vault.files import write_files
from ringfence.vault.keys import Passphrase
from ringfence.vault.store import Store
from ringfence.workspace import arrow as arrows
from ringfence.workspace.arrow import Arrow, Plan
from ringfence.workspace.entries import BudgetFrozen, Delete, Made, Outcome, Reserve
from ringfence.workspace.fsck import finish_deletion, fsck
from ringfence.workspace.locks import held, is_free
from ringfence.workspace.space import Workspace

SECRET = Passphrase(b"correct horse battery staple")


class Nothing(Settings):
    """An arrow without settings."""


@pytest.fixture
def space(tmp_path):
    return init(tmp_path / "ws", SECRET)


def training(space, **more):
    plans = {"adapter": Plan("adapter", "adapter"), "checkpoint": Plan("checkpoint", "checkpoint")}
    return Arrow(space, "train", name="clinic", label="public", settings=Nothing(), outputs=plans, **more)


def checkpoint(arrow, step):
    """Write a checkpoint as a child does, and have it committed."""
    write_files(*arrow.output("checkpoint"), {"state": b"weights %d" % step})
    return arrow.commit_checkpoint(CheckpointReady(step=step, loss=0.5))


def interrupted(space):
    """Return a training that stopped after its first checkpoint."""
    with contextlib.suppress(KeyboardInterrupt), training(space) as arrow:
        checkpoint(arrow, 1)
        raise KeyboardInterrupt
    return arrow


def test_nothing_starts_that_the_ledger_cannot_record(space, monkeypatch):
    def append(*_, **__):
        raise LedgerUnavailable

    before, keys = space.ledger.size, space.keys.slots()
    monkeypatch.setattr(space.ledger, "record", append)
    with pytest.raises(LedgerUnavailable), training(space):
        pytest.fail("the arrow began")
    assert list((space.path / "vault" / "incoming").rglob("*")) == []
    after = Workspace.open(space.path, SECRET)
    assert (after.ledger.size, after.keys.slots()) == (before, keys)
    assert fsck(after).broken == []


def delete_all(space):
    """Delete every object as the ledger sees it: announced, shredded, recorded."""
    things = list(space.state.live().values())
    with space.locked():
        space.record(Delete(objects=tuple(thing.made.digest for thing in things)))
        finish_deletion(space, [space.state.things[thing.made.digest] for thing in things])


def committed(path, run_id):
    """Return the run as a new process sees it, after checking that its checkpoint is whole."""
    space = Workspace.open(path, SECRET)
    run = space.state.runs[run_id]
    thing = space.state.live()[run.checkpoint.digest]
    assert thing.made.slot in space.keys.slots()
    assert space.store.check(space.manifest(thing).files, thing.made.slot) == []
    return run


def lock_of(space):
    return space.path / "workspace.lock"


def lock_during(space, monkeypatch, method):
    """Return a list that says, for every call of a method of Store from now on, whether the workspace lock is free."""
    free = []
    really = getattr(Store, method)

    def watched(store, *arguments):
        free.append(is_free(lock_of(space)))
        return really(store, *arguments)

    monkeypatch.setattr(Store, method, watched)
    return free


def patience_from_now(monkeypatch):
    """Return a list of how long every taker of the workspace lock is ready to wait."""
    patience = []
    locked = Workspace.locked

    def watched(self, *, seconds=30.0):
        patience.append(seconds)
        return locked(self, seconds=seconds)

    monkeypatch.setattr(Workspace, "locked", watched)
    return patience


# ── a failure at a bad moment ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at", ["forget", "incoming"])
def test_a_checkpoint_on_record_outlives_an_error_right_after(space, monkeypatch, at):
    def fail(*_):
        raise StorageFull(path="-")

    with pytest.raises(StorageFull), training(space) as arrow:  # noqa: PT012  the arrow is the block
        checkpoint(arrow, 1)
        write_files(*arrow.output("checkpoint"), {"state": b"weights 2"})
        if at == "forget":
            monkeypatch.setattr(arrows, "forget", fail)
        else:
            monkeypatch.setattr(Store, "incoming", fail)
        arrow.commit_checkpoint(CheckpointReady(step=2, loss=0.5))
    monkeypatch.undo()
    run = committed(space.path, arrow.run)
    assert (run.state, run.step, run.code) == ("interrupted", 2, StorageFull.code)
    space.refresh()
    assert fsck(space).broken == []
    assert committed(space.path, arrow.run).step == 2


def test_what_was_never_recorded_is_shredded(space, monkeypatch):
    def fail(*_):
        raise StorageFull(path="-")

    with pytest.raises(StorageFull), training(space) as arrow:  # noqa: PT012  the arrow is the block
        write_files(*arrow.output("checkpoint"), {"state": b"weights"})
        monkeypatch.setattr(arrows, "write_atomic", fail)  # the manifest's: bytes and key are there by now
        arrow.commit_checkpoint(CheckpointReady(step=1, loss=0.5))
    assert space.store.slots() == []
    assert space.keys.slots() == []
    assert space.state.runs[arrow.run].state == "failed"


def test_the_error_that_ended_an_arrow_is_not_replaced(space, monkeypatch):
    def fail(*_, **__):
        raise KeysBroken(file="ring")

    with pytest.raises(ZeroDivisionError), training(space):  # noqa: PT012  the arrow is the block
        monkeypatch.setattr(Workspace, "record", fail)
        raise ZeroDivisionError


def test_a_failure_between_intent_and_work_is_on_record(space, monkeypatch):
    def fail(*_):
        raise StorageFull(path="-")

    monkeypatch.setattr(Store, "incoming", fail)
    arrow = training(space)
    with pytest.raises(StorageFull), arrow:
        raise AssertionError
    run = space.state.runs[arrow.run]
    assert (run.state, run.code) == ("failed", StorageFull.code)
    assert not arrow.folder.exists()


def test_a_second_process_on_the_same_run_touches_nothing(space):
    arrow = interrupted(space)
    run = space.state.runs[arrow.run]
    with contextlib.suppress(KeyboardInterrupt), training(space, resume=run) as first:
        left = sorted(first.incoming.iterdir())
        with pytest.raises(Busy), training(Workspace.open(space.path, SECRET), resume=run):
            raise AssertionError
        assert sorted(first.incoming.iterdir()) == left != []
        raise KeyboardInterrupt


# ── steps of a private run ────────────────────────────────────────────────────────────────────────────────────────────

ACCOUNT = "a" * 64


def opened(space):
    """Put an import on record whose account private runs can spend of."""
    kinds = {"set": "5" * 64, "account": ACCOUNT}
    made = (
        Made(role=kind, digest=digest, manifest="0" * 64, slot="0" * 32, kind=kind, stage="sealed", name="clinic", label="public")
        for kind, digest in kinds.items()
    )
    with Arrow(space, "import", name="clinic", label="public", settings=Nothing()) as arrow, space.locked():
        arrow.conclude(Outcome(run=arrow.run, arrow="import", made=tuple(made), statement="0" * 64))


def private(space):
    reserve = Reserve(account=ACCOUNT, noise_multiplier=1, sampling_rate=0.5, steps=10)
    return training(space, reserve=reserve)


def test_steps_are_granted_up_to_the_reserve_and_spent_at_once(space):
    opened(space)
    with contextlib.suppress(KeyboardInterrupt), private(space) as arrow:
        assert [arrow.lease(4) for _ in range(4)] == [4, 4, 2, 0]
        raise KeyboardInterrupt
    assert space.state.runs[arrow.run].granted == 10
    with contextlib.suppress(KeyboardInterrupt), training(space) as arrow:
        assert arrow.lease(4) == 0  # an ordinary run has none
        raise KeyboardInterrupt


def test_no_step_is_granted_once_the_account_is_frozen_and_the_run_ends_with_that(space):
    opened(space)
    with pytest.raises(AccountFrozen) as refused, private(space) as arrow:  # noqa: PT012  the arrow is the block
        assert arrow.lease(4) == 4
        officer = Workspace.open(space.path, SECRET)
        with officer.locked():
            officer.record(BudgetFrozen(account=ACCOUNT))
        size = officer.ledger.size
        arrow.lease(4)
    assert refused.value.exit_code == 10
    assert [entry["type"] for _, entry in space.ledger.entries(size)] == ["failure"]
    run = space.state.runs[arrow.run]
    assert (run.granted, run.state, run.code) == (4, "failed", "RF-DP-009")


# ── who waits for whom ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_locked_before_anybody_can_see_its_folder(space, monkeypatch):
    seen = []

    @contextlib.contextmanager
    def watched(path, **more):
        seen.append(is_free(lock_of(space)))
        with held(path, **more):
            yield

    monkeypatch.setattr(arrows, "held", watched)
    with pytest.raises(ZeroDivisionError), training(space):
        raise ZeroDivisionError
    assert seen == [False]


def test_checkpoints_are_copied_and_hashed_without_the_workspace_lock(space, monkeypatch):
    free = lock_during(space, monkeypatch, "adopt")
    interrupted(space)
    assert free == [True]


def test_finished_work_waits_for_the_lock_as_long_as_it_takes(space, monkeypatch):
    with contextlib.suppress(KeyboardInterrupt), training(space) as arrow:
        patience = patience_from_now(monkeypatch)
        checkpoint(arrow, 1)
        raise KeyboardInterrupt
    assert patience == [None, None]  # the checkpoint's commit, and the end of the run


def test_fsck_hashes_objects_without_the_workspace_lock(space, monkeypatch):
    interrupted(space)
    free = lock_during(space, monkeypatch, "check")
    report = fsck(space)
    assert (free, report.checked, report.broken) == ([True], 1, [])


def test_fsck_gives_up_before_it_begins_or_not_at_all(space, monkeypatch):
    interrupted(space)
    patience = patience_from_now(monkeypatch)
    fsck(space)
    assert patience == [30.0, None]


def test_what_is_deleted_while_fsck_reads_is_not_called_broken(space, monkeypatch):
    interrupted(space)
    check = Store.check

    def deleted_meanwhile(store, files, slot):
        delete_all(Workspace.open(space.path, SECRET))
        return check(store, files, slot)

    monkeypatch.setattr(Store, "check", deleted_meanwhile)
    assert fsck(space).broken == []


def test_what_is_broken_while_fsck_reads_is_still_called_broken(space):
    arrow = interrupted(space)
    run = committed(space.path, arrow.run)
    (space.store.path(run.checkpoint.slot) / "index").write_bytes(b"x")
    assert len(fsck(space).broken) == 1


# ── opening while somebody commits ────────────────────────────────────────────────────────────────────────────────────


def test_a_deletion_between_reading_ring_and_ledger_is_no_old_ring(space, monkeypatch):
    interrupted(space)
    from ringfence.workspace.space import Ledger

    really = Ledger.open

    def after_a_deletion(*arguments, **more):
        monkeypatch.setattr(Ledger, "open", really)
        space.refresh()
        delete_all(space)
        return really(*arguments, **more)

    monkeypatch.setattr(Ledger, "open", after_a_deletion)
    assert Workspace.open(space.path, SECRET).state.live() == {}


def test_an_old_ring_that_was_put_back_is_found(space):
    interrupted(space)
    kept = {path.name: path.read_bytes() for path in (space.path / "keys").iterdir()}
    delete_all(space)
    for name, data in kept.items():
        (space.path / "keys" / name).write_bytes(data)
    with pytest.raises(KeysBroken):
        Workspace.open(space.path, SECRET)


def test_a_folder_without_settings_is_no_workspace(tmp_path):
    with pytest.raises(NotAWorkspace):
        Workspace.open(tmp_path, SECRET)


def test_a_shortened_ledger_is_found_by_the_ring(space, tmp_path):
    import shutil

    shutil.copytree(space.path / "ledger", tmp_path / "old")
    interrupted(space)
    shutil.rmtree(space.path / "ledger")
    shutil.copytree(tmp_path / "old", space.path / "ledger")
    with pytest.raises(RingfenceError) as caught:
        Workspace.open(space.path, SECRET)
    assert isinstance(caught.value, LedgerBroken)
