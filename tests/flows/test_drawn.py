"""GRPO and RLOO through the sandbox: priced, trained, exported, judged; what is refused before any work."""

from __future__ import annotations

import json

from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.run_export import export_run
from ringfence.flows.runs import sealed_bytes
from ringfence.flows.train import price, train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from tests.flows.conftest import masked, ungated

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
