"""A config of Axolotl becomes a recipe: every key is carried over, noted or refused with a reason, and the recipe is one that is read."""

from __future__ import annotations

import re

import pytest
import yaml

from ringfence.core.errors import BadValue, UnknownKey
from ringfence.core.text import choose
from ringfence.recipe.axolotl import AXOLOTL, imported
from ringfence.recipe.axolotl_keys import FIXED, OF_SETS
from ringfence.recipe.read import judge, load, read, recipe_of
from ringfence.train.settings import TrainSettings

LEAST = {"base_model": "smollm2", "datasets": [{"path": "rows/notes.jsonl"}], "adapter": "lora", "learning_rate": 1e-4}
HELD_OUT = {"val_set_size": 0.1}
EXAMPLE = """
base_model: NousResearch/Llama-3.2-1B
# hub_model_id: username/custom_model_name

datasets:
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca

val_set_size: 0.1
output_dir: ./outputs/lora-out

adapter: lora
lora_model_dir:

sequence_len: 2048
sample_packing: true
eval_sample_packing: true

lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
lora_target_modules:
  - gate_proj
  - q_proj

wandb_project:
wandb_entity:

gradient_accumulation_steps: 2
micro_batch_size: 2
num_epochs: 1

optimizer: adamw_8bit
lr_scheduler: cosine
learning_rate: 2e-4

bf16: auto
tf32: false

gradient_checkpointing: true
resume_from_checkpoint:
logging_steps: 1
attn_implementation: flash_attention_2

loss_watchdog_threshold: 5.0
loss_watchdog_patience: 3

warmup_ratio: 0.1
evals_per_epoch: 4
saves_per_epoch: 1
weight_decay: 0.0
special_tokens:
  pad_token: "<|end_of_text|>"
"""  # in the form of Axolotl's examples/llama-3/lora-1b.yml


def outcome(key, *, among=None, **changes):
    """Return what becomes of one key."""
    found = imported({**LEAST, **changes}, **(among or {}))
    return [one for one in found.outcomes if one.key == key][-1]


def becomes(**changes):
    """Return the recipe of a config that refuses nothing."""
    found = imported({**LEAST, **changes})
    assert found.refused == ()
    return dict(found.recipe)


def test_an_example_of_axolotl_says_what_stands_in_the_way(tmp_path):
    path = tmp_path / "lora-1b.yml"
    path.write_text(EXAMPLE)
    assert imported(load(path)).refused == ("datasets[0].path", "sample_packing", "optimizer")


def test_the_example_without_it_is_a_recipe_that_is_read_back(tmp_path):
    path, recipe = tmp_path / "lora-1b.yml", tmp_path / "recipe.yaml"
    path.write_text(EXAMPLE.replace("sample_packing: true", "sample_packing: false").replace("adamw_8bit", "adamw_torch_fused"))
    found = imported(load(path), dataset="clinic,ward")
    assert {one.treatment for one in found.outcomes} == {"used", "noted"}
    recipe.write_text(yaml.safe_dump(dict(found.recipe), sort_keys=False))
    back = read(recipe)
    assert (back.model, back.datasets, back.cut.held_out) == ("NousResearch/Llama-3.2-1B", ("clinic", "ward"), 0.1)
    assert back.order.hints.checkpointing
    assert back.order.train == TrainSettings(
        lora_rank=16,
        lora_alpha=32,
        lora_dropout=0.05,
        lora_target=("gate_proj", "q_proj"),
        cutoff_len=2048,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        optim="adamw_torch",
        learning_rate=2e-4,
        num_train_epochs=1,
        lr_scheduler_type="cosine",
        warmup_ratio=0.1,
        eval=True,
        eval_strategy="epoch",
    )


def test_what_axolotl_takes_unasked_is_written_into_the_recipe():
    assert becomes() == {
        "model_name_or_path": "smollm2",
        "finetuning_type": "lora",
        "dataset": "notes",
        "learning_rate": 1e-4,
        "cutoff_len": 512,
        "per_device_train_batch_size": 1,
        "num_train_epochs": 1.0,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.03,
    }
    assert "not written" in outcome("num_epochs").why
    assert "warmup_ratio" not in becomes(warmup_steps=10)


MAPPINGS = [
    ({"adapter": "qlora", "load_in_4bit": True}, {"finetuning_type": "lora", "quantization_bit": 4}),
    ({"load_in_8bit": True}, {"quantization_bit": 8}),
    ({"adapter": None}, {"finetuning_type": "full"}),
    ({"adapter": ""}, {"finetuning_type": "full"}),
    ({"base_model": "m"}, {"model_name_or_path": "m"}),
    ({"lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.1}, {"lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.1}),
    ({"lora_target_linear": True, "lora_target_modules": ["x.y"]}, {"lora_target": "all"}),
    ({"lora_target_modules": "all-linear"}, {"lora_target": "all"}),
    ({"lora_target_modules": ["q_proj", "v_proj"]}, {"lora_target": "q_proj,v_proj"}),
    ({"peft_use_dora": True}, {"use_dora": True}),
    ({"peft_use_rslora": True, "loraplus_lr_ratio": 16}, {"use_rslora": True, "loraplus_lr_ratio": 16}),
    ({"peft_layers_to_transform": [0, 1]}, {"layers_to_transform": [0, 1]}),
    ({"sequence_len": 128, "micro_batch_size": 3}, {"cutoff_len": 128, "per_device_train_batch_size": 3}),
    ({"gradient_accumulation_steps": 5}, {"gradient_accumulation_steps": 5}),
    ({"num_epochs": 2, "max_steps": 7}, {"num_train_epochs": 2, "max_steps": 7}),
    ({"learning_rate": 3e-4, "lr_scheduler": "linear"}, {"learning_rate": 3e-4, "lr_scheduler_type": "linear"}),
    ({"lr_scheduler": "polynomial", "lr_scheduler_kwargs": {"power": 2}}, {"lr_scheduler_kwargs": {"power": 2}}),
    (
        {"lr_scheduler": "cosine", "cosine_min_lr_ratio": 0.1},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    ),
    ({"cosine_min_lr_ratio": 1.0}, {"lr_scheduler_type": "constant_with_warmup"}),
    ({"warmup_steps": 10}, {"warmup_steps": 10}),
    ({"warmup_ratio": 0.2}, {"warmup_ratio": 0.2}),
    ({"weight_decay": 0.1, "max_grad_norm": 0.5}, {"weight_decay": 0.1, "max_grad_norm": 0.5}),
    ({"optimizer": "adamw_torch_fused"}, {"optim": "adamw_torch"}),
    ({"optimizer": "sgd"}, {"optim": "sgd"}),
    ({"adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6}, {"adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6}),
    ({"bf16": True}, {"bf16": True}),
    ({"bf16": "full"}, {"bf16": True}),
    ({"bf16": False}, {"bf16": False}),
    ({"bfloat16": True}, {"bf16": True}),
    ({"float32": True}, {"bf16": False}),
    ({"gradient_checkpointing": False}, {"gradient_checkpointing": False}),
    ({"gradient_checkpointing": "unsloth"}, {"gradient_checkpointing": True}),
    ({"seed": 7, "neftune_noise_alpha": 5, "logging_steps": 2}, {"seed": 7, "neftune_noise_alpha": 5, "logging_steps": 2}),
    ({"noisy_embedding_alpha": 5}, {"neftune_noise_alpha": 5}),
    ({"train_on_inputs": True}, {"train_on_prompt": True}),
    ({"default_system_message": "Be brief."}, {"default_system": "Be brief."}),
    ({"val_set_size": 20, "evals_per_epoch": 1}, {"val_size": 20, "eval_strategy": "epoch"}),
    ({**HELD_OUT, "eval_steps": 5}, {"eval_strategy": "steps", "eval_steps": 5}),
    ({**HELD_OUT, "eval_steps": 0.1, "max_steps": 25}, {"eval_strategy": "steps", "eval_steps": 3}),
    ({**HELD_OUT, "eval_strategy": "epoch"}, {"eval_strategy": "epoch"}),
    ({**HELD_OUT, "evaluation_strategy": "epoch"}, {"eval_strategy": "epoch"}),
    (
        {**HELD_OUT, "eval_steps": 5, "save_steps": 10, "early_stopping_patience": 3},
        {"early_stopping_steps": 3, "load_best_model_at_end": True, "save_steps": 10},
    ),
    ({"save_strategy": "no"}, {"save_strategy": "no"}),
    ({"rl": "dpo", "rl_beta": 0.2}, {"stage": "dpo", "pref_beta": 0.2}),
    ({"rl": "dpo", "dpo_beta": 0.2, "dpo_label_smoothing": 0.1}, {"pref_beta": 0.2, "dpo_label_smoothing": 0.1}),
    ({"rl": "dpo", "dpo_loss_type": ["hinge"]}, {"stage": "dpo", "pref_loss": "hinge"}),
    ({"rl": "ipo"}, {"stage": "dpo", "pref_loss": "ipo"}),
    ({"rl": "orpo", "orpo_alpha": 0.3}, {"stage": "dpo", "pref_loss": "orpo", "pref_beta": 0.3}),
    ({"rl": "simpo", "simpo_gamma": 1.0}, {"stage": "dpo", "pref_loss": "simpo", "simpo_gamma": 1.0, "pref_ftx": 1.0}),
    ({"reward_model": True, "num_labels": 1, "center_rewards_coefficient": None}, {"stage": "rm"}),
    ({"rl": "simpo", "cpo_alpha": 0.0}, {"pref_ftx": 0.0}),
    (
        {"rl": "kto", "kto_desirable_weight": 0.5, "kto_undesirable_weight": 2.0},
        {"stage": "kto", "kto_chosen_weight": 0.5, "kto_rejected_weight": 2.0},
    ),
    ({"datasets": None, "pretraining_dataset": [{"path": "./corpus.txt", "type": "pretrain"}]}, {"stage": "pt", "dataset": "corpus"}),
    ({"datasets": [{"path": "json", "data_files": ["a.jsonl", "b/c.csv"]}]}, {"dataset": "a,c"}),
    ({"datasets": [{"ds_type": "json", "data_files": "a.jsonl", "split": "train"}]}, {"dataset": "a"}),
    ({"test_datasets": [{"path": "/rows/held.parquet"}]}, {"dataset": "notes", "eval_dataset": "held"}),
]


@pytest.mark.parametrize(("config", "recipe"), MAPPINGS)
def test_a_key_is_carried_over(config, recipe):
    found = becomes(**config)
    assert {key: found.get(key) for key in recipe} == recipe
    assert recipe_of(found).order


def test_every_key_that_is_carried_over_is_tried_above():
    from ringfence.recipe.axolotl import _TURNED
    from ringfence.recipe.axolotl_keys import RENAMED

    told = {"load_best_model_at_end", "metric_for_best_model", "greater_is_better", "plugins", "saves_per_epoch"}  # in tests of their own
    assert {*RENAMED, *_TURNED} - {key for config, _ in MAPPINGS for key in {**LEAST, **config}} == told


NOTHING_ASKED = [
    ("sample_packing", False),
    ("load_in_8bit", False),
    ("load_in_4bit", None),
    ("hub_model_id", ""),
    ("wandb_project", None),
    ("wandb_mode", "disabled"),
    ("peft_init_lora_weights", True),
    ("save_safetensors", True),
    ("shuffle_merged_datasets", True),
    ("fp16", False),
    ("early_stopping_patience", None),
    ("early_stopping_patience", 0),
    ("evals_per_epoch", 0),
    ("lora_target_linear", False),
    ("float32", False),
    ("cosine_min_lr_ratio", 0),
    ("max_steps", -1),
    ("rl", None),
    ("test_datasets", []),
    ("pretraining_dataset", None),
]


@pytest.mark.parametrize(("key", "value"), NOTHING_ASKED)
def test_what_asks_for_nothing_is_noted_and_nothing_else_of_it_is(key, value):
    one = outcome(key, **{key: value})
    assert (one.treatment, one.to) == ("noted", {})
    assert "nothing" in one.why
    assert becomes(**{key: value}) == becomes()


NOTED = [
    ("trust_remote_code", True, "never executed"),
    ("output_dir", "out", "vault"),
    ("dataset_prepared_path", "prepared", "cache"),
    ("deepspeed", "zero2.json", "processes"),
    ("fsdp_config", {"a": 1}, "processes"),
    ("bf16", "auto", "device"),
    ("chat_template", "llama3", "own chat template"),
    ("special_tokens", {"pad_token": "x"}, "own tokeniser"),
    ("plugins", ["axolotl.integrations.liger.LigerPlugin"], "chunked"),
    ("liger_rope", True, "chunked"),
    ("eval_sample_packing", True, "one way"),
    ("sample_packing_bin_size", 200, "beside sample_packing alone"),
    ("evals_per_epoch", 4, "no held-out rows"),
    ("eval_steps", 4, "no held-out rows"),
    ("eval_strategy", "epoch", "no held-out rows"),
    ("saves_per_epoch", 1, "checkpoint"),
    ("save_steps", 0.1, "checkpoint"),
    ("save_strategy", "epoch", "checkpoint"),
    ("dpo_loss_type", ["hinge"], "beside rl: dpo alone"),
    ("num_labels", 1, "beside reward_model alone"),
    ("center_rewards_coefficient", 0.01, "beside reward_model alone"),
    ("excess_length_strategy", "drop", "cut"),
]


@pytest.mark.parametrize(("key", "value", "why"), NOTED)
def test_what_is_noted_says_why_and_changes_nothing(key, value, why):
    one = outcome(key, **{key: value})
    assert (one.treatment, one.to) == ("noted", {})
    assert why in one.why
    assert becomes(**{key: value}) == becomes()


REFUSED = [
    ("adapter", "qlora", "load_in_4bit: true"),
    ("gptq", True, "bitsandbytes alone"),
    ("bnb_config_kwargs", {"bnb_4bit_quant_type": "fp4"}, "quantization_type"),
    ("adapter", "llama-adapter", "lora or qlora"),
    ("optimizer", "adamw_bnb_8bit", "write adamw_torch:"),
    ("optimizer", "adamw_torch_8bit", "write adamw_torch:"),
    ("optimizer", "paged_adamw_32bit", "write adamw_torch:"),
    ("optimizer", "muon", "adamw_torch or sgd"),
    ("lr_scheduler", "rex", "cosine_with_min_lr"),
    ("fp16", True, "bf16: true"),
    ("rl", "grpo", "stage: grpo"),
    ("rl", ["dpo"], "one of dpo, kto"),
    ("sample_packing", True, "packed rows"),
    ("batch_flattening", "auto", "packed rows"),
    ("hub_model_id", "me/model", "out of the boundary"),
    ("hub_strategy", "end", "out of the boundary"),
    ("push_dataset_to_hub", "me/rows", "out of the boundary"),
    ("wandb_project", "p", "out of the boundary"),
    ("mlflow_tracking_uri", "u", "out of the boundary"),
    ("comet_api_key", "k", "out of the boundary"),
    ("use_swanlab", True, "out of the boundary"),
    ("gradio_share", True, "out of the boundary"),
    ("plugins", ["axolotl.integrations.liger.LigerPlugin", "mine.Plugin"], "mine.Plugin: no code"),
    ("trainer_cls", "mine.Trainer", "code of its own"),
    ("lora_model_dir", "out", "ringfence model import"),
    ("lora_modules_to_save", ["embed_tokens"], "freeze_extra_modules"),
    ("lora_rank_pattern", {"q_proj": 4}, "one rank"),
    ("relora", True, "in the middle of a run"),
    ("unfrozen_parameters", ["model.layers.2"], "finetuning_type: freeze"),
    ("rpo_alpha", 0.5, "changes the loss"),
    ("rope_scaling", {"type": "linear"}, "config.json"),
    ("min_sample_len", 4, "sequence_len"),
    ("dataset_exact_deduplication", True, "copies included"),
    ("multipack_real_batches", True, "packed rows"),
    ("chat_template_kwargs", {"enable_thinking": False}, "enable_thinking"),
    ("lora_target_modules", r"model.layers.[\d]+.(q|v)_proj", "last parts"),
    ("peft_init_lora_weights", "pissa", "before any noise"),
    ("save_safetensors", False, "run code"),
    ("shuffle_merged_datasets", False, "by the seed alone"),
    ("resume_from_checkpoint", "out/checkpoint-10", "run resume"),
    ("batch_size", 8, "gradient_accumulation_steps"),
    ("trl", {"beta": 0.1}, "rl_beta"),
    ("save_strategy", "best", "load_best_model_at_end"),
    ("tokens", ["<x>"], "vocabulary"),
]


@pytest.mark.parametrize(("key", "value", "why"), REFUSED)
def test_what_is_refused_says_why_and_what_to_write(key, value, why):
    one = outcome(key, **{key: value})
    assert (one.treatment, one.to) == ("refused", {})
    assert why in one.why


@pytest.mark.parametrize("rules", [FIXED, OF_SETS], ids=["config", "sets"])
def test_no_refusal_puts_off_what_was_decided(rules):
    """A reason says what stands instead; that something is to come later says nothing to somebody who has a config now."""
    assert [key for key, rule in rules.items() if "not built" in rule.why.en or " yet" in rule.why.en or "尚未" in rule.why.zh] == []


def test_what_a_recipe_would_refuse_is_refused_by_its_name_here():
    assert outcome("dpo_loss_type", rl="dpo", dpo_loss_type=["exo_pair"]).treatment == "refused"
    assert outcome("dpo_loss_type", rl="dpo", dpo_loss_type=["ipo", "hinge"]).treatment == "refused"
    assert outcome("metric_for_best_model", metric_for_best_model="accuracy").treatment == "refused"
    assert outcome("greater_is_better", greater_is_better=True).treatment == "refused"
    assert outcome("eval_steps", **HELD_OUT, eval_steps=0.1).treatment == "refused"


def test_a_config_without_an_adapter_trains_the_model_itself():
    config = {key: value for key, value in LEAST.items() if key != "adapter"} | {"lora_r": 8}
    found = imported(config)
    assert found.refused == ()
    assert found.recipe["finetuning_type"] == "full"
    assert "lora_rank" not in found.recipe
    assert "adapter: lora" in next(one.why for one in found.outcomes if one.key == "lora_r")


@pytest.mark.parametrize(
    ("changes", "keeps"),
    [
        ({"save_steps": 10, "eval_steps": 5}, True),
        ({"save_steps": 10, "eval_steps": 4}, False),
        ({"save_steps": 10, "eval_steps": 5, "load_best_model_at_end": False}, False),
        ({"num_epochs": 4, "saves_per_epoch": 1, "evals_per_epoch": 4}, True),
        ({"num_epochs": 1, "saves_per_epoch": 1, "evals_per_epoch": 4}, False),
        ({"save_steps": 10, "eval_steps": 5, "rl": "dpo"}, False),
    ],
)
def test_the_best_weights_are_kept_where_axolotl_keeps_them(changes, keeps):
    assert becomes(**HELD_OUT, **changes).get("load_best_model_at_end", False) is keeps


# ── sets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["teknium/GPT4-LLM-Cleaned", "s3://bucket/rows.jsonl", "rows", "./folder", "me/set"])
def test_what_would_be_fetched_is_refused_with_what_to_write(path):
    one = outcome("datasets[0].path", datasets=[{"path": path, "type": "alpaca"}])
    assert one.treatment == "refused"
    assert "--dataset NAME" in one.why
    one = outcome("test_datasets[0].path", test_datasets=[{"path": path}])
    assert "--eval-dataset NAME" in one.why
    found = imported({**LEAST, "datasets": [{"path": path}], "test_datasets": [{"path": path}]}, dataset="a,b", eval_dataset="c")
    assert (found.refused, found.recipe["dataset"], found.recipe["eval_dataset"]) == ((), "a,b", "c")


@pytest.mark.parametrize("path", ["me/set", "me/set.json"])
def test_files_of_a_hub_repository_are_none_of_this_machine(path):
    assert outcome("datasets[0].path", datasets=[{"path": path, "data_files": "a.jsonl"}]).treatment == "refused"


def test_names_stand_for_sets_that_no_key_tells_of():
    config = {key: value for key, value in LEAST.items() if key != "datasets"}
    assert imported(config, dataset="a", eval_dataset="b").recipe["dataset"] == "a"
    assert imported({**config, "evals_per_epoch": 1}, dataset="a", eval_dataset="b").recipe["eval_strategy"] == "epoch"
    with pytest.raises(BadValue, match="datasets"):
        imported(config)


def test_a_local_file_is_told_how_to_be_sealed():
    one = outcome("datasets[0].path", datasets=[{"path": "data/ward-2.jsonl"}])
    assert "ringfence import data/ward-2.jsonl --name ward-2" in one.why
    one = outcome("datasets[0].path", datasets=[{"path": "data/ward 2.jsonl"}])
    assert (one.treatment, "--dataset NAME" in one.why) == ("refused", True)


def test_every_key_of_an_entry_is_judged():
    entry = {"path": "a.jsonl", "type": "chat_template", "roles_to_train": ["assistant"], "train_on_eos": "turn", "field_messages": "m"}
    found = imported({**LEAST, "datasets": [entry]})
    assert [one.key for one in found.outcomes if one.key.startswith("datasets")] == [
        *(f"datasets[0].{key}" for key in ("type", "roles_to_train", "train_on_eos", "field_messages", "path")),
        "datasets",
    ]
    assert found.refused == ()
    entry |= {"roles_to_train": ["user"], "train_on_eos": "all", "drop_system_message": True}
    assert imported({**LEAST, "datasets": [entry]}, dataset="a").refused == (
        "datasets[0].roles_to_train",
        "datasets[0].train_on_eos",
        "datasets[0].drop_system_message",
    )
    with pytest.raises(UnknownKey, match="field_messages") as caught:
        imported({**LEAST, "datasets": [{"path": "a.jsonl", "field_mesages": "m"}]})
    assert caught.value.facts["key"] == "datasets[0].field_mesages"


# ── mistakes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_nobody_knows_is_an_error_with_the_nearest_one():
    with pytest.raises(UnknownKey, match="sequence_len"):
        imported({**LEAST, "sequence_lenn": 8})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lora_r": "many"}, "lora_r "),
        ({"lora_r": 0}, "lora_r "),
        ({"num_epochs": "x"}, "num_epochs"),
        ({**HELD_OUT, "evals_per_epoch": "x", "saves_per_epoch": 1}, "evals_per_epoch"),
        ({"datasets": ["rows.jsonl"]}, r"datasets\[0\]"),
        ({"learning_rate": None}, "learning_rate"),
        ({"base_model": None}, "base_model"),
        ({"rl": "dpo", "rl_beta": 0.1, "dpo_beta": 0.2}, "dpo_beta"),
        ({"rl": "dpo", "train_on_inputs": True}, "train_on_inputs"),
        ({"lr_scheduler": "linear", "lr_scheduler_kwargs": {"power": 2}}, "power"),
    ],
)
def test_a_value_that_cannot_be_is_named_as_the_config_names_it(changes, named):
    with pytest.raises(BadValue, match=named):
        imported({**LEAST, **changes})


@pytest.mark.parametrize("key", [*FIXED, *OF_SETS])
def test_what_is_not_carried_over_has_a_reason_in_both_languages(key):
    rule = FIXED.get(key) or OF_SETS[key]
    assert rule.treatment in ("noted", "refused")
    assert rule.why.en
    assert rule.why.zh != rule.why.en


def test_reasons_are_told_in_the_readers_language():
    choose("zh")
    try:
        assert "请在其旁写" in outcome("adapter", adapter="qlora").why
        assert "保险库" in outcome("output_dir", output_dir="x").why
    finally:
        choose("en")


def test_no_key_is_judged_twice():
    from ringfence.recipe import axolotl, axolotl_keys

    tables = (axolotl_keys._LIKE, axolotl_keys._OWNED, axolotl_keys._NOTED, axolotl_keys._REFUSED)
    keys = [key for table in tables for some in table.values() for key in some.split()]
    keys += [*axolotl_keys.RENAMED, *axolotl._TURNED, *axolotl._SETS]
    assert sorted(keys) == sorted(AXOLOTL)


@pytest.mark.parametrize("changes", [{"center_rewards_coefficient": 0.01}, {"num_labels": 2}])
def test_another_loss_of_rewards_is_refused(changes):
    (key,) = changes
    one = outcome(key, reward_model=True, **changes)
    assert (one.treatment, one.to) == ("refused", {})
    assert "margin" in one.why


def test_a_recipe_of_llama_factory_is_no_config_of_axolotl():
    with pytest.raises(UnknownKey, match=r"LLaMA-Factory recipe.*ringfence recipe check FILE"):
        imported({"stage": "sft", "model_name_or_path": "smollm2", "dataset": "clinic"})
    config = {"base_model": "smollm2", "sequence_len": 512}
    assert re.search(r"Axolotl config.*ringfence recipe import FILE", judge(config)[0].why)
    with pytest.raises(UnknownKey, match=r"Axolotl config.*ringfence recipe import FILE"):
        recipe_of(config)
    with pytest.raises(UnknownKey, match="no key has a similar name"):
        imported({"base_model": "smollm2", "overwrite_output_dir": True})
