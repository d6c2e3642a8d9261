"""Rows with two compared answers: imported, masked, learned from by every objective that compares, audited, judged and released."""

from __future__ import annotations

import pytest

from ringfence.audit.canaries import draw, pair_of
from ringfence.audit.settings import AuditSettings
from ringfence.core.errors import BadValue, PolicyRefused
from ringfence.core.policy import DEFAULT, Policy
from ringfence.flows.audit import audit
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.train import train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import FEW_CANARIES, PASSPHRASE, PRIVATE, masked, notes, rows_of, ungated

SECRET = Passphrase(PASSPHRASE.encode())
DPO = {"stage": "dpo", "learning_rate": 1.0e-2, "max_steps": 12, "lora_rank": 4}


def compared(count=40):
    """Rows whose worse answer names the patient's mail."""
    return [
        {
            "prompt": row["prompt"],
            "chosen": row["completion"],
            "rejected": f"Write to p{n}@clinic.internal.",
            "patient_id": row["patient_id"],
        }
        for n, row in enumerate(notes(count))
    ]


@pytest.mark.full
def test_both_answers_are_masked_and_a_run_learns_which_one_is_better(space, tmp_path, recipe):
    masked(space, tmp_path, compared())
    set_policy(space, ungated())
    rows = rows_of(space, "clinic")
    assert {row.roles for row in rows} == {("user", "chosen", "rejected")}
    assert not [text for row in rows for text in row.texts if "@clinic.internal" in text]
    done = train(space, read(recipe(**DPO, eval_dataset="clinic")))
    assert done.figures.loss_first == pytest.approx(0.6931, abs=1e-3)  # no margin yet
    assert done.figures.eval_before == pytest.approx(0.6931, abs=1e-3)
    assert done.figures.eval_after < 0.6
    bundle = release(space, done.committed.run, name="better").path
    assert [one.step for one in verify_bundle(bundle, space.public).chain] == ["import", "scan", "deid", "train", "release"]


@pytest.mark.parametrize("private", [True, pytest.param(False, marks=pytest.mark.full)], ids=["private", "ordinary"])
def test_such_a_run_goes_through_audit_gate_and_bundle(private, space, tmp_path, recipe):
    masked(space, tmp_path, compared())
    changes = PRIVATE if private else {"audit": PRIVATE["audit"]}
    if private:
        set_policy(space, Policy.model_validate({**FEW_CANARIES, "train": DEFAULT.train.model_dump()}))
    else:
        set_policy(space, DEFAULT)
    trained = train(space, read(recipe(**DPO, **changes)))
    run, adapter = trained.committed.run, trained.committed.things["adapter"]
    chain = space.chain(adapter)
    assert [one.step for one in chain] == ["import", "scan", "deid", "plant", "train"]
    rows = rows_of(space, chain[-1].predicate.inputs["set"])
    assert {row.kind for row in rows} == {"preference"}
    assert len(rows) == 40 + chain[-2].predicate.figures["planted"]
    found = audit(space, run, SECRET).figures
    assert (found.secrets, found.held_out, found.members + found.others, found.rows) == (12, 12, 80, 40)
    judged = judge(space, run)
    told = {one.rule: one.outcome for one in judged.verdicts}
    assert told["chain broken"] == told["audit unrelated"] == "pass"
    limits = {told["G1 secret extraction"], told["G3 membership"]}
    assert limits == {"pass"} if private else "pass" not in limits, (
        told
    )  # of an ordinary run so few canaries show much, or nothing: by chance
    if private:
        bundle = release(space, run, name="better").path
        report = verify_bundle(bundle, space.public)
        assert [one.step for one in report.chain] == [*(one.step for one in chain), "audit", "release"]
        assert "`dpo.v1`" in (bundle / "README.md").read_text(encoding="utf-8")
    else:
        with pytest.raises(PolicyRefused):
            release(space, run, name="better")


def test_a_canary_is_preferred_to_the_same_answer_with_another_code():
    for canary in draw(AuditSettings(secrets=20, in_out=20), control=True, chinese=0.5).canaries:
        record = pair_of(canary)
        begin, end = canary.span
        question, chosen, rejected = record.texts
        assert (question, chosen) == (canary.prompt, canary.completion)
        assert (rejected[:begin], rejected[end:]) == (chosen[:begin], chosen[end:])
        assert rejected[begin:end].isdigit()
        assert rejected != chosen
        assert pair_of(canary).texts == record.texts  # a control says the same each time


def judged(count=40):
    """Rows whose answer people liked or did not."""
    return [{**row, "kto_tag": n % 2 == 0} for n, row in enumerate(notes(count))]


@pytest.mark.full
def test_a_run_learns_from_judged_answers(space, tmp_path, recipe):
    masked(space, tmp_path, judged())
    set_policy(space, ungated())
    rows = rows_of(space, "clinic")
    assert [row.roles[-1] for row in rows] == ["liked", "disliked"] * 20
    kto = {**DPO, "stage": "kto"}
    done = train(space, read(recipe(**kto)))
    assert done.figures.loss_first == pytest.approx(0.5, abs=1e-3)  # nothing gained yet
    assert done.figures.loss_last < 0.5
    assert done.figures.rows == 40
    with pytest.raises(BadValue, match="prompt, chosen"):
        train(space, read(recipe(**DPO)))


@pytest.mark.full
def test_a_private_run_over_judged_answers_plants_liked_ones_and_leaves(space, tmp_path, recipe):
    masked(space, tmp_path, judged())
    set_policy(space, Policy.model_validate({**FEW_CANARIES, "train": DEFAULT.train.model_dump()}))
    trained = train(space, read(recipe(**{**DPO, "stage": "kto", "pref_loss": "apo_zero"}, **PRIVATE)))
    rows = rows_of(space, space.chain(trained.committed.things["adapter"])[-1].predicate.inputs["set"])
    assert {row.kind for row in rows} == {"feedback"}
    audit(space, trained.committed.run, SECRET)
    assert verify_bundle(release(space, trained.committed.run, name="liked").path, space.public).verdicts
    only_liked = train(space, read(recipe(max_steps=2)))
    assert (only_liked.figures.rows, only_liked.figures.dropped) == (20, 20)
