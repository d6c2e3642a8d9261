"""A sweep is one recipe many times over, and nothing else in it changes but the rate of an ordinary run beside private ones that find theirs."""

from __future__ import annotations

import pytest
import yaml

from ringfence.core.errors import BadValue, UnknownKey
from ringfence.recipe.read import read
from ringfence.recipe.sweep import sweep

RECIPE = {
    "model_name_or_path": "smollm2",
    "dataset": "clinic",
    "eval_dataset": "heldout",
    "optim": "sgd",
    "privacy": {"epsilon": 8, "delta": 1.0e-5, "unit": "patient_id"},
    "audit": {"secrets": 12, "in_out": 40},
}


@pytest.fixture
def recipe(tmp_path):
    def write(**changes):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in {**RECIPE, **changes}.items() if value is not None}))
        return path

    return write


def swept(path, key, *values, **overrides):
    return sweep(path, key, [(str(value), value) for value in values], overrides)


def test_each_recipe_is_what_the_file_would_be_with_that_value(recipe):
    found = swept(recipe(optim=None, learning_rate=0.01), "privacy.epsilon", 1, 3.5, "none", seed=7)
    assert found.is_of_privacy
    assert [(one.told, one.at) for one in found.variants] == [("1", 1.0), ("3.5", 3.5), ("none", None)]
    for one, block in zip(found.variants, ({"epsilon": 1}, {"epsilon": 3.5}, None), strict=True):
        assert one.recipe == read(recipe(privacy=block and {**RECIPE["privacy"], **block}, seed=7, optim=None, learning_rate=0.01))
    assert found.variants[2].recipe.privacy is None


@pytest.mark.parametrize(
    ("named", "learns", "beside"),
    [
        ({"optim": None}, ("sgd", None), ("adamw_torch", 1e-3)),
        ({}, ("sgd", None), ("adamw_torch", 1e-3)),
        ({"learning_rate": 0.3}, ("sgd", 0.3), ("sgd", 0.3)),
        ({"optim": None, "learning_rate": 0.3}, ("adamw_torch", 0.3), ("adamw_torch", 0.3)),
        ({"optim": "adamw_torch"}, ("adamw_torch", 5e-5), ("adamw_torch", 5e-5)),
    ],
)
def test_beside_runs_that_find_their_rate_an_ordinary_one_has_one_that_learns(recipe, named, learns, beside):
    found = [one.recipe.order.train for one in swept(recipe(**named), "privacy.epsilon", 1, "none").variants]
    assert [(one.optim, one.learning_rate) for one in found] == [learns, beside]
    if "learning_rate" not in named:  # a rate of null is an open one
        assert [
            one.recipe.order.train for one in swept(recipe(**named), "privacy.epsilon", 1, "none", learning_rate=None).variants
        ] == found


def test_a_key_at_the_top_and_keys_of_a_block_that_is_not_there(recipe):
    found = swept(recipe(), "lora_rank", 2, 4)
    assert ([one.recipe.order.train.lora_rank for one in found.variants], found.is_of_privacy) == ([2, 4], False)
    found = swept(recipe(audit=None), "audit.secrets", 20, 30)
    assert [one.recipe.audit.secrets for one in found.variants] == [20, 30]
    words = swept(recipe(), "lr_scheduler_type", "linear", "cosine")
    assert [one.at for one in words.variants] == [None, None]
    assert [one.at for one in swept(recipe(), "train_on_prompt", True, False).variants] == [None, None]


@pytest.mark.parametrize(
    ("key", "values", "error", "at"),
    [
        ("privacy.epsilon", (4, 0), BadValue, "privacy.epsilon"),
        ("privacy.epsilom", (4, 5), BadValue, "privacy.epsilom"),
        ("privacy.epsilon", (4, 4.0), BadValue, "privacy.epsilon"),
        ("preprocessing_num_workers", (1, 2), BadValue, "preprocessing_num_workers"),  # noted, and nothing changes
        ("dataset.name", (1, 2), BadValue, "dataset"),
        ("lora_rnk", (1, 2), UnknownKey, "lora_rnk"),
        ("do_eval", (False, True), BadValue, "eval_dataset"),
    ],
)
def test_a_value_that_cannot_stand_or_makes_no_other_run_is_refused(recipe, key, values, error, at):
    with pytest.raises(error) as caught:
        swept(recipe(), key, *values)
    assert caught.value.facts["key"] == at


@pytest.mark.parametrize("key", ["stage", "pref_loss", "pref_beta", "simpo_gamma", "kto_chosen_weight"])
def test_losses_on_different_scales_are_not_compared(recipe, key):
    with pytest.raises(BadValue, match="compared"):
        sweep(recipe(stage="dpo"), key, [("a", 0.1), ("b", 0.2)])


ORDINARY = {"optim": None, "privacy": None, "audit": None}
TWO = {**ORDINARY, "dataset": "clinic,ward"}


@pytest.mark.parametrize("evaluation", [None, "heldout"])
def test_runs_that_draw_their_answers_are_not_swept_and_no_held_out_rows_are_asked_for(recipe, evaluation):
    path = recipe(**ORDINARY, stage="grpo", reward="number.v1", eval_dataset=evaluation)
    with pytest.raises(BadValue, match=r"stage.*a run of stage grpo has none.*ringfence eval"):
        swept(path, "learning_rate", 1e-5, 1e-4)


def test_how_sets_are_mixed_is_compared_on_held_out_rows_that_stay_the_same(recipe):
    mixed = swept(recipe(**TWO), "mix_strategy", "concat", "interleave_under")
    assert [one.recipe.cut.is_mixed for one in mixed.variants] == [False, True]
    with pytest.raises(BadValue, match=r"mix_strategy.*hold out other rows.*eval_dataset"):
        swept(recipe(**TWO, eval_dataset=None, val_size=0.1), "mix_strategy", "concat", "interleave_under")


@pytest.mark.parametrize(
    ("key", "values", "beside"),
    [
        ("max_samples", (10, 20), {}),
        ("eval_dataset", ("heldout", "other"), {}),
        ("dataset", ("clinic", "ward"), {"eval_dataset": None, "val_size": 0.1}),
        ("seed", (1, 2), {"eval_dataset": None, "val_size": 0.1}),
    ],
)
def test_values_that_hold_out_other_rows_are_not_compared(recipe, key, values, beside):
    with pytest.raises(BadValue, match="hold out other rows") as caught:
        swept(recipe(**{**ORDINARY, **beside}), key, *values)
    assert caught.value.facts["key"] == key


def test_without_held_out_rows_there_is_nothing_to_compare(recipe):
    with pytest.raises(BadValue, match="held-out rows"):
        swept(recipe(eval_dataset=None), "lora_rank", 2, 4)
