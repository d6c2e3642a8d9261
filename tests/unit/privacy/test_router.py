"""What a configuration says of routers."""

from __future__ import annotations

import pytest
import torch
from transformers import CONFIG_MAPPING, LlamaConfig, LlamaForCausalLM

from ringfence.models.folder import ARCHITECTURES
from ringfence.privacy.router import rotary_key, router_key


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v3", "granitemoe", "gpt_oss", "olmoe"])
def test_mixtures_of_experts_are_known_by_their_configuration(family):
    assert router_key(CONFIG_MAPPING[family]().to_dict())


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_dense_models_are_not_taken_for_them(family):
    config = CONFIG_MAPPING[family]().to_dict()
    assert router_key(config) is None
    assert router_key({**config, "num_experts": 0, "router_aux_loss_coef": 0.0}) is None


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_parameters"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "longrope"}, "sliding_attention": {"rope_type": "default"}}},
            "rope_parameters",
        ),
        ({"rope_scaling": {"type": "su"}}, "rope_scaling"),
        ({"rope_scaling": {"type": "dynamic"}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}, "rope_scaling": None}, None),
        ({"rope_parameters": {"rope_type": "llama3"}}, None),
        ({}, None),
    ],
)
def test_rotary_tables_by_the_longest_row_of_a_batch_are_known(config, key):
    assert rotary_key(config) == key


@pytest.mark.parametrize(("kind", "meets"), [("default", False), ("yarn", False), ("dynamic", True), ("longrope", True)])
def test_they_are_those_whose_rows_meet(kind, meets):
    """A long row beside a short one changes what is computed of the short one, or does not."""
    more = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4} if kind == "longrope" else {}
    told = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 2.0, "original_max_position_embeddings": 16, **more}
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        rope_parameters=told,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval().double()
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        alone, beside = (model(ids[:, :length]).logits[:, :8] for length in (12, 20))  # positions after them are seen by none of the eight
    assert bool((alone - beside).abs().max() > 1e-9) is meets is (rotary_key(config.to_dict()) is not None)
