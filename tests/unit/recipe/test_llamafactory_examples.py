"""LLaMA-Factory's own examples: each key is read, noted or refused with a reason, and what is read as it is can be trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.recipe.keys import KEYS
from ringfence.recipe.read import checked, judge, recipe_of, strict_yaml

TABLE = strict_yaml(Path(__file__).with_name("llamafactory_examples.yaml").read_text())
MEGATRON = "tensor_model_parallel_size pipeline_model_parallel_size sequence_parallel bias_activation_fusion apply_rope_fusion use_distributed_optimizer"
REFUSED = {  # the keys that are, by file; of the others none is
    "extras/adam_mini/qwen2_full_sft.yaml": "use_adam_mini",
    "extras/apollo/llama3_full_sft.yaml": "use_apollo",
    "extras/asft/llama2_full_asft.yaml": "use_asft_loss",
    "extras/asft/qwen2_full_asft.yaml": "use_asft_loss",
    "extras/badam/llama3_full_sft.yaml": "use_badam",
    "extras/dft/qwen2_full_sft.yaml": "use_dft_loss",
    "extras/eaft/qwen25_05b_eaft_full.yaml": "use_eaft_loss",
    "extras/fp8/llama3_fp8_deepspeed_sft.yaml": "fp8 report_to",
    "extras/fp8/llama3_fp8_fsdp_sft.yaml": "fp8 report_to",
    "extras/galore/llama3_full_sft.yaml": "galore_layerwise",
    "extras/llama_pro/llama3_freeze_sft.yaml": "use_llama_pro",
    "extras/mod/llama3_full_sft.yaml": "mixture_of_depths optim",
    "extras/muon/qwen2_full_sft.yaml": "use_muon",
    "extras/nlg_eval/llama3_lora_predict.yaml": "adapter_name_or_path do_predict",
    "megatron/qwen2_vl_full.yaml": MEGATRON,
    "megatron/qwen3_moe_full.yaml": (
        "pipeline_model_parallel_size expert_model_parallel_size bias_activation_fusion apply_rope_fusion use_distributed_optimizer overlap_param_gather "
        "overlap_grad_reduce moe_grouped_gemm moe_token_dispatcher_type recompute_granularity"
    ),
    "megatron_bridge/llama3_sft.yaml": "use_distributed_optimizer overlap_param_gather overlap_grad_reduce",
    "train_lora/qwen3_lora_sft_ray.yaml": "dataset_dir",  # REMOTE:…
    "train_lora/qwen3_preprocess.yaml": "tokenized_path",
}
V1 = (  # keys of examples/v1 that no other dialect has
    "model model_class kernel_config quant_config dist_config train_dataset micro_batch_size batching_strategy sample_backend peft_config optim_config "
    "init_config cp_size cp_mode"
)


def numbers(told: str) -> Iterator[int]:
    """Yield the numbers of "0 2-4"."""
    for part in told.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def documents() -> dict[str, dict[str, object]]:
    """Return the recipe of each file of the table."""
    found: list[dict[str, object]] = [{} for _ in TABLE["files"]]
    for key, value, told in TABLE["keys"]:
        for place in numbers(told):
            assert key not in found[place]
            found[place][key] = value
    return dict(zip(TABLE["files"], found, strict=True))


DOCUMENTS = documents()


@pytest.mark.parametrize("file", DOCUMENTS)
def test_an_example_is_judged_and_trained_or_refused_with_a_reason(file):
    document = DOCUMENTS[file]
    assert [key for key in document if key not in KEYS] == []
    lines = checked(document)
    assert [line.key for line in lines] == list(document)
    assert all(line.why for line in lines if line.treatment != "used")
    refused = {line.key for line in lines if line.treatment == "refused"}
    assert refused == set(REFUSED.get(file, "").split())
    if not refused:
        train = recipe_of(document).order.train
        assert train.cutoff_len == document["cutoff_len"]
        assert train.batch == document["per_device_train_batch_size"] * document["gradient_accumulation_steps"]


def test_the_table_is_of_whole_files():
    assert set(REFUSED) < set(DOCUMENTS)
    assert len(DOCUMENTS) == 44
    assert all({"model_name_or_path", "stage"} <= set(document) for document in DOCUMENTS.values())


@pytest.mark.parametrize("key", V1.split())
def test_a_key_of_the_v1_dialect_says_that_it_is_one_and_what_to_do(key):
    (line,) = judge({key: {"name": "x"}})
    assert (line.treatment, "v1 dialect" in line.why) == ("refused", True)
    assert any(word in line.why for word in ("write ", "leave it out"))
