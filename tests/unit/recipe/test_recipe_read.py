"""What a recipe asks for is what the run is told."""

from __future__ import annotations

import pytest

from ringfence.recipe.read import read


@pytest.mark.parametrize(("line", "dtype"), [("", "auto"), ("bf16: true\n", "bfloat16"), ("bf16: false\n", "float32")])
def test_the_precision_is_the_one_that_was_asked_for(tmp_path, line, dtype):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\n" + line)
    assert read(path).order.hints.dtype == dtype


@pytest.mark.parametrize(("line", "wanted"), [("", True), ("do_eval: true\n", True), ("do_eval: false\n", False), ("do_eval:\n", True)])
def test_the_evaluation_can_be_turned_off(tmp_path, line, wanted):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\neval_dataset: heldout\n" + line)
    assert read(path).order.train.eval is wanted
