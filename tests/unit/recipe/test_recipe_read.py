"""What a recipe asks for is what the run is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ringfence.cli.parse import override
from ringfence.core.errors import BadArgument, BadValue, RefusedKey, UnknownKey
from ringfence.recipe.read import judge, read


@pytest.mark.parametrize(("line", "dtype"), [("", "auto"), ("bf16: true\n", "bfloat16"), ("bf16: false\n", "float32")])
def test_the_precision_is_the_one_that_was_asked_for(tmp_path, line, dtype):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\n" + line)
    assert read(path).order.hints.dtype == dtype


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", False),
        ("gradient_checkpointing: true\n", True),
        ("gradient_checkpointing: false\n", False),
        ("disable_gradient_checkpointing: false\n", True),
        ("disable_gradient_checkpointing: true\n", False),
        ("disable_gradient_checkpointing: true\ngradient_checkpointing: true\n", True),
    ],
)
def test_activation_checkpointing_is_off_unless_asked_for(tmp_path, line, wanted):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\n" + line)
    assert read(path).order.hints.checkpointing is wanted


@pytest.mark.parametrize("digits", ["123456789012", "123456e78901", "012345670123", "1e99999999", "0x1234567890", "190:20:30"])
def test_a_digest_that_looks_like_a_number_is_a_name(tmp_path, digits):
    path = tmp_path / "r.yaml"
    path.write_text(f"model_name_or_path: {digits}\ndataset: {digits}\neval_dataset: {digits}\nlearning_rate: 1e-4\n")
    found = read(path)
    assert (found.model, found.dataset, found.eval_dataset, found.order.train.learning_rate) == (digits, digits, digits, 1e-4)
    for key in ("model_name_or_path", "dataset", "eval_dataset"):
        assert override(f"{key}={digits}", "train") == (key, digits)
    assert override("eval_dataset=null", "train") == ("eval_dataset", None)


def test_a_key_of_a_block_is_overridden_alone_and_makes_the_block_where_there_is_none(tmp_path):
    path = tmp_path / "r.yaml"
    plain = "model_name_or_path: smollm2\ndataset: notes\n"
    lines = [override(text, "train") for text in ("privacy.epsilon=3", "privacy.delta=1e-6")]
    path.write_text(plain + "privacy: {epsilon: 8, delta: 1e-5, unit: patient_id}\n")
    found = read(path, dict(lines[:1])).privacy
    assert (found.epsilon, found.delta, found.unit) == (3, 1e-5, "patient_id")
    path.write_text(plain)
    found = read(path, dict(lines)).privacy
    assert (found.epsilon, found.delta) == (3, 1e-6)
    with pytest.raises(UnknownKey, match="privacy"):
        read(path, {"privaci.epsilon": 3})
    with pytest.raises(BadValue, match="dataset"):
        read(path, {"dataset.name": "notes"})
    for text in ("privacy.=3", ".epsilon=3", "privacy..epsilon=3", "Privacy.epsilon=3"):
        with pytest.raises(BadArgument, match=r"block\.key=value"):
            override(text, "train")


def test_several_sets_are_named_with_commas(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: a, b@masked:strict ,123456e78901\neval_dataset: c,d\n")
    found = read(path)
    assert (found.datasets, found.eval_datasets) == (("a", "b@masked:strict", "123456e78901"), ("c", "d"))
    path.write_text("model_name_or_path: smollm2\ndataset: notes\n")
    assert (read(path).datasets, read(path).eval_datasets) == (("notes",), ())


@pytest.mark.parametrize("value", ["a,", ",a", "a,,b", ",", "a, b, a", [], ["a", True], ["a", "a"], {"a": "b"}, True])
@pytest.mark.parametrize("key", ["dataset", "eval_dataset"])
def test_a_list_with_a_gap_or_a_name_twice_is_refused(tmp_path, key, value):
    path = tmp_path / "r.yaml"
    keys = {"model_name_or_path": "smollm2", "dataset": "notes", key: value}
    path.write_text(json.dumps(keys))
    with pytest.raises(BadValue, match=key):
        read(path)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("", ("sgd", None, 0.9)),  # the run finds a rate that its noise bears
        ("optim: sgd\n", ("sgd", None, 0.9)),
        ("optim: sgd\nlearning_rate: 0.1\n", ("sgd", 0.1, 0.9)),
        ("learning_rate: 1.0e-3\n", ("adamw_torch", 1e-3, 0.0)),  # what such a rate means everywhere else
        ("optim: adamw_torch\n", ("adamw_torch", 5e-5, 0.0)),
        ("optim: adamw_torch_fused\nlearning_rate: 1.0e-3\n", ("adamw_torch", 1e-3, 0.0)),
    ],
)
def test_a_private_run_learns_by_sgd_unless_its_recipe_means_adamw(tmp_path, lines, wanted):
    path = tmp_path / "r.yaml"
    ordinary = "model_name_or_path: smollm2\ndataset: notes\n" + lines
    path.write_text(ordinary + "privacy: {epsilon: 8, delta: 1e-5}\n")
    train = read(path).order.train
    assert (train.optim, train.learning_rate, train.momentum) == wanted
    path.write_text(ordinary)
    train = read(path).order.train
    assert train.optim == ("sgd" if "sgd" in lines else "adamw_torch")
    assert train.momentum == 0
    assert "learning_rate" in lines or train.learning_rate == 5e-5


@pytest.mark.parametrize(
    ("name", "why"), [("gdp", "less than the truth"), ("rdp", "more noise"), ("prv", "either side"), ("moments", "the one")]
)
def test_an_accountant_of_other_tools_is_refused_with_the_reason(tmp_path, name, why):
    path = tmp_path / "r.yaml"
    path.write_text(f"model_name_or_path: smollm2\ndataset: notes\nprivacy: {{epsilon: 8, delta: 1e-5, accountant: {name}}}\n")
    with pytest.raises(BadValue, match=why) as found:
        read(path)
    assert "privacy.accountant" in str(found.value)
    path.write_text("model_name_or_path: smollm2\ndataset: notes\nprivacy: {epsilon: 8, delta: 1e-5, accountant: pld}\n")
    assert read(path).privacy.accountant == "pld"


@pytest.mark.parametrize("key", ["packing", "neat_packing", "padding_free"])
def test_packing_is_speed_alone_and_refused_where_a_pass_would_matter(tmp_path, key):
    path = tmp_path / "r.yaml"
    plain = "model_name_or_path: smollm2\ndataset: notes\n"
    path.write_text(f"{plain}{key}: true\n")
    found = read(path)
    assert found.order.hints.packing
    path.write_text(plain)
    assert found.order.train == read(path).order.train
    assert not read(path).order.hints.packing
    for more, why in (
        ("privacy: {epsilon: 8, delta: 1e-5}", "several records"),
        ("stage: dpo", "stage: sft or stage: pt"),
        ("neftune_noise_alpha: 5", "neftune_noise_alpha"),
    ):
        path.write_text(f"{plain}{key}: true\n{more}\n")
        with pytest.raises(BadValue, match=why):
            read(path)
        path.write_text(f"{plain}{key}: false\n{more}\n")
        assert not read(path).order.hints.packing
    path.write_text(f"{plain}{key}: 2\n")
    with pytest.raises(BadValue, match="true or false"):
        read(path)


@pytest.mark.parametrize("line", ["init_lora_weights: eva", "eva_config: {}", "lora_ga_config: {}", "corda_config: {}"])
def test_an_adapter_that_begins_with_private_rows_is_refused_with_the_reason(tmp_path, line):
    path = tmp_path / "r.yaml"
    path.write_text(f"model_name_or_path: smollm2\ndataset: notes\n{line}\n")
    with pytest.raises(RefusedKey, match="before any noise"):
        read(path)


@pytest.mark.parametrize("line", ["load_best_model_at_end: true", "early_stopping_steps: 3"])
def test_a_choice_by_private_rows_is_refused_with_the_reason(tmp_path, line):
    path = tmp_path / "r.yaml"
    ordinary = f"model_name_or_path: smollm2\ndataset: notes\neval_dataset: other\neval_strategy: epoch\n{line}\n"
    path.write_text(ordinary)
    assert read(path).order.train.eval_strategy == "epoch"
    path.write_text(f"{ordinary}privacy: {{epsilon: 8, delta: 1e-5}}\n")
    with pytest.raises(BadValue, match="no promise covers"):
        read(path)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("eval_strategy: steps\n", "eval_dataset"),
        ("val_size: 0.1\nload_best_model_at_end: true\n", "eval_strategy"),
        ("val_size: 0.1\nearly_stopping_steps: 2\n", "eval_strategy"),
        ("val_size: 0.1\neval_strategy: steps\neval_steps: 0\n", "eval_steps"),
        ("val_size: 0.1\neval_strategy: often\n", "eval_strategy"),
        ("save_strategy: epoch\n", "save_steps"),
        ("metric_for_best_model: rouge\n", "least loss"),
        ("greater_is_better: true\n", "least loss"),
        ("neftune_noise_alpha: 5\nprivacy: {epsilon: 8, delta: 1e-5}\n", "neftune_noise_alpha"),
    ],
)
def test_looks_on_the_way_need_rows_to_look_at(tmp_path, lines, named):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\n" + lines)
    with pytest.raises((BadValue, RefusedKey), match=named):
        read(path)


def test_no_means_no_in_yaml(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\neval_strategy: no\nsave_strategy: no\nsave_steps: 500\n")
    train = read(path).order.train
    assert (train.eval_strategy, train.save_steps) == ("no", 0)


@pytest.mark.parametrize(
    ("line", "wanted"), [("", True), ("do_train: true\ndo_eval: true\n", True), ("do_eval: false\n", False), ("do_eval:\n", True)]
)
def test_the_evaluation_can_be_turned_off(tmp_path, line, wanted):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\neval_dataset: heldout\n" + line)
    assert read(path).order.train.eval is wanted
    assert read(path).eval_datasets == (("heldout",) if wanted else ())  # what is not read is not handed to the sandbox


def test_a_run_may_be_shared_by_several_processes(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\nbf16: false\n")
    alone, shared = read(path), read(path).shared_by(3)
    assert (alone.order.hints.processes, shared.order.hints.processes, shared.order.hints.dtype) == (None, 3, "float32")
    assert shared.shared_by(None) == alone
    assert not shared.order.hints.shard
    assert read(path).shared_by(3, shard=True).order.hints.shard
    stopping = alone.order.train.model_copy(update={"early_stopping_steps": 2})
    order = alone.order.model_copy(update={"train": stopping})  # of which no rows are held out
    assert replace(alone, order=order).shared_by(2).order.hints.processes == 2  # nothing is said of --shard where nobody wrote it


@pytest.mark.parametrize(
    ("line", "told"), [("finetuning_type: full", "frozen base"), ("quantization_bit: 8", "quantization_bit: 4")], ids=["full", "8 bits"]
)
def test_a_base_that_cannot_be_divided_is_refused_with_what_to_write_instead(tmp_path, line, told):
    path = tmp_path / "r.yaml"
    path.write_text(f"model_name_or_path: smollm2\ndataset: notes\n{line}\n")
    with pytest.raises(BadArgument, match=told) as caught:
        read(path).shared_by(2, shard=True)
    assert "leave --shard out" in str(caught.value)
    assert caught.value.facts["option"] == "--shard"
    assert read(path).shared_by(2).order.hints.processes == 2


@pytest.mark.parametrize(("key", "value"), [("fsdp", "full_shard auto_wrap"), ("fsdp_config", {"version": 2}), ("deepspeed", "zero3.json")])
def test_what_shards_elsewhere_is_told_what_does_here(key, value):
    (line,) = judge({key: value})
    assert line.treatment == "noted"
    assert "train --processes N" in line.why
    assert "--shard" in line.why


def written(tmp_path, lines):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\n" + lines)
    return path


@pytest.mark.parametrize(
    ("lines", "objective"),
    [
        ("", "sft.v1"),
        ("stage: sft\n", "sft.v1"),
        ("stage: pt\n", "pt.v1"),
        ("stage: dpo\n", "dpo.v1"),
        ("stage: dpo\npref_loss: sigmoid\ndpo_label_smoothing: 0.1\npref_ftx: 0.2\n", "dpo.v1"),
        ("stage: dpo\npref_loss: hinge\n", "hinge.v1"),
        ("stage: dpo\npref_loss: ipo\npref_beta: 0.3\n", "ipo.v1"),
        ("stage: dpo\npref_loss: apo_zero\n", "apo-zero.v1"),
        ("stage: dpo\npref_loss: orpo\n", "orpo.v1"),
        ("stage: dpo\npref_loss: simpo\nsimpo_gamma: 1.0\n", "simpo.v1"),
        ("pref_beta: 0.1\nmask_history: false\n", "sft.v1"),
        ("stage: dpo\npref_loss: hinge\ndpo_label_smoothing: 0.0\nsimpo_gamma: 0.5\n", "hinge.v1"),
        ("stage: rm\n", "rm.v1"),
        ("stage: kto\nkto_chosen_weight: 2.0\npref_beta: 0.2\n", "kto.v1"),
        ("stage: kto\npref_loss: apo_zero\nprivacy: {epsilon: 8, delta: 1.0e-5}\n", "apo-zero-unpaired.v1"),
    ],
)
def test_stage_and_loss_choose_what_is_learned(tmp_path, lines, objective):
    train = read(written(tmp_path, lines)).order.train
    assert train.objective == objective
    wanted = {key: yaml.safe_load(lines)[key] for key in ("pref_beta", "pref_ftx", "simpo_gamma", "dpo_label_smoothing") if key in lines}
    assert {key: getattr(train, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("lines", "error", "told"),
    [
        ("pref_beta: 0.2\n", BadValue, "stage: dpo"),
        ("stage: dpo\nmask_history: true\n", BadValue, "stage: sft"),
        ("stage: pt\ntrain_on_prompt: true\n", BadValue, "stage: sft"),
        ("stage: pt\npref_loss: hinge\n", BadValue, "stage: dpo"),
        ("stage: dpo\nsimpo_gamma: 0.6\n", BadValue, "pref_loss: simpo"),
        ("stage: dpo\npref_loss: ipo\ndpo_label_smoothing: 0.1\n", BadValue, "pref_loss: sigmoid"),
        ("stage: dpo\npref_beta: 0\n", BadValue, "pref_beta"),
        ("stage: dpo\npref_loss: kto_pair\n", RefusedKey, "apo_zero"),
        ("stage: dpo\npref_loss: [sigmoid]\n", RefusedKey, "pref_loss"),
        ("stage: rm\nfinetuning_type: full\n", BadValue, "stage: rm"),
        ("stage: rm\npref_loss: hinge\n", BadValue, "stage: dpo"),
        ("stage: rm\npref_beta: 0.2\n", BadValue, "stage: dpo"),
        ("stage: rm\npref_ftx: 0.2\n", BadValue, "stage: dpo"),
        ("stage: rm\ntrain_on_prompt: true\n", BadValue, "stage: sft"),
        ("stage: ppo\n", RefusedKey, "stage"),
        ("stage: kto\npref_loss: hinge\n", BadValue, "kto, apo_zero"),
        ("stage: dpo\npref_loss: kto\n", BadValue, "sigmoid"),
        ("stage: kto\npref_ftx: 0.1\n", BadValue, "stage: dpo"),
        ("stage: dpo\nkto_chosen_weight: 2\n", BadValue, "stage: kto"),
        ("stage: kto\nprivacy: {epsilon: 8, delta: 1.0e-5}\n", BadValue, "apo_zero"),
        ("stage: [sft]\n", RefusedKey, "stage"),
        ("stage: dpo\nref_model: other\n", RefusedKey, "ref_model"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, lines, error, told):
    with pytest.raises(error, match=told):
        read(written(tmp_path, lines))


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "examples").glob("clinic*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_recipes(path):
    if "policy" not in path.name:
        assert read(path).model == "smollm2"


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("", {"method": "lora.v1", "use_rslora": False, "loraplus_lr_ratio": None}),
        ("use_rslora: true\n", {"method": "lora.v1", "use_rslora": True}),
        ("use_dora: true\n", {"method": "dora.v1"}),
        ("use_dora: false\nloraplus_lr_ratio: 16\n", {"method": "lora.v1", "loraplus_lr_ratio": 16.0}),
        ("finetuning_type: oft\n", {"method": "oft.v1", "oft_rank": 0, "oft_block_size": 32, "oft_target": ("all",)}),
        (
            "finetuning_type: oft\noft_target: q_proj,v_proj\noft_rank: 4\noft_block_size: 0\n",
            {"oft_target": ("q_proj", "v_proj"), "oft_rank": 4},
        ),
        ("finetuning_type: full\n", {"method": "full.v1", "is_whole": True}),
        (
            "finetuning_type: freeze\nfreeze_trainable_layers: -3\nfreeze_trainable_modules: self_attn,mlp\nfreeze_extra_modules: norm\n",
            {
                "method": "freeze.v1",
                "freeze_trainable_layers": -3,
                "freeze_trainable_modules": ("self_attn", "mlp"),
                "freeze_extra_modules": ("norm",),
            },
        ),
        ("finetuning_type: freeze\nfreeze_extra_modules: null\n", {"freeze_trainable_modules": ("all",), "freeze_extra_modules": ()}),
    ],
)
def test_variants_of_methods(tmp_path, lines, wanted):
    train = read(written(tmp_path, lines)).order.train
    assert {key: getattr(train, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("finetuning_type: full\nlora_rank: 8\n", "lora_rank"),
        ("finetuning_type: freeze\nuse_dora: true\n", "use_dora"),
        ("finetuning_type: lora\nfreeze_trainable_layers: 2\n", "freeze_trainable_layers"),
        ("finetuning_type: oft\nlora_target: all\n", "lora_target"),
        ("finetuning_type: oft\noft_rank: 4\n", "oft_block_size"),
        ("finetuning_type: full\nfreeze_extra_modules: norm\n", "freeze_extra_modules"),
        ("finetuning_type: freeze\nfreeze_trainable_layers: 0\n", "freeze_trainable_layers"),
    ],
)
def test_a_key_of_another_kind_is_refused(tmp_path, lines, key):
    with pytest.raises(BadValue, match=key):
        read(written(tmp_path, lines))


PRIVATE = "privacy: {epsilon: 8, delta: 1.0e-5}\n"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("use_dora: true\n", "use_dora"),
        ("loraplus_lr_ratio: 4\n", "learning_rate"),
        ("loraplus_lr_ratio: 4\nlearning_rate: null\n", "learning_rate"),
        ("use_rslora: true\n", "learning_rate"),
        ("finetuning_type: full\n", "learning_rate"),
        ("finetuning_type: oft\n", "finetuning_type"),
        ("use_dora: 1\n", "true or false"),
        ("loraplus_lr_ratio: 0\n", "loraplus_lr_ratio"),
    ],
)
def test_what_a_private_run_cannot_have_is_refused(tmp_path, lines, told):
    with pytest.raises(BadValue, match=told):
        read(written(tmp_path, PRIVATE + lines))
    assert read(written(tmp_path, PRIVATE + "loraplus_lr_ratio: 4\nlearning_rate: 0.1\nuse_rslora: true\n")).order.train.use_rslora
