"""The keys of `stage: grpo` and `stage: rloo`, and what does not go beside them."""

from __future__ import annotations

from dataclasses import fields

import pytest
from trl import GRPOConfig, RLOOConfig

from ringfence.core.errors import BadValue, RefusedKey
from ringfence.recipe.drawn import SHARED
from ringfence.recipe.read import judge, recipe_of
from ringfence.train.settings import DrawnSettings

LEAST = {"model_name_or_path": "smollm2", "dataset": "notes", "stage": "grpo", "reward": ["rouge-l.v1"]}


@pytest.mark.parametrize(("stage", "config"), [("grpo", GRPOConfig), ("rloo", RLOOConfig)])
def test_names_and_defaults_are_those_of_trl(stage, config):
    drawn = recipe_of({**LEAST, "stage": stage, "per_device_train_batch_size": 8}).order.train.drawn
    known = {field.name: field.default for field in fields(config)}
    of_stage = set(DrawnSettings.model_fields) - {"reward", *({"loss_type"} if stage == "rloo" else ())}
    assert {name: getattr(drawn, name) for name in of_stage} == {name: known[name] for name in of_stage}


def test_a_recipe_says_how_answers_are_drawn():
    train = recipe_of(
        {**LEAST, "reward": "exact-match.v1, concise.v1", "reward_weights": [1, 0.2], "num_generations": 4, "temperature": 0.7, "top_k": 50}
    ).order.train
    assert (train.objective, train.batch) == ("grpo.v1", 2)  # 8 answers are those to two questions
    assert train.drawn.reward == ("exact-match.v1", "concise.v1")
    assert (train.drawn.reward_weights, train.drawn.temperature, train.drawn.top_k) == ((1.0, 0.2), 0.7, 50)


@pytest.mark.parametrize("key", SHARED)
def test_keys_of_answering_are_used_where_answers_are_drawn_and_noted_elsewhere(key):
    told = {**LEAST, key: 0.9}
    assert {line.key: line.treatment for line in judge(told)}[key] == "used"
    assert {line.key: line.treatment for line in judge({**told, "stage": "sft"})}[key] == "noted"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"privacy": {"epsilon": 8, "delta": 1.0e-5}}, "without a privacy guarantee only"),
        ({"privacy": None}, "without a privacy guarantee only"),
        ({"eval_dataset": "other"}, "ringfence eval RUN"),
        ({"val_size": 0.1}, "ringfence eval RUN"),
        ({"save_steps": 100}, "pickles"),
        ({"loraplus_lr_ratio": 16}, "one rate"),
        ({"finetuning_type": "full", "use_galore": True}, "AdamW alone"),
        ({"quantization_bit": 4}, "rounded away"),
        ({"neftune_noise_alpha": 5}, "answers that it draws"),
        ({"reward_model": "train-0123456789ab"}, "name rewards instead"),
        ({"reward": None}, "at least one reward"),
        ({"reward": []}, "at least one reward"),
        ({"reward": "rouge"}, "no reward is called rouge; choose of concise.v1"),
        ({"reward": ["rouge-l.v1", "rouge-l.v1"]}, "each name once"),
        ({"reward_weights": [1, 2]}, "one number for each"),
        ({"num_generations": 3}, "a multiple of num_generations"),
        ({"num_generations": 1}, "num_generations"),
        ({"stage": "rloo", "loss_type": "dapo"}, "stage: grpo"),
        ({"loss_type": "vespo"}, "loss_type"),
        ({"stage": "sft"}, "stage: grpo or stage: rloo"),
        ({"stage": "dpo", "reward": None, "beta": 0.1}, "stage: grpo or stage: rloo"),
        ({"mask_history": True}, "stage: sft"),
        ({"pref_beta": 0.2}, "stage: dpo"),
    ],
)
def test_what_no_such_run_does_is_refused(changes, told):
    with pytest.raises(BadValue, match=told):
        recipe_of({**LEAST, **changes})


def test_ppo_is_refused_with_what_to_write_instead():
    with pytest.raises(RefusedKey, match=r"(?s)stage: grpo.*reward: \[rouge-l.v1\]"):
        recipe_of({**LEAST, "stage": "ppo", "reward": None, "ppo_epochs": 4})
    told = {line.key: line.treatment for line in judge({**LEAST, "stage": "ppo", "ppo_epochs": 4})}
    assert (told["stage"], told["ppo_epochs"]) == ("refused", "noted")


def test_trl_has_no_trainer_of_ppo():
    """Should it come back, the refusal is no longer true."""
    import trl

    assert not [name for name in dir(trl) if "PPO" in name]
