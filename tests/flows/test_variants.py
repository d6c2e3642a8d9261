"""Variants of LoRA on the whole way: trained, released, verified, and asked."""

from __future__ import annotations

import json

import pytest

from ringfence.flows.chat import from_bundle
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from tests.flows.conftest import masked, ungated

VARIANTS = {"use_dora": True}, {"use_rslora": True, "loraplus_lr_ratio": 8.0}, {"pissa_init": True, "pissa_iter": 4}


@pytest.mark.full
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: next(iter(one)))
def test_a_variant_goes_the_whole_way(variant, space, tmp_path, recipe, cli):
    masked(space, tmp_path)
    set_policy(space, ungated())
    done = train(space, read(recipe(**variant, learning_rate=0.01, max_steps=8)))
    assert done.figures.loss_last < done.figures.loss_first
    bundle = release(space, done.committed.run, name="one").path
    config = json.loads((bundle / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"]) == (variant.get("use_dora", False), variant.get("use_rslora", False))
    assert [one.outcome for one in verify_bundle(bundle, space.public).steps if one.outcome != "pass"] == []
    assert from_bundle(bundle, space.public)
    code, told = cli("chat", "one", "--ask", "Patient 3: cough?", workspace=space.path)
    assert code == 0, told
