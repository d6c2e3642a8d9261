"""What a person is told of a run that learns from answers of its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence.cli.training import _show_price, announcing, show_trained
from ringfence.flows.train import Price, Trained
from ringfence.recipe.read import recipe_of
from ringfence.train.settings import PriceFigures, TrainFigures

COMMON = {
    "steps": 4,
    "rows": 40,
    "dropped": 3,
    "tokens": 900,
    "seconds_load": 1.0,
    "seconds_per_step": 0.5,
    "seconds": 3.0,
    "peak_memory": 1 << 30,
}
WHERE = {"device": "cpu", "dtype": "float32"}
DONE = TrainFigures(
    **COMMON,
    **WHERE,
    truncated=0,
    losses=(0.0, 0.001),
    losses_every=2,
    loss_first=0.0,
    loss_last=0.001,
    rewards=(0.25, 0.75),
    rewards_last=(0.75,),
    kls=(0.0, 0.0123),
    answer_tokens=(9.0, 6.0),
    trainable=8,
)


def test_rewards_stand_in_the_place_of_losses(capsys):
    things = {"adapter": SimpleNamespace(made=SimpleNamespace(digest="0" * 64))}
    show_trained(Trained(SimpleNamespace(run="train-0123456789ab", things=things), DONE))
    told = capsys.readouterr().out
    assert "4 steps, reward 0.250 → 0.750" in told
    assert "answers of 6 tokens, KL 0.0123; learned by TRL, without a privacy guarantee" in told
    assert "3 rows had no question within cutoff_len" in told
    assert "loss" not in told


def test_a_price_says_what_it_rests_on(capsys):
    plan = recipe_of({"model_name_or_path": "tiny", "dataset": "clinic", "stage": "grpo", "reward": "json.v1"})
    figures = PriceFigures(**COMMON, **WHERE, seconds_evaluation=0.0, longest=50, learning_rate=5e-5)
    _show_price(plan, Price(figures))
    told = capsys.readouterr().out
    assert "as long as answers stay as long as they are now; without a privacy guarantee" in told
    assert "memorisation" not in told


@pytest.mark.parametrize(("is_kept", "told"), [(True, "saves a checkpoint"), (False, "nothing of it is kept")])
def test_ctrl_c_is_announced_as_what_it_does(is_kept, told, capsys):
    announcing(None, is_kept=is_kept)("train-0123456789ab")
    assert told in capsys.readouterr().err


def test_a_price_says_what_the_directions_of_galore_take(capsys):
    plan = recipe_of({"model_name_or_path": "tiny", "dataset": "clinic", "finetuning_type": "full", "use_galore": True})
    figures = PriceFigures(**COMMON, **WHERE, seconds_evaluation=0.0, longest=50, learning_rate=5e-5, directions=3, seconds_directions=25.0)
    _show_price(plan, Price(figures))
    assert "of it 0:01:15 for the directions of GaLore: 3 × 25.0 s" in capsys.readouterr().out


@pytest.mark.parametrize("cut", [0, 1234])
def test_a_price_says_how_many_tokens_are_cut_where_some_are(cut, capsys):
    plan = recipe_of({"model_name_or_path": "tiny", "dataset": "clinic", "stage": "pt"})
    _show_price(plan, Price(PriceFigures(**COMMON, **WHERE, seconds_evaluation=0.0, longest=50, learning_rate=5e-5, tokens_cut=cut)))
    assert ("1234 tokens after cutoff_len are not learned" in capsys.readouterr().out) == bool(cut)
