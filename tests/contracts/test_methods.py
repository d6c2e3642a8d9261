"""Every registered method: fresh adapters change nothing, the base is never touched, and what is exported answers as it did."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from pydantic import ValidationError
from safetensors.torch import load_file, save, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

from ringfence.audit.forward import Forward
from ringfence.models.folder import check_folder
from ringfence.models.load import load, load_model
from ringfence.models.settings import Quantisation
from ringfence.models.tiny import write_tiny_model
from ringfence.train import adapter
from ringfence.train.data import Batch, Example, Tokens
from ringfence.train.judge import rewards_of
from ringfence.train.method import METHODS
from ringfence.train.objective import OBJECTIVES
from ringfence.train.restore import with_sealed
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer

torch.set_num_threads(1)
IDS = torch.tensor([[1, 87, 85, 71, 84, 201, 74]])
ALL = Batch(IDS, torch.ones_like(IDS, dtype=torch.bool))
VARIANTS = {
    "all": {},
    "two targets": {"lora_target": ("q_proj", "down_proj")},
    "last layer": {"layers_to_transform": (1,)},
    "other scale": {"lora_alpha": 3, "lora_rank": 5},
    "by the root of the rank": {"use_rslora": True, "lora_rank": 4},
    "B learns faster": {"loraplus_lr_ratio": 16.0},
    "beside four bits": {"quantization_bit": 4},
    "beside eight bits": {"quantization_bit": 8},
}


WHOLE = ("full.v1", "freeze.v1")  # methods that train the base itself
OF_LORA = frozenset({"use_rslora", "loraplus_lr_ratio"})
UNKNOWN = {  # keys that a method refuses
    "pissa.v1": frozenset({"use_rslora", "quantization_bit"}),
    "oft.v1": OF_LORA,
    **dict.fromkeys(WHOLE, OF_LORA | {"layers_to_transform", "quantization_bit"}),
}
DIVIDES = ("pissa.v1",)  # methods that take a part out of the base's weights and learn it: sums of theirs round otherwise
FUSED = ("lora.v1", *DIVIDES)  # and so do those of layers that are computed in one step
HELD = {4: {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}, 8: {"load_in_8bit": True}}


def close(one, other, settings, rounds=FUSED):
    """Bitsandbytes multiplies its eight bits with their scales in another order than it does where it says what they are."""
    rounded = settings.method in rounds or settings.quantization_bit == 8
    return torch.allclose(one, other, atol=1e-4 if settings.method in DIVIDES else 2e-5) if rounded else torch.equal(one, other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("m") / "model")


def base_of(folder, bits=None):
    if bits:
        return load(folder, dtype=torch.float32, device="cpu", quantised=Quantisation(bits=bits)).model
    return AutoModelForCausalLM.from_pretrained(folder).requires_grad_(requires_grad=False).eval()


def loaded(here, folder, settings, predicted):
    """Return what stock libraries make of what was exported: peft of an adapter, transformers of the base's own weights or of a quantised base."""
    kind = AutoModelForSequenceClassification if settings.is_reward else AutoModelForCausalLM
    head = {"num_labels": 1} if settings.is_reward else {}
    if settings.quantization_bit:  # as in training: elsewhere bitsandbytes rounds what is computed, too (docs/methods/qlora.md)
        config = BitsAndBytesConfig(**HELD[settings.quantization_bit])
        base = kind.from_pretrained(folder, quantization_config=config, device_map={"": "cpu"}, **head)
        (here / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(settings, "base", predicted)))
        return PeftModel.from_pretrained(base, str(here)).train()
    torch.manual_seed(99)  # whatever head transformers draws, the adapter brings its own
    base = kind.from_pretrained(folder, **head).eval()
    if settings.is_whole:
        assert not base.load_state_dict(load_file(here / adapter.WEIGHTS), strict=False).unexpected_keys
        return base
    (here / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(settings, "base", predicted)))
    return PeftModel.from_pretrained(base, str(here)).eval()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_keeps_its_promises(tmp_path, folder, name, variant):
    unknown = UNKNOWN.get(name, frozenset())
    if refused := sorted(unknown & VARIANTS[variant].keys()):
        with pytest.raises(ValidationError, match=refused[0]):
            TrainSettings(method=name, **VARIANTS[variant])
        return
    settings = TrainSettings(method=name, learning_rate=0.05, **VARIANTS[variant])
    base = base_of(folder, settings.quantization_bit)
    before = {key: weight.clone() for key, weight in base.named_parameters()}
    untouched = base(IDS).logits
    trainer = Trainer(base, settings, hints=RuntimeHints(), padding=2, device="cpu")
    assert close(trainer.model.eval()(IDS).logits, untouched, settings, DIVIDES), "a fresh method answers like the base"
    rows = [Example(np.arange(9, 9 + n, dtype=np.int32), np.arange(n) > 2) for n in (5, 8)]
    for step in range(3):
        trainer.step(rows, step=step, steps=10)
    after = {
        key.removeprefix("base_model.model.").replace(".base_layer", ""): weight
        for key, weight in trainer.model.get_base_model().named_parameters()
    }
    learned = trainer.method.parameters() if name in WHOLE else {}
    assert name in DIVIDES or all(torch.equal(after[key], weight) != (key in learned) for key, weight in before.items()), "the base changed"

    exported = trainer.method.export()
    predicted = adapter.predict(check_folder(folder), settings)
    assert {key: tuple(value.shape) for key, value in exported.items()} == predicted
    save_file(exported, tmp_path / adapter.WEIGHTS, metadata={"format": "pt"})
    adapter.check((tmp_path / adapter.WEIGHTS).read_bytes(), predicted)
    trained = trainer.model.eval()(IDS).logits
    assert close(loaded(tmp_path, folder, settings, predicted)(IDS).logits, trained, settings)
    assert not torch.allclose(trained, untouched, atol=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES.names())
@pytest.mark.parametrize(("method", "bits"), [*((name, None) for name in METHODS.names()), ("lora.v1", 4)])
def test_every_method_learns_by_every_objective_and_is_loaded_to_the_same_logits(tmp_path, folder, method, bits, objective):
    if objective == "rm.v1" and method in WHOLE:
        with pytest.raises(ValidationError, match="stage: rm"):
            TrainSettings(method=method, objective=objective)
        return
    settings = TrainSettings(method=method, quantization_bit=bits, objective=objective, learning_rate=0.05, lora_rank=4)
    trainer = Trainer(base_of(folder, bits), settings, hints=RuntimeHints(), padding=2, device="cpu")
    rows = [Example(np.arange(9, 9 + n, dtype=np.int32), np.arange(n) > 2, is_liked=n < 6) for n in (5, 8, 6)]
    if settings.reads == "preference":
        rows = [row._replace(other=Tokens(row.ids[::-1].copy(), row.learn)) for row in rows]
    rows = trainer.refer(trainer.objective.complete(rows))
    losses = [trainer.step(rows, step=step, steps=9) for step in range(4)]
    assert losses[-1] < losses[0]
    exported, predicted = trainer.method.export(), adapter.predict(check_folder(folder), settings)
    save_file(exported, tmp_path / adapter.WEIGHTS, metadata={"format": "pt"})
    ours = rewards_of(trainer.model.eval(), ALL)[:, None] if settings.is_reward else trainer.model.eval()(IDS).logits
    assert close(loaded(tmp_path, folder, settings, predicted)(IDS).logits, ours, settings)
    adapter.check((tmp_path / adapter.WEIGHTS).read_bytes(), predicted)


def factors_of(model):
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A") and hasattr(layer, "base_layer")}


def product(layer):
    return layer.lora_B["default"].weight @ layer.lora_A["default"].weight


def test_pissa_begins_with_the_largest_singular_values_as_peft_does(folder):
    made = [
        factors_of(
            METHODS.create("pissa.v1", settings=TrainSettings(method="pissa.v1", pissa_iter=n, lora_rank=4, lora_alpha=12)).attach(
                base_of(folder)
            )
        )
        for n in (-1, 16)
    ]
    config = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", init_lora_weights="pissa")
    theirs = factors_of(get_peft_model(base_of(folder), config))
    assert made[0].keys() == theirs.keys()
    assert len(theirs) == 14
    for name, other in theirs.items():
        exact, near = (one[name] for one in made)
        assert torch.allclose(product(exact), product(other), atol=1e-5), name
        assert torch.allclose(exact.base_layer.weight, other.base_layer.weight, atol=1e-5), name
        assert 0.9 < float(product(near).norm() / product(exact).norm()) <= 1.0 + 1e-4, name  # a flat spectrum of random weights


def test_pissa_in_bfloat16_begins_like_the_base_and_leaves_what_it_learned(folder):
    settings = TrainSettings(method="pissa.v1", lora_rank=4, learning_rate=0.02)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).requires_grad_(requires_grad=False).eval()
    untouched = base(IDS).logits.float()
    trainer = Trainer(base, settings, hints=RuntimeHints(), padding=2, device="cpu")
    fresh = trainer.model.eval()(IDS).logits.float()
    assert float((fresh - untouched).norm() / untouched.norm()) < 0.02  # rounding of bfloat16 alone
    exported = trainer.method.export()
    for name, factor in exported.items():
        if ".lora_A." in name:
            product = exported[name.replace("lora_A", "lora_B")] @ factor
            assert float(product.abs().max()) < 1e-6  # nothing was learned yet


def test_full_tuning_leaves_no_table_that_lies_beside_the_weights(tmp_path, folder):
    path = shutil.copytree(folder, tmp_path / "model") / "model.safetensors"
    save_file(load_file(path) | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}, path, metadata={"format": "pt"})
    method = METHODS.create("full.v1", settings=TrainSettings(method="full.v1"))
    method.attach(base_of(tmp_path / "model"))
    assert {name: tuple(one.shape) for name, one in method.export().items()} == adapter.predict(
        check_folder(tmp_path / "model"), TrainSettings(method="full.v1")
    )


def test_the_base_is_still_there_behind_trained_weights_head_included(folder):
    """In float32 too, where a copy has to be asked for."""
    untouched = base_of(folder)(IDS).logits
    settings = TrainSettings(method="full.v1")
    base = load(folder, dtype=torch.float32, device="cpu")
    weights = {name: weight + 0.1 * torch.randn_like(weight) for name, weight in base.model.named_parameters()}
    tuned = with_sealed(base, settings, save(weights))
    forward = Forward(tuned)
    rows = [Example(IDS[0].numpy().astype(np.int32), np.ones(IDS.shape[1], dtype=np.bool_))]
    for adapted in (False, True, False):
        hidden = forward.hidden(rows, adapted=adapted)[1][0]
        is_base = torch.allclose(forward.logits(hidden, adapted=adapted), untouched[0], atol=1e-4)
        assert is_base is not adapted


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize("method", ["lora.v1", "oft.v1"])
def test_the_head_of_a_reward_model_stays_in_float32(folder, method, bits):
    settings = TrainSettings(method=method, objective="rm.v1", quantization_bit=bits)
    model = load_model(folder, dtype=torch.bfloat16, device="cpu", quantised=settings.quantised)
    trainer = Trainer(model, settings, hints=RuntimeHints(), padding=2, device="cpu")
    kinds = {name.endswith(".score.weight"): weight.dtype for name, weight in trainer.method.parameters().items()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}


@pytest.mark.parametrize("name", METHODS.names())
def test_merged_weights_answer_as_the_method_did(folder, name):
    settings = TrainSettings(method=name, learning_rate=0.05, lora_rank=4)
    trainer = Trainer(base_of(folder), settings, hints=RuntimeHints(), padding=2, device="cpu")
    rows = [Example(np.arange(9, 9 + n, dtype=np.int32), np.arange(n) > 2) for n in (5, 8)]
    for step in range(3):
        trainer.step(rows, step=step, steps=10)
    tuned = with_sealed(load(folder, dtype=torch.float32, device="cpu"), settings, save(trainer.method.export())).model.eval()
    told = tuned(IDS).logits
    assert torch.allclose(tuned.merge_and_unload()(IDS).logits, told, atol=1e-4)
    assert not torch.allclose(base_of(folder)(IDS).logits, told, atol=1e-3)


def test_peft_never_drops_a_rotation(folder):
    """docs/methods/oft.md says so of this version; one that does drop has to be said there, and to repeat what it dropped when a run is resumed."""
    method = METHODS.create("oft.v1", settings=TrainSettings(method="oft.v1", oft_block_size=16, module_dropout=0.5))
    model = method.attach(base_of(folder)).train()
    with torch.no_grad():
        for weight in method.parameters().values():
            weight.normal_(std=0.1)
    assert torch.equal(model(IDS).logits, model(IDS).logits)
