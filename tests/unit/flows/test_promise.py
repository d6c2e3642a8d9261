"""What is promised and how it is computed are two values: the digest of the first knows nothing of the second."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args, get_origin

import pytest

from ringfence.core.digest import settings_digest
from ringfence.flows.train import order_for
from ringfence.recipe.read import read
from ringfence.train.settings import RuntimeHints

RECIPE = """\
model_name_or_path: smollm2
dataset: notes
per_device_train_batch_size: 8
gradient_accumulation_steps: 2
max_steps: 10
privacy: {epsilon: 8, delta: 1.0e-4, unit: patient_id}
"""


def digest(folder, text=RECIPE, **hints):
    path = folder / "r.yaml"
    path.write_text(text)
    recipe = read(path)
    order = recipe.order.model_copy(update={"hints": recipe.order.hints.model_copy(update=hints)})
    made = order_for(replace(recipe, order=order), units=100)
    assert made.hints == order.hints
    return settings_digest(made.plan)


def others(name):
    """Return values of a setting that are not its default, all that there are where it is a choice."""
    field = RuntimeHints.model_fields[name]
    if get_origin(field.annotation) is Literal:
        return [one for one in get_args(field.annotation) if one != field.default]
    return [True] if field.annotation is bool else [3, 5]


@pytest.mark.parametrize("name", RuntimeHints.model_fields)
def test_no_setting_of_speed_changes_the_digest_of_the_promise(tmp_path, name):
    assert others(name)
    assert {digest(tmp_path, **{name: value}) for value in others(name)} == {digest(tmp_path)}


@pytest.mark.parametrize(
    "other", [("size: 8", "size: 16", "steps: 2", "steps: 1"), ("size: 8", "size: 2", "steps: 2", "steps: 8")], ids=["larger", "smaller"]
)
def test_neither_does_the_size_of_the_pieces_of_a_step(tmp_path, other):
    a, b, c, d = other
    assert digest(tmp_path, RECIPE.replace(a, b).replace(c, d)) == digest(tmp_path)


@pytest.mark.parametrize("line", ["bf16: true", "bf16: false", "gradient_checkpointing: true", "logging_steps: 7", "save_steps: 3"])
def test_nor_does_a_line_of_the_recipe_that_is_about_speed(tmp_path, line):
    assert digest(tmp_path, f"{RECIPE}{line}\n") == digest(tmp_path)


@pytest.mark.parametrize(
    "change", [("epsilon: 8", "epsilon: 7"), ("1.0e-4", "1.0e-5"), ("max_steps: 10", "max_steps: 11"), ("size: 8", "size: 9")]
)
def test_and_what_is_promised_does(tmp_path, change):
    assert digest(tmp_path, RECIPE.replace(*change)) != digest(tmp_path)
