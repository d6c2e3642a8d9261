"""The chain: every arrow joins, the policy refuses what it must, and what was released can be checked and asked."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from ringfence.core.errors import Busy, Interrupted, NothingToKeep, NotResumable, PolicyChanged, PolicyRefused, TierMissing, UnknownName
from ringfence.core.policy import DeidRule, Policy, Require, ScanRule, TrainRules
from ringfence.core.statement import SelfTest
from ringfence.deid.profile import settings_for
from ringfence.flows.data import delete, foresee
from ringfence.flows.deid import deidentify
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.scan import keep, scan
from ringfence.flows.train import price, train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.scan.settings import KeepSettings, ScanSettings
from ringfence.workspace.arrow import Arrow
from ringfence.workspace.entries import Delete, Outcome
from ringfence.workspace.fsck import finish_deletion, fsck
from tests.flows.conftest import anything_goes, import_notes, masked, notes, reopen, rows_of


def test_under_the_default_policy_an_unmasked_set_is_not_trained(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    scan(space, "clinic", settings=ScanSettings())
    before = space.ledger.size
    with pytest.raises(PolicyRefused) as caught:
        train(space, read(recipe()))
    assert caught.value.exit_code == 11
    assert "deid missing" in str(caught.value)
    assert "scan missing" not in str(caught.value)
    assert space.ledger.size == before


@pytest.mark.full
def test_a_run_of_a_looser_day_is_not_released_under_the_default_policy(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    done = train(space, read(recipe(max_steps=2)))
    set_policy(space, Policy())
    with pytest.raises(PolicyRefused) as caught:
        release(space, done.committed.run, name="lora")
    assert "scan missing" in str(caught.value)
    assert "deid missing" in str(caught.value)
    assert not (space.path / "releases" / "lora").exists()
    failed = [run for run in space.state.runs.values() if run.intent.arrow == "release"]
    assert [run.code for run in failed] == ["RF-POLICY-001"]
    assert fsck(space).is_sound


def test_a_set_that_is_only_evaluated_needs_a_chain_too(space, tmp_path, recipe):
    masked(space, tmp_path)
    import_notes(space, tmp_path, notes(8), name="heldout")
    plan = read(recipe(eval_dataset="heldout"))
    for go in (train, price):
        with pytest.raises(PolicyRefused) as caught:
            go(space, plan)
        assert "deid missing" in str(caught.value)
        assert "run ringfence scan heldout first" in caught.value.sentences("en")[1]


@pytest.mark.full
def test_a_run_works_where_its_strictest_set_asks(space, tmp_path, recipe, monkeypatch):
    import_notes(space, tmp_path, notes(8), label="public")
    import_notes(space, tmp_path, notes(8), name="heldout", label="sensitive")
    set_policy(space, Policy(train=TrainRules(require=Require(), min_sandbox="T0")))

    def missing():
        raise TierMissing(tier="T1", problem="-")

    monkeypatch.setattr("ringfence.flows.gate.probe", missing)
    for go in (train, price):
        with pytest.raises(TierMissing):
            go(space, read(recipe(eval_dataset="heldout")))
    assert train(space, read(recipe(max_steps=1))).committed.statement.predicate.sandbox.tier == "T0"


def test_ctrl_c_during_a_commit_stops_the_next_step(space, tmp_path, monkeypatch):
    """As in a command of several steps: what is committed stays and is told as done; nothing more is begun."""
    record = space.record

    def struck(entry):
        if isinstance(entry, Outcome):
            os.kill(os.getpid(), signal.SIGINT)
        return record(entry)

    with monkeypatch.context() as patch:
        patch.setattr(space, "record", struck)
        import_notes(space, tmp_path, notes(8))
        with pytest.raises(KeyboardInterrupt):
            scan(space, "clinic", settings=ScanSettings())
    assert [(run.intent.arrow, run.state) for run in space.refresh().runs.values()] == [("import", "done")]
    assert fsck(space).mended == []
    scan(space, "clinic", settings=ScanSettings())


@pytest.mark.full
def test_the_price_of_memory_is_what_the_run_takes(space, tmp_path, recipe):
    """Of this small model it is mostly torch; benchmarks/price.py compares both figures on a real one."""
    masked(space, tmp_path)
    plan = read(recipe(max_steps=6))
    told, taken = price(space, plan).figures, train(space, plan).figures
    assert told.peak_memory == pytest.approx(taken.peak_memory, rel=0.3)
    assert taken.peak_memory > 100e6


def test_a_policy_set_while_the_bundle_is_written_stops_it(copy, monkeypatch):
    from ringfence.flows import release as module

    folder, run_id, _ = copy
    space = reopen(folder)
    write = module.write_bundle

    def set_meanwhile(*arguments, **more):
        set_policy(reopen(folder), Policy(train=TrainRules(min_sandbox="T0")))
        return write(*arguments, **more)

    monkeypatch.setattr(module, "write_bundle", set_meanwhile)
    with pytest.raises(PolicyChanged):
        release(space, run_id, name="late")
    assert [path.name for path in (folder / "releases").iterdir()] == ["lora"]
    monkeypatch.undo()
    assert release(reopen(folder), run_id, name="late").path.is_dir()


def test_the_whole_chain_is_in_the_evidence(finished):
    folder, run_id, bundle = finished
    space = reopen(folder)
    adapter = next(one for one in space.state.run(run_id).made if one.kind == "adapter")
    chain = space.chain(space.state.things[adapter.digest])
    assert [s.step for s in chain] == ["import", "scan", "deid", "train"]
    for statement in chain:
        assert statement.predicate.label == "sensitive"
        assert statement.predicate.sandbox.tier == "T1"
        assert isinstance(statement.predicate.sandbox.self_test, SelfTest)
        assert statement.predicate.sandbox.self_test.failures() == []
    assert chain[2].predicate.figures["survivors"] == 0
    report = verify_bundle(bundle, space.public)
    assert [s.outcome for s in report.steps] == ["pass"] * len(report.steps)
    assert fsck(space).broken == []


def test_originals_are_gone_and_surrogates_are_consistent(space, tmp_path):
    rows = notes(6)
    rows[5]["prompt"] += " again p0@clinic.internal"
    _, figures = masked(space, tmp_path, rows)
    assert figures.survivors == 0
    texts = [text for record in rows_of(space, "clinic") for text in record.texts]
    joined = "\n".join(texts)
    assert "clinic.internal" not in joined
    assert "1380013" not in joined
    first = next(word for word in texts[0].replace(",", " ").split() if "@" in word)
    assert sum(first in text for text in texts) == 2
    assert all(not record.fields for record in rows_of(space, "clinic"))
    assert [record.fields for record in rows_of(space, "clinic@sealed")] == [{"patient_id": f"P{i // 2}"} for i in range(6)]


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (Require(scan=ScanRule(), deid=DeidRule(profile="another")), "deid profile"),
        (Require(scan=ScanRule(parts=("unicode.v9",))), "part version"),
        (Require(deid=DeidRule(parts=("email.v9",))), "part version"),
    ],
)
def test_a_policy_that_names_other_versions_refuses_the_release_without_retraining(copy, rules, rule):
    folder, run_id, _ = copy
    space = reopen(folder)
    set_policy(space, Policy(train=TrainRules(require=rules)))
    with pytest.raises(PolicyRefused) as caught:
        release(space, run_id, name="second")
    assert rule in str(caught.value)
    set_policy(space, Policy())
    assert release(space, run_id, name="second").path.is_dir()


@pytest.mark.full
def test_a_profile_of_the_tenant_is_told_from_the_built_in_one(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    scan(space, "clinic", settings=ScanSettings())
    (tmp_path / "mail-only.json").write_text('{"recognisers": ["email.v1"]}', encoding="utf-8")
    mail_only = settings_for(str(tmp_path / "mail-only.json"))
    deidentify(space, "clinic", settings=mail_only)
    set_policy(space, Policy(train=TrainRules(require=Require(deid=DeidRule(profile="default")))))
    with pytest.raises(PolicyRefused, match="deid profile"):
        train(space, read(recipe()))
    set_policy(space, Policy(train=TrainRules(require=Require(deid=DeidRule(profile=mail_only.profile)))))
    assert train(space, read(recipe(max_steps=1))).figures.steps == 1


def test_flagged_rows_go_to_quarantine_and_come_back_on_record(space, tmp_path):
    rows = notes(60)
    rows[3]["prompt"] += " \U000e0041\U000e0042\u202e"
    import_notes(space, tmp_path, rows)
    _, figures = scan(space, "clinic", settings=ScanSettings())
    assert (figures.cleared, figures.flagged) == (59, 1)
    assert len(rows_of(space, "clinic")) == 59
    _, kept = keep(space, "clinic", settings=KeepSettings())
    assert kept.cleared == 60
    assert [r.texts for r in rows_of(space, "clinic@cleared")] == [r.texts for r in rows_of(space, "clinic@sealed")]
    assert any(run.intent.arrow == "keep" for run in space.state.runs.values())


def test_a_quarantine_is_no_stand_in_for_a_cleared_set(space, tmp_path, recipe):
    rows = notes(40)
    rows[3]["prompt"] += " \U000e0041\U000e0042\u202e"
    import_notes(space, tmp_path, rows)
    scan(space, "clinic", settings=ScanSettings())
    deidentify(space, "clinic@quarantine", settings=settings_for("default"))
    with pytest.raises(PolicyRefused, match="chain broken"):
        train(space, read(recipe()))


def test_a_run_that_another_process_finished_stays_finished(copy, recipe):
    folder, run_id, _ = copy
    space = reopen(folder)
    size = space.ledger.size
    stale = space.state.run(run_id)
    with pytest.raises(NotResumable), Arrow(space, "train", name="clinic", label="sensitive", settings=KeepSettings(), resume=stale):
        pass
    assert reopen(folder).ledger.size == size
    assert reopen(folder).state.run(run_id).state == "done"


def test_there_is_nothing_to_keep_before_a_scan(space, tmp_path):
    import_notes(space, tmp_path)
    with pytest.raises((NothingToKeep, UnknownName)):
        keep(space, "clinic", settings=KeepSettings())


def test_names_pick_the_newest_import(space, tmp_path):
    masked(space, tmp_path)
    old = space.state.resolve("clinic").made.digest
    import_notes(space, tmp_path, notes(10))
    assert space.state.resolve("clinic").made.stage == "sealed"
    assert len(rows_of(space, "clinic")) == 10
    assert space.state.resolve(old).made.stage == "masked"
    with pytest.raises(UnknownName):
        space.state.resolve("nobody")


@pytest.mark.full
def test_evaluation_measures_before_and_after(space, tmp_path, recipe):
    masked(space, tmp_path)
    masked(space, tmp_path, notes(8), name="heldout")
    done = train(space, read(recipe(eval_dataset="heldout", max_steps=3)))
    assert done.figures.eval_rows == 8
    assert done.figures.eval_before != done.figures.eval_after


def test_a_deletion_says_what_was_made_of_the_set_and_takes_it_along_on_request(copy, cli):
    folder, _, bundle = copy
    space = reopen(folder)
    named = {(thing.made.stage, thing.run.partition("-")[0]): digest for digest, thing in space.state.live().items()}
    code, answer = cli("data", "delete", "clinic@masked", "--yes", workspace=folder)
    assert (code, answer["deleted"]) == (0, [named["masked", "deid"]])
    left = {named["adapter", "train"], named["figures", "train"], named["spans", "deid"], named["figures", "deid"]}
    assert set(answer["still_there"]) == left  # what was made from it, and beside it
    assert answer["bundles"] == {"still_there": ["lora"]}
    code, answer = cli("data", "delete", named["spans", "deid"][:12], "--yes", workspace=folder)  # as the list shows it
    assert (code, answer["deleted"]) == (0, [named["spans", "deid"]])
    code, answer = cli("data", "delete", "clinic@sealed", "--derived", "--yes", workspace=folder)
    assert code == 0
    assert answer["still_there"] == []
    assert answer["bundles"] == {"removed": ["lora"]}
    assert not bundle.exists()
    after = reopen(folder)
    assert {thing.made.kind for thing in after.state.live().values()} == {"account"}
    assert fsck(after).broken == []


def test_only_a_set_can_be_trained_on_whatever_digest_is_named(space, tmp_path, recipe):
    masked(space, tmp_path, notes(8))
    for kind in ("spans", "figures", "account"):
        digest = next(digest for digest, thing in space.state.live().items() if thing.made.kind == kind)
        for text in (digest, digest[:12]):
            with pytest.raises(UnknownName):
                train(space, read(recipe(dataset=text)))
            assert space.state.find(text).made.kind == kind


def test_what_is_made_while_the_question_waits_goes_along(space, tmp_path):
    import_notes(space, tmp_path, notes(4))
    thing = space.state.resolve("clinic")
    assert [one.made.kind for one in foresee(space, [thing], with_derived=True).going] == ["set", "figures"]
    scan(reopen(space.path), "clinic", settings=ScanSettings())
    assert "cleared" in {one.made.stage for one in delete(space, [thing], with_derived=True).going}
    assert {left.made.kind for left in reopen(space.path).state.live().values()} == {"account"}


def interrupted(space, tmp_path, recipe):
    """Return a training that stopped at a checkpoint."""
    masked(space, tmp_path, notes(16))
    plan = read(recipe(max_steps=5000, save_steps=1))

    asked = []

    def stop(progress):
        if progress.done >= 2 and not asked:
            asked.append(True)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(space, plan, show=stop)
    run = next(run for run in space.refresh().runs.values() if run.intent.arrow == "train")
    assert run.checkpoint
    return run


@pytest.mark.full
def test_a_deletion_ends_unfinished_trainings_on_the_set_and_takes_their_checkpoints(space, tmp_path, recipe):
    run = interrupted(space, tmp_path, recipe)
    done = delete(space, [space.state.resolve("clinic@sealed")], with_derived=True)
    assert done.runs == (run.id,)
    after = reopen(space.path)
    assert (after.state.runs[run.id].state, after.state.runs[run.id].code) == ("failed", "RF-VAULT-003")
    assert run.checkpoint.slot not in after.keys.slots()
    assert run.checkpoint.slot not in after.store.slots()
    assert fsck(after).mended == []


@pytest.mark.full
def test_fsck_closes_a_training_whose_input_went_without_it(space, tmp_path, recipe):
    run = interrupted(space, tmp_path, recipe)
    thing = space.state.resolve("clinic@masked:default")
    with space.locked():
        space.record(Delete(objects=(thing.made.digest,)))
        finish_deletion(space, [space.state.things[thing.made.digest]])
    assert len(fsck(space).mended) == 1
    assert reopen(space.path).state.runs[run.id].state == "failed"
    assert run.checkpoint.slot not in space.keys.slots()


def test_a_set_that_a_run_works_on_is_not_deleted(space, tmp_path):
    import_notes(space, tmp_path, notes(4))
    thing = space.state.resolve("clinic")
    before = space.ledger.size
    working = Arrow(space, "scan", name="clinic", label="sensitive", settings=ScanSettings(), inputs={"set": thing})
    with contextlib.suppress(KeyboardInterrupt), working:
        with pytest.raises(Busy):
            delete(reopen(space.path), [thing])
        raise KeyboardInterrupt
    assert space.refresh().live()[thing.made.digest]
    assert space.ledger.size == before + 2
    delete(space, [thing])
