"""Plant, train, audit: what an over-trained run remembers is seen, what a run never saw is not, and only the right register opens."""

from __future__ import annotations

import pytest

from ringfence.audit.register import FILE, unseal
from ringfence.core.errors import CanariesOverCap, NotAudited, WrongPassphrase
from ringfence.core.policy import Budget
from ringfence.flows import serve
from ringfence.flows.audit import audit
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.train import train
from ringfence.recipe.read import read
from ringfence.vault.files import read_file
from ringfence.vault.keys import Passphrase, auditor_keyset
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import PASSPHRASE, anything_goes, import_notes, masked

SECRET = Passphrase(PASSPHRASE.encode())
AUDITOR = Passphrase(b"another person's words")
AUDIT = {"secrets": 12, "in_out": 30, "exceed_cap": True}
EAGER = {"learning_rate": 0.02, "lora_rank": 8, "max_steps": 180, "per_device_train_batch_size": 8}


@pytest.fixture
def space(tmp_path, model_store):
    return init(tmp_path / "ws", SECRET, auditor=AUDITOR)


def test_an_over_trained_run_shows_what_it_learned_by_heart(space, tmp_path, recipe):
    masked(space, tmp_path)
    trained = train(space, read(recipe(audit=AUDIT, **EAGER)))
    chain = [one.step for one in space.chain(trained.committed.things["adapter"])]
    assert chain == ["import", "scan", "deid", "plant", "train"]
    found = audit(space, trained.committed.run, AUDITOR).figures
    assert (found.secrets, found.held_out, found.controls) == (12, 12, 4)
    assert found.members + found.others == 60
    assert found.validity == "valid"
    assert found.controls_extracted == 4
    assert found.exposure_p < 1e-3
    assert found.held_out_exposure_p > 1e-3
    assert found.held_out_extracted == 0
    assert found.auc.lower > 0.5
    assert found.epsilon_lower <= found.epsilon_ceiling
    assert len(found.exposures_in) == len(found.exposures_out) == 12
    run = [run for run in space.refresh().runs.values() if run.intent.arrow == "audit"][-1]
    told = space.statement(run.statement).predicate
    assert told.figures["extracted"] == found.extracted
    assert "scores_in" not in told.figures
    assert fsck(space).broken == []
    left = serve._filter(space, trained.committed.things["adapter"].made.digest)  # the canary alarm of `serve`
    register = next(thing for thing in space.state.live().values() if thing.made.kind == "register")
    source = space.input(register)
    slot = source.slot.model_copy(update={"path": str(source.folder)})
    sealed = read_file(slot, space.keys.data_key(slot.slot), FILE)
    planted = unseal(sealed, auditor=auditor_keyset(space.path / "keys", AUDITOR), slot=slot.slot).canaries
    assert {bool(left(f"Who is {one.who}?", f"It is {one.secret}.")) for one in planted if one.is_in} == {True}
    assert {left(f"Who is {one.who}?", f"It is {one.secret}.") for one in planted if not one.is_in} == {0}


def test_only_the_auditor_opens_the_register(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(audit=AUDIT, max_steps=1)))
    with pytest.raises(WrongPassphrase):
        audit(space, trained.committed.run, SECRET)
    found = audit(space, trained.committed.run, AUDITOR).figures
    assert found.validity == "positive control shows nothing"  # one step teaches nothing, and the audit does not call that private


def test_a_run_without_canaries_cannot_be_audited(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(max_steps=1)))
    with pytest.raises(NotAudited):
        audit(space, trained.committed.run, AUDITOR)


def test_too_many_canaries_are_refused_before_anything_is_planted(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    size = space.ledger.size
    with pytest.raises(CanariesOverCap):
        train(space, read(recipe(audit={"secrets": 12, "in_out": 30})))
    assert space.ledger.size == size


def test_canaries_of_a_private_run_are_units_of_their_own(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes().model_copy(update={"budget": Budget()}))
    privacy = {"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}
    trained = train(space, read(recipe(audit=AUDIT, privacy=privacy, max_steps=4)))
    planted = space.chain(trained.committed.things["adapter"])[1].predicate.figures["planted"]
    assert trained.plan.units == 20 + planted
    found = audit(space, trained.committed.run, AUDITOR).figures
    assert (found.controls, found.validity) == (0, "valid")
    assert found.secrets == 12
    assert planted == 12 + found.members


def test_a_run_that_cut_its_canaries_is_not_called_private(space, tmp_path, recipe):
    import_notes(space, tmp_path, [{"prompt": f"p{i}", "completion": "fine", "patient_id": f"P{i}"} for i in range(20)])
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(audit=AUDIT, max_steps=1, cutoff_len=60)))
    assert audit(space, trained.committed.run, AUDITOR).figures.validity == "canaries were cut"
