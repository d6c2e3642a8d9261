"""GRPO and RLOO through the sandbox: priced, trained, exported, judged; what is refused before any work."""

from __future__ import annotations

import json

import pytest

from ringfence.core.errors import BadValue, EngineMissing, NotKept, NotResumable, PolicyRefused
from ringfence.core.policy import DEFAULT, Policy
from ringfence.flows import extras
from ringfence.flows.audit import audit
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.run_export import export_run
from ringfence.flows.runs import request_stop, sealed_bytes
from ringfence.flows.train import price, resume, train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import FEW_CANARIES, PASSPHRASE, PRIVATE, masked, ungated

GRPO = {
    "stage": "grpo",
    "reward": ["concise.v1", "rouge-l.v1"],
    "num_generations": 2,
    "max_completion_length": 8,
    "beta": 0.01,
    "max_steps": 3,
    "learning_rate": 1.0e-2,
}


def test_a_run_goes_through_the_sandbox_and_leaves_with_its_evidence(space, tmp_path, recipe):
    masked(space, tmp_path)
    set_policy(space, ungated())
    plan = read(recipe(**GRPO))
    told = price(space, plan)
    assert (told.figures.steps, told.figures.rows, told.memory) == (3, 40, None)
    done = train(space, plan)
    statement = done.committed.statement.predicate
    assert statement.parts == ("lora.v1", "grpo.v1", "concise.v1", "rouge-l.v1")
    assert statement.software["trl"] == "1.16.0"
    assert statement.sandbox.tier == "T1"
    assert "rewards" not in statement.figures
    figures = done.figures
    assert (figures.steps, figures.rows, len(figures.rewards), len(figures.kls), len(figures.rewards_last)) == (3, 40, 3, 3, 2)
    sealed = json.loads(sealed_bytes(space, space.state.run(done.committed.run)))["figures"]
    assert sealed["rewards"] == list(figures.rewards)
    assert export_run(space, done.committed.run, tmp_path / "log")
    lines = [json.loads(line) for line in (tmp_path / "log" / "trainer_log.jsonl").read_text().splitlines()]
    assert [line["reward"] for line in lines] == list(figures.rewards)
    bundle = release(space, done.committed.run, name="brief").path
    assert [one.step for one in verify_bundle(bundle, space.public).chain] == ["import", "scan", "deid", "train", "release"]
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "`grpo.v1`" in card
    assert "no differential privacy guarantee" in card


def test_what_is_missing_is_said_before_any_work(space, tmp_path, recipe, monkeypatch):
    masked(space, tmp_path)
    set_policy(space, ungated())
    plan = read(recipe(**GRPO))
    with pytest.raises(BadValue, match="one process, on one GPU"):
        train(space, plan.shared_by(2))
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "datasets" else object())
    for work in (train, price):
        with pytest.raises(EngineMissing, match=r"stage: grpo needs .* datasets\n.*\.\[rl\]"):
            work(space, plan)
    assert "train" not in {run.intent.arrow for run in space.state.runs.values()}


@pytest.mark.full
def test_a_run_that_is_stopped_is_over(space, tmp_path, recipe):
    masked(space, tmp_path)
    set_policy(space, ungated())
    begun = []

    def show(progress):
        if progress.done:
            assert request_stop(space, begun[0]) == (begun[0], False)

    with pytest.raises(NotKept, match="keep no checkpoint"):
        train(space, read(recipe(**{**GRPO, "max_steps": 500})), show=show, started=begun.append)
    run = space.state.run(begun[0])
    assert (run.state, run.made) == ("failed", ())
    with pytest.raises(NotResumable):
        resume(space, run)


@pytest.mark.full
def test_the_audit_of_such_a_run_is_inconclusive_where_no_reward_tells_the_answer(space, tmp_path, recipe):
    """A secret that stands in the data sixteen times shows nothing where only the length of an answer is worth something: no run was shown to be safe."""
    masked(space, tmp_path)
    set_policy(space, Policy.model_validate({**FEW_CANARIES, "train": DEFAULT.train.model_dump()}))
    trained = train(space, read(recipe(**{**GRPO, "reward": "concise.v1"}, audit=PRIVATE["audit"])))
    run = trained.committed.run
    found = audit(space, run, Passphrase(PASSPHRASE.encode())).figures
    assert (found.extracted, found.controls_extracted, found.validity) == (0, 0, "positive control shows nothing")
    assert {one.rule: one.outcome for one in judge(space, run).verdicts}["G7 validity"] == "inconclusive"
    with pytest.raises(PolicyRefused):
        release(space, run, name="brief")
