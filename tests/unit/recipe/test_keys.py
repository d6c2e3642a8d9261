"""Every key that LLaMA-Factory's recipes may have is judged: used, noted or refused with a reason; nothing is silent."""

from __future__ import annotations

from dataclasses import fields

import pytest
import yaml
from transformers import Seq2SeqTrainingArguments

from ringfence.core import text
from ringfence.core.errors import BadValue, RefusedKey, UnknownKey
from ringfence.models.settings import Quantisation
from ringfence.recipe.keys import KEYS, judged
from ringfence.recipe.read import checked, judge, read, recipe_of
from ringfence.train.settings import Cut

LEAST = {"model_name_or_path": "smollm2", "dataset": "notes"}
EXAMPLE = """
### model
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
trust_remote_code: true
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
### dataset
dataset: identity,alpaca_en_demo
template: qwen3_nothink
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
dataloader_num_workers: 4
### output
output_dir: saves/qwen3-4b/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
"""  # in the form of LLaMA-Factory's examples/train_lora/qwen3_lora_sft.yaml


def test_a_recipe_of_llama_factory_is_read_as_it_is(tmp_path):
    path = tmp_path / "qwen3_lora_sft.yaml"
    path.write_text(EXAMPLE)
    found = read(path)
    assert {line.treatment for line in found.lines} == {"used", "noted"}
    train = found.order.train
    assert (train.lora_rank, train.cutoff_len, train.batch, train.learning_rate) == (8, 2048, 8, 1e-4)
    assert (train.num_train_epochs, train.lr_scheduler_type, train.warmup_ratio, train.save_steps) == (3.0, "cosine", 0.1, 500)
    assert (found.cut.most, found.template, found.dataset_dir) == (1000, "qwen3_nothink", "data")
    assert (found.model, found.datasets) == ("Qwen/Qwen3-4B-Instruct-2507", ("identity", "alpaca_en_demo"))


def test_every_argument_of_transformers_is_judged():
    assert [field.name for field in fields(Seq2SeqTrainingArguments) if field.name not in KEYS] == []


@pytest.mark.parametrize("key", [key for key, rule in KEYS.items() if rule.treatment != "used"])
def test_what_is_not_used_has_a_reason_in_both_languages(key):
    rule = KEYS[key]
    assert rule.why.en
    assert rule.why.zh != rule.why.en
    assert judged(key, None).treatment == "noted"  # null asks for nothing
    assert judged(key, "x").treatment == rule.treatment


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_badam", None),
        ("export_legacy_format", False),
        ("push_to_hub", False),
        ("use_muon", False),
        ("model_revision", "main"),
        ("label_smoothing_factor", 0.0),
        ("resume_from_checkpoint", False),
        ("galore_rank", 128),
        ("quantization_method", "bnb"),
        ("quantization_method", "gptq"),
        ("galore_layerwise", True),
        ("apollo_rank", 8),
        ("double_quantization", False),
        ("tensor_model_parallel_size", 1),
        ("quant_config", None),
        ("fsdp_transformer_layer_cls_to_wrap", "LlamaDecoderLayer"),
        ("max_steps", -1),
        ("neftune_noise_alpha", 0),
        ("pref_loss", "sigmoid"),
    ],
)
def test_what_asks_for_nothing_is_noted_and_nothing_else_of_it_is(key, value):
    (line,) = judge({key: value})
    assert line.treatment == "noted"
    assert line.why
    assert recipe_of({**LEAST, key: value}).order == recipe_of(LEAST).order


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("push_to_hub", True, "out of the boundary"),
        ("hf_hub_token", "hf_x", "out of the boundary"),
        ("report_to", "wandb", "another service"),
        ("report_to", ["tensorboard", "swanlab"], "another service"),
        ("export_legacy_format", True, "run code"),
        ("tokenized_path", "saves/x", "outside the vault"),
        ("resume_from_checkpoint", "saves/x/checkpoint-10", "run resume"),
        ("model_revision", "v2", "digest"),
        ("resize_vocab", True, "vocabulary"),
        ("quantization_bit", 3, "4 and 8 bits"),
        ("mix_strategy", "interleave_over", "several times"),
        ("use_mca", True, "of its own"),
        ("data_seed", 0, "by the seed"),
        ("group_by_length", True, "by the seed"),
        ("train_sampling_strategy", "sequential", "by the seed"),
        ("default_system", "", "only replaced"),
        ("init_lora_weights", False, "before any noise"),
        ("ignore_pad_token_for_loss", False, "never learned"),
        ("use_apollo", True, "not for commercial use"),
        ("template", "default", "in place of the model's own; leave it out"),
        ("template", "empty", "in place of the model's own; leave it out"),
        ("template", "fewshot", "in place of the model's own; leave it out"),
        ("model", "Qwen/Qwen3-0.6B", "v1 dialect.*model_name_or_path"),
        ("micro_batch_size", 2, "v1 dialect.*per_device_train_batch_size"),
        ("tensor_model_parallel_size", 4, "Megatron"),
        ("sequence_parallel", True, "Megatron"),
    ],
)
def test_what_is_refused_says_why(key, value, why):
    with pytest.raises(RefusedKey, match=why):
        recipe_of({**LEAST, key: value})


@pytest.mark.parametrize(
    "asked",
    [
        {"finetuning_type": "full", "use_dora": False},
        {"finetuning_type": "full", "pissa_init": False},
        {"finetuning_type": "freeze", "use_rslora": False},
        {"stage": "kto", "pref_loss": "sigmoid"},
        {"stage": "rm", "pref_loss": "sigmoid"},
        {"stage": "pt", "template": "default"},
        {"stage": "pt", "template": "llama3"},
    ],
)
def test_what_asks_for_nothing_beside_others_is_noted(asked):
    owner, key = asked
    assert [line.treatment for line in judge(asked)] == ["used", "noted"]
    (found, without) = (recipe_of({**LEAST, **more}) for more in (asked, {owner: asked[owner]}))
    assert (found.order, found.template) == (without.order, None)
    assert key in KEYS


def test_a_stage_that_reads_texts_needs_no_template_but_a_name_that_somebody_knows():
    with pytest.raises(BadValue, match="did you mean qwen3"):
        recipe_of({**LEAST, "stage": "pt", "template": "qwen33"})


@pytest.mark.parametrize(
    ("asked", "error", "why"),
    [
        ({"quantization_bit": 4, "quantization_method": "hqq"}, RefusedKey, "while a model is loaded"),
        ({"quantization_bit": 8, "quantization_method": "eetq"}, RefusedKey, "while a model is loaded"),
        ({"stage": "kto", "pref_ftx": 0.1}, BadValue, "LLaMA-Factory's stage: kto"),
        ({"do_eval": True, "val_size": 0.1}, BadValue, "write do_train: true"),
        ({"train_on_prompt": True, "mask_history": True}, BadValue, "does not go with train_on_prompt"),
        ({"max_steps": -2}, BadValue, "max_steps"),
        ({"max_steps": False}, BadValue, "max_steps"),
        ({"model_name_or_path": ["smollm2"]}, BadValue, "name of a model"),
    ],
)
def test_what_llama_factory_reads_otherwise_is_refused_with_the_true_reason(asked, error, why):
    with pytest.raises(error, match=why):
        recipe_of({**LEAST, **asked})


@pytest.mark.parametrize(("asked", "every"), [({}, 500), ({"logging_steps": 10}, 10), ({"eval_steps": 7, "logging_steps": 10}, 7)])
def test_evaluations_on_the_way_are_as_far_apart_as_in_transformers(tmp_path, asked, every):
    keys = {"eval_strategy": "steps", **asked}
    theirs = Seq2SeqTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **keys)
    assert recipe_of({**LEAST, "val_size": 0.1, **keys}).order.train.eval_steps == theirs.eval_steps == every


def test_where_a_batch_is_counted_otherwise_than_there_the_key_says_so():
    for key in ("per_device_train_batch_size", "gradient_accumulation_steps"):
        (line,) = judge({key: 2})
        assert (line.treatment, "multiply one of the two by the number of GPUs" in line.why) == ("used", True)
    (line,) = judge({"mask_history": True})
    assert "keeps the last turns" in line.why


def test_sets_are_a_list_or_a_text(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: [a, 123456e78901]\neval_dataset:\n- b\n")
    found = read(path)
    assert (found.dataset, found.datasets, found.eval_datasets) == ("a,123456e78901", ("a", "123456e78901"), ("b",))
    for bad in ([], [1], 5):
        with pytest.raises(BadValue, match="write the name of a set"):
            recipe_of({**LEAST, "dataset": bad})
    with pytest.raises(BadValue, match="missing"):
        recipe_of({**LEAST, "dataset": None})


def test_every_line_is_judged_whatever_is_wrong_beside_it():
    found = checked({**LEAST, "lora_rnak": 8, "push_to_hub": True, "lora_rank": "many", "output_dir": "x"})
    assert [line.treatment for line in found] == ["used", "used", "refused", "refused", "refused", "noted"]
    assert "did you mean lora_rank" in found[2].why
    assert found[4].key == "lora_rank"
    assert found[4].why
    (_, missing) = checked({"dataset": "notes"})
    assert (missing.key, missing.treatment, missing.why) == ("model_name_or_path", "refused", "it is missing")
    (*_, private) = checked({**LEAST, "privacy": {"epsilon": -1, "delta": 1e-5}})
    assert (private.key, private.treatment, private.why.startswith("epsilon: ")) == ("privacy", "refused", True)
    told = {line.key: line.treatment for line in checked({**LEAST, "stage": "ppo", "pref_beta": 0.3})}
    assert told["pref_beta"] == "used"  # nobody can say what it means beside a stage that is refused
    assert checked(LEAST) == judge(LEAST)


def test_a_quantised_base_is_asked_for_as_in_llama_factory():
    """The keys of its examples/train_qlora; of the two names of one method both are known."""
    train = recipe_of({**LEAST, "quantization_bit": 4, "quantization_method": "bnb", "double_quantization": False}).order.train
    assert train.quantised == Quantisation(bits=4, double=False)
    train = recipe_of({**LEAST, "quantization_bit": 8, "quantization_method": "bitsandbytes", "use_dora": True}).order.train
    assert (train.quantised, train.method) == (Quantisation(bits=8), "dora.v1")
    assert recipe_of(LEAST).order.train.quantised is None


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"finetuning_type": "full"}, "lora or oft"),
        ({"finetuning_type": "freeze"}, "lora or oft"),
        ({"pissa_init": True}, "pissa_init does not go with"),
        ({"quantization_type": "int4"}, "quantization_type"),
    ],
)
def test_what_a_quantised_base_does_not_go_with_is_refused(keys, why):
    with pytest.raises(BadValue, match=why):
        recipe_of({**LEAST, "quantization_bit": 4, **keys})
    with pytest.raises(RefusedKey, match="quantised elsewhere"):
        recipe_of({**LEAST, "quantization_bit": 4, "quantization_method": "gptq"})


def test_galore_is_asked_for_as_in_llama_factory():
    """The keys of its examples/extras/galore."""
    asked = {
        "finetuning_type": "full",
        "use_galore": True,
        "galore_layerwise": False,
        "galore_target": "mlp,self_attn",
        "galore_rank": 128,
        "galore_scale": 2.0,
    }
    train = recipe_of({**LEAST, **asked}).order.train
    assert (train.use_galore, train.galore_rank, train.galore_target) == (True, 128, ("mlp", "self_attn"))
    assert recipe_of({**LEAST, "use_galore": False, "galore_rank": 4}).order == recipe_of(LEAST).order
    with pytest.raises(RefusedKey, match="before the gradients"):
        recipe_of({**LEAST, **asked, "galore_layerwise": True})
    for changes in ({"finetuning_type": "lora"}, {"optim": "sgd"}, {"galore_proj_type": "random"}):
        with pytest.raises(BadValue, match="galore"):
            recipe_of({**LEAST, **asked, **changes})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_predicting_is_an_arrow_of_its_own_and_every_answer_names_it(language):
    """LLaMA-Factory's do_predict: a note beside training, and without training a refusal."""
    command = "ringfence eval RUN --data SET"
    text.choose(language)
    lines = judge({"do_train": True, "do_predict": True, "predict_with_generate": True})
    assert [line.treatment for line in lines] == ["used", "noted", "noted"]
    assert all(command in line.why for line in lines[1:])
    assert recipe_of({**LEAST, "do_train": True, "do_predict": True}).order == recipe_of(LEAST).order
    with pytest.raises(BadValue, match=command):
        recipe_of({**LEAST, "do_predict": True})
    with pytest.raises(RefusedKey, match=command):
        recipe_of({**LEAST, "do_train": False, "do_predict": True})


def test_how_conversations_begin_reaches_the_run():
    train = recipe_of({**LEAST, "default_system": "Be brief.", "enable_thinking": False}).order.train
    assert train.prelude == ("Be brief.", False)
    assert recipe_of({**LEAST, "default_system": None, "enable_thinking": True}).order == recipe_of(LEAST).order
    assert recipe_of(LEAST).order.train.prelude == (None, True)


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("adapter_name_or_path", "saves/x", "--format merged"),
        ("rope_scaling", "yarn", "config.json"),
        ("additional_target", "embed_tokens", "freeze_extra_modules"),
        ("use_dft_loss", True, "pref_loss"),
        ("early_stopping_patience", 3, "early_stopping_steps"),
        ("use_muon", True, "adamw_torch"),
        ("task", "mmlu_test", "ringfence eval"),
        ("fp8", True, "bf16"),
        ("block_diag_attn", True, "neat_packing"),
    ],
)
def test_what_is_not_offered_names_what_is(key, value, remedy):
    (line,) = judge({key: value})
    assert (line.treatment, remedy in line.why) == ("refused", True)
    assert remedy in KEYS[key].why.zh


def test_texts_are_told_to_end_at_the_cut_and_other_rows_are_not():
    text, rows = judge({"stage": "pt"}) + judge({"stage": "sft"})
    assert (text.treatment, "cutoff_len" in text.why) == ("used", True)
    assert (rows.treatment, rows.why) == ("used", "")


def test_evaluation_begins_when_it_is_told_to():
    assert [line.treatment for line in judge({"eval_on_start": True, "compute_accuracy": True})] == ["noted", "noted"]
    keys = {"val_size": 0.1, "eval_strategy": "steps", "eval_steps": 5, "eval_delay": 8}
    assert recipe_of({**LEAST, **keys}).order.train.eval_delay == 8


def test_sets_are_mixed_as_the_recipe_says():
    two = {**LEAST, "dataset": "notes,ward"}
    assert recipe_of({**two, "mix_strategy": "interleave_under"}).cut == Cut(is_mixed=True)
    found = recipe_of({**two, "mix_strategy": "interleave_under", "interleave_probs": "0.7,0.3", "seed": 7}).cut
    assert found == Cut(is_mixed=True, shares=(0.7, 0.3), seed=7)
    for same in (
        {**two, "mix_strategy": "concat"},
        {**two, "mix_strategy": "interleave_once"},
        {**LEAST, "mix_strategy": "interleave_under"},
    ):
        assert recipe_of(same).cut.is_whole
    private = {**two, "mix_strategy": "interleave_under", "privacy": {"epsilon": 8, "delta": 1e-5}}
    with pytest.raises(BadValue, match=r"(?s)mix_strategy.*whole sets"):
        recipe_of(private)
    for shares, why in (
        ("0.7", "one share"),
        ("a,b", "one share"),
        (0.5, "one share"),
        ("0.7,0.7", "add up"),
        ("1.5,-0.5", "interleave_probs"),
    ):
        with pytest.raises(BadValue, match=why):
            recipe_of({**two, "mix_strategy": "interleave_under", "interleave_probs": shares})
    with pytest.raises(BadValue, match="mix_strategy: interleave_under"):
        recipe_of({**two, "interleave_probs": "0.5,0.5"})


@pytest.mark.parametrize(("strategy", "treatment"), [("interleave_under", "used"), ("interleave_once", "noted")])
def test_shares_that_would_decide_nothing_but_an_order_are_noted(strategy, treatment):
    (line,) = (one for one in judge({"mix_strategy": strategy, "interleave_probs": "0.7,0.3"}) if one.key == "interleave_probs")
    assert (line.treatment, "every row once, whatever the shares" in line.why) == (treatment, treatment == "noted")
    assert recipe_of({**LEAST, "dataset": "notes,ward", "mix_strategy": strategy, "interleave_probs": "0.7,0.3"})


def test_a_key_that_nobody_knows_is_an_error_with_the_nearest_one():
    with pytest.raises(UnknownKey, match="lora_rank"):
        recipe_of({**LEAST, "lora_rnak": 8})


@pytest.mark.parametrize(
    ("keys", "checkpointing", "device"),
    [
        ({"activation_checkpointing": True}, True, "auto"),
        ({"activation_checkpointing": False, "disable_gradient_checkpointing": False}, False, "auto"),
        ({"gradient_checkpointing": True, "use_cpu": True}, True, "cpu"),
        ({"use_cpu": False}, False, "auto"),
    ],
)
def test_hints_have_their_names_of_today(keys, checkpointing, device):
    hints = recipe_of({**LEAST, **keys}).order.hints
    assert (hints.checkpointing, hints.device) == (checkpointing, device)
    with pytest.raises(BadValue, match="use_cpu"):
        recipe_of({**LEAST, "use_cpu": "yes"})


def test_schedules_and_adam_reach_the_run():
    keys = yaml.safe_load(
        "{lr_scheduler_type: cosine_with_min_lr, lr_scheduler_kwargs: {min_lr: 1.0e-6}, warmup_steps: 10, adam_beta1: 0.8, adam_beta2: 0.99, adam_epsilon: 1.0e-6}"
    )
    train = recipe_of({**LEAST, **keys}).order.train
    assert (train.lr_scheduler_kwargs, train.warmup_steps) == ({"min_lr": 1e-6}, 10)
    assert (train.adam_beta1, train.adam_beta2, train.adam_epsilon) == (0.8, 0.99, 1e-6)
    for bad in (
        {"lr_scheduler_type": "polynomial", "learning_rate": 1e-8},
        {"eval_steps": 5},
        {"lr_scheduler_type": "greedy"},
        {"lr_scheduler_kwargs": {"min_lr": 1}},
        {"adam_beta1": 1.0},
        {"warmup_steps": -1},
    ):
        with pytest.raises(BadValue):
            recipe_of({**LEAST, **bad})
