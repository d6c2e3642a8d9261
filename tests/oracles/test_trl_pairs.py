"""Every objective over compared or judged answers against TRL: each step of its DPOTrainer, KTOTrainer or RewardTrainer, each pair of a batch of its CPO and ORPO losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ringfence.models.load import choose_attention, load_model
from ringfence.models.tiny import write_tiny_model
from ringfence.train.batches import Shuffled
from ringfence.train.data import Corpus, Example, Tokens, collate
from ringfence.train.loop import train
from ringfence.train.objective import OBJECTIVES
from ringfence.train.schedule import rows_of_step
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer
from tests.oracles.test_trl import ACCUMULATED, CLOSE, PLAIN, Nobody, move, said_by_trl

STEPS = {  # TRL's name, settings
    "dpo.v1": ("sigmoid", {}),
    "dpo.v1, accumulated": ("sigmoid", ACCUMULATED),
    "hinge.v1": ("hinge", {}),
    "ipo.v1": ("ipo", {"pref_beta": 0.5}),
    "apo-zero.v1": ("apo_zero", {}),
}


def pairs(count, *, question=None):
    """Rows whose two answers share a question, drawn from the byte tokens of the tiny model."""
    drawn = np.random.default_rng(8)

    def tokens(least, most):
        return drawn.integers(3, 259, int(drawn.integers(least, most))).tolist()

    return [
        {
            "prompt_ids": tokens(4, 40) if question is None else tokens(question, question + 1),
            "chosen_ids": tokens(2, 50),
            "rejected_ids": tokens(2, 50),
        }
        for _ in range(count)
    ]


def example(row):
    asked = row["prompt_ids"]
    both = [np.array(asked + row[name], dtype=np.int32) for name in ("chosen_ids", "rejected_ids")]
    first, second = (Tokens(ids, np.arange(len(ids)) >= len(asked)) for ids in both)
    return Example(*first, other=second)


def trainer_of(folder, settings, rows):
    attention = choose_attention("auto", device="cpu", longest=max(row.longest for row in rows))
    return Trainer(
        load_model(folder, dtype=torch.float32, device="cpu", attention=attention), settings, hints=RuntimeHints(), padding=0, device="cpu"
    )


def assert_same_steps(name, trainer, rows, theirs, say):
    ours = train(trainer, Shuffled(trainer.settings, Corpus(rows, dropped=0, truncated=0)), channel=Nobody()).history.losses
    apart = [abs(mine - other) for mine, other in zip(ours, theirs["losses"], strict=True)]
    say(f"{name}: {len(ours)} steps, loss {ours[0]:.4f} to {ours[-1]:.4f}, furthest {max(apart):.2e}")
    assert theirs["logged"] == pytest.approx(theirs["losses"], abs=1e-3)  # what we took from TRL is what it says of itself
    assert max(apart) <= CLOSE
    assert max(ours) - min(ours) > 100 * CLOSE


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", STEPS)
def test_every_step_has_the_loss_of_trls_trainer(case, other_side, tmp_path, say):
    loss_type, changes = STEPS[case]
    settings = TrainSettings.model_validate(
        {**PLAIN.model_dump(), **changes, "objective": case.partition(",")[0], "train_on_prompt": False}
    )
    folder, written = write_tiny_model(tmp_path / "model"), pairs(24)
    rows = [example(row) for row in written]
    trainer = trainer_of(folder, settings, rows)
    rows = trainer.refer(rows)  # of the base, as TRL with a fresh adapter
    move(trainer)
    order = [i for step in range(settings.max_steps) for i in rows_of_step(settings, len(rows), step)]
    theirs = said_by_trl(other_side, tmp_path, trainer, loss_type, [written[i] for i in order])
    assert_same_steps(case, trainer, rows, theirs, say)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("changes", [{}, ACCUMULATED], ids=["whole batches", "accumulated"])
def test_every_step_of_a_reward_model_has_the_loss_of_trls_trainer(changes, other_side, tmp_path, say):
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), **changes, "objective": "rm.v1", "train_on_prompt": False})
    folder, written = write_tiny_model(tmp_path / "model"), pairs(24)
    rows = [example(row) for row in written]
    trainer = trainer_of(folder, settings, rows)
    move(trainer)
    order = [written[i] for step in range(settings.max_steps) for i in rows_of_step(settings, len(rows), step)]
    whole = [{name: row["prompt_ids"] + row[name] for name in ("chosen_ids", "rejected_ids")} for row in order]
    theirs = said_by_trl(other_side, tmp_path, trainer, "rm", whole)
    assert_same_steps("rm.v1", trainer, rows, theirs, say)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["simpo", "orpo"])
def test_every_pair_has_the_loss_of_trl(name, other_side, tmp_path, say):
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), "objective": f"{name}.v1", "pref_beta": 1.3, "simpo_gamma": 0.4})
    folder, written = write_tiny_model(tmp_path / "model"), pairs(12, question=1 if name == "orpo" else None)
    rows = [example(row) for row in written]
    trainer = trainer_of(folder, settings, rows)
    move(trainer)
    theirs = said_by_trl(other_side, tmp_path, trainer, name, written)
    theirs = torch.tensor(theirs["losses"])
    with torch.no_grad():
        ours, _ = OBJECTIVES.create(settings.objective, settings=settings).losses(
            trainer.model.eval(), collate(rows, padding=2, device="cpu")
        )
    say(
        f"{name}: {len(ours)} pairs, loss {float(ours.min()):.4f} to {float(ours.max()):.4f}, furthest {float((ours - theirs).abs().max()):.2e}"
    )
    assert float((ours - theirs).abs().max()) <= CLOSE


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "changes", [{"per_device_train_batch_size": 6}, ACCUMULATED | {"per_device_train_batch_size": 3}], ids=["whole batches", "accumulated"]
)
@pytest.mark.parametrize("name", ["kto.v1", "apo-zero-unpaired.v1"])
def test_every_step_over_judged_answers_has_the_loss_of_trls_trainer(name, changes, other_side, tmp_path, say):
    """Rows of mixed length: KTO compares with a mean over the micro batch that the recipe writes, on both sides."""
    more = {"kto_chosen_weight": 1.5, "kto_rejected_weight": 0.5, "max_steps": 6, "num_train_epochs": 9}
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), **changes, **more, "objective": name})
    drawn = np.random.default_rng(9)
    asked, answers = ([drawn.integers(3, 259, int(length)).astype(np.int32) for length in drawn.integers(3, 40, 12)] for _ in range(2))
    rows = [
        Example(np.concatenate(both), np.arange(sum(map(len, both))) >= len(both[0]), is_liked=n % 3 > 0)
        for n, both in enumerate(zip(asked, answers, strict=True))
    ]
    folder = write_tiny_model(tmp_path / "model")
    trainer = trainer_of(folder, settings, rows)
    rows = trainer.refer(trainer.objective.complete(rows))
    move(trainer)
    written = [
        {
            "prompt_ids": asked[n].tolist(),
            "completion_ids": answers[n].tolist(),
            "label": rows[n].is_liked,
            "KL_completion_ids": answers[n - 1].tolist(),
        }
        for step in range(settings.max_steps)
        for n in rows_of_step(settings, len(rows), step)
    ]
    if name != "kto.v1":
        written = [{key: value for key, value in row.items() if key != "KL_completion_ids"} for row in written]
    theirs = said_by_trl(other_side, tmp_path, trainer, name.removesuffix(".v1").replace("-", "_"), written)
    assert_same_steps(name, trainer, rows, theirs, say)
