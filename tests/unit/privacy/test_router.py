"""What a configuration says of routers."""

from __future__ import annotations

import pytest
from transformers import CONFIG_MAPPING

from ringfence.models.folder import ARCHITECTURES
from ringfence.privacy.router import router_key


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v3", "granitemoe", "gpt_oss", "olmoe"])
def test_mixtures_of_experts_are_known_by_their_configuration(family):
    assert router_key(CONFIG_MAPPING[family]().to_dict())


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_dense_models_are_not_taken_for_them(family):
    config = CONFIG_MAPPING[family]().to_dict()
    assert router_key(config) is None
    assert router_key({**config, "num_experts": 0, "router_aux_loss_coef": 0.0}) is None
