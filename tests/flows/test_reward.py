"""A reward model on the whole way: learned from compared answers, audited by its scores, evaluated as a judge, released, loaded by its card; it writes nothing."""

from __future__ import annotations

import json
import re

import pytest
import torch

from ringfence.core.errors import BadArgument, BadValue, OnlyScores
from ringfence.core.policy import DEFAULT, Policy
from ringfence.flows import chat, serve
from ringfence.flows.audit import audit
from ringfence.flows.eval import evaluate
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.train import train
from ringfence.models import store as models
from ringfence.models.chat import chat_of
from ringfence.models.load import load
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.train.adapter import CONFIG
from ringfence.train.judge import Judge
from ringfence.train.restore import with_bundle
from ringfence.train.settings import RuntimeHints
from tests.flows.conftest import FEW_CANARIES, PRIVATE, import_notes, masked, notes, ungated
from tests.flows.test_preference import SECRET, compared

EXACT = RuntimeHints(dtype="float32")
RM = {"stage": "rm", "learning_rate": 1.0e-2, "max_steps": 12, "lora_rank": 4}


@pytest.mark.full
def test_a_private_reward_model_goes_through_audit_gate_and_bundle_and_is_read_as_its_card_says(space, tmp_path, recipe, capsys):
    masked(space, tmp_path, compared())
    set_policy(space, Policy.model_validate({**FEW_CANARIES, "train": DEFAULT.train.model_dump()}))
    trained = train(space, read(recipe(**RM, **PRIVATE)))
    run = trained.committed.run
    assert "rm.v1" in trained.committed.statement.predicate.parts

    found = audit(space, run, SECRET).figures
    assert (found.secrets, found.held_out, found.members + found.others, found.rows) == (12, 12, 80, 40)
    assert (found.validity, found.spans_state, found.rows_tried + found.rows_short) == ("valid", "tried", 40)
    told = {one.rule: one.outcome for one in judge(space, run).verdicts}
    assert told["G5 replay"] == told["G6 spans"] == "pass"  # tried under the base's own head

    for asked in ({"formats": ["merged"]}, {"guard": True}):
        with pytest.raises(BadArgument, match="reward model"):
            release(space, run, name="judge", **asked)
    bundle = release(space, run, name="judge").path
    report = verify_bundle(bundle, space.public)
    assert [one.step for one in report.chain][-3:] == ["train", "audit", "release"]
    for open_ in (
        lambda: chat.from_workspace(space, run),
        lambda: chat.from_workspace(space, "judge"),
        lambda: serve.from_workspace(space, ["judge"]),
    ):
        with pytest.raises(OnlyScores, match="reward model"):
            open_()
    config = json.loads((bundle / CONFIG).read_text())
    assert (config["task_type"], config["modules_to_save"]) == ("SEQ_CLS", ["score"])
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    model = models.verify("tiny")
    names = {}
    exec(code.replace('"tiny", "judge"', f"{str(model.path)!r}, {str(bundle)!r}"), names)
    own = load(model.path, dtype=torch.float32, device="cpu")
    ours = Judge(with_bundle(own, bundle), most=256)
    said = ours.read(chat_of(("user", "assistant"), ("Cough for three days?", "Rest, and drink.")))
    assert float(ours.rewards([said])[0]) == pytest.approx(names["reward"], abs=1e-5)
    assert names["reward"] != 0
    capsys.readouterr()


@pytest.mark.full
def test_run_and_bundle_are_evaluated_as_judges_and_the_card_tells_how_well_they_judge(space, tmp_path, recipe, cli):
    masked(space, tmp_path, compared())
    masked(space, tmp_path, [{**row, "patient_id": f"W{n}"} for n, row in enumerate(compared(30))], name="ward")
    set_policy(space, ungated())
    trained = train(space, read(recipe(**{**RM, "max_steps": 3}, eval_dataset="ward", bf16=False)))
    run, figures = trained.committed.run, trained.figures
    assert figures.eval_after < figures.eval_before
    judged = evaluate(space, run, "ward", hints=EXACT).figures
    assert (judged.rows_scored, judged.units_scored, judged.perplexity, judged.rouge_l, judged.rows_answered) == (30, 30, None, None, 0)
    assert judged.loss.tuned.value == pytest.approx(figures.eval_after, rel=1e-3)
    assert judged.loss.base.value == pytest.approx(figures.eval_before, rel=1e-3)  # the head with which training began
    assert judged.accuracy.tuned.lower <= judged.accuracy.tuned.value <= judged.accuracy.tuned.upper <= 1
    code, told = cli("eval", run, "--data", "ward", workspace=space.path)
    assert code == 0, told
    assert told["accuracy"]["tuned"]["value"] == pytest.approx(judged.accuracy.tuned.value, abs=0.1)
    import_notes(space, tmp_path, notes(4), name="plain")
    with pytest.raises(BadArgument, match="pairs"):
        evaluate(space, run, "plain")
    bundle = release(space, run, name="judge").path
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "| pairs whose preferred answer scores higher |" in card
    assert "loss per pair" in card
    again = evaluate(space, "judge", "ward", hints=EXACT).figures
    assert again.margin.tuned.value == pytest.approx(judged.margin.tuned.value, rel=1e-3)
    assert again.margin.base.value == pytest.approx(judged.margin.base.value, rel=1e-3)


def test_a_recipe_that_makes_no_sense_for_a_reward_model_is_refused_before_work(space, tmp_path, recipe):
    masked(space, tmp_path)
    with pytest.raises(BadValue, match="prompt, chosen"):
        train(space, read(recipe(**RM)))
    with pytest.raises(BadValue, match="stage: rm"):
        read(recipe(**{**RM, "finetuning_type": "full", "lora_rank": None}))
