"""A host looks at the header only, and refuses what is not plain LoRA."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import BundleBroken
from ringfence.release.adapter import check_adapter, header_size
from tests.unit.release.release_parts import CONFIG, lora, safetensors

A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
B = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"


def check(file: bytes, config: object = CONFIG) -> int:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return check_adapter(file[: header_size(file[:8])], size=len(file), config=text)


def raw(header: object) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_lora_file_passes_with_and_without_padding():
    assert check(safetensors(lora())) == 2
    assert check(safetensors(lora(), metadata={"format": "pt"})) == 2


def test_the_library_reads_the_same_file(tmp_path):
    from safetensors.numpy import load, save

    tensors = lora()
    assert check(save(tensors, metadata={"format": "pt"})) == 2
    assert load(safetensors(tensors)).keys() == tensors.keys()


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.lm_head.weight",
        "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.xq_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.bias",
        A + ".more",
        "更多",
    ],
)
def test_a_foreign_tensor_is_refused(name):
    with pytest.raises(BundleBroken, match="adapter_model"):
        check(safetensors(lora() | {name: np.zeros((2, 8), "f4")}))


HEAD = "base_model.model.score.weight"
SCORES = CONFIG | {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}


def test_the_head_of_a_reward_model_belongs_to_a_configuration_that_names_it():
    head = {HEAD: np.zeros((1, 8), "f4")}
    assert check(safetensors(lora() | head), SCORES) == 2
    for tensors, config in (
        (lora() | head, CONFIG),
        (lora(), SCORES),
        (lora() | {HEAD: np.zeros((2, 8), "f4")}, SCORES),
        (lora() | {HEAD: np.zeros(8, "f4")}, SCORES),
        (lora() | head, SCORES | {"task_type": "CAUSAL_LM"}),
        (lora() | head, SCORES | {"modules_to_save": ["score", "lm_head"]}),
        (lora() | head | {"base_model.model.score.bias": np.zeros(1, "f4")}, SCORES),
    ):
        with pytest.raises(BundleBroken, match="adapter"):
            check(safetensors(tensors), config)


def with_lengths(tensors):
    """Return the tensors of a DoRA adapter."""
    of_b = {name: value for name, value in tensors.items() if ".lora_B." in name}
    return tensors | {name.replace("lora_B.weight", "lora_magnitude_vector"): np.ones(len(value), "f4") for name, value in of_b.items()}


def test_a_dora_file_has_a_length_for_each_pair_and_says_so():
    dora = with_lengths(lora())
    assert check(safetensors(dora), CONFIG | {"use_dora": True}) == 2
    with pytest.raises(BundleBroken, match="half"):
        check(safetensors(dora))
    with pytest.raises(BundleBroken, match="half"):
        check(safetensors(lora()), CONFIG | {"use_dora": True})
    name = next(name for name in dora if "magnitude" in name)
    with pytest.raises(BundleBroken, match="rank"):
        check(safetensors(dora | {name: np.ones((2, 8), "f4")}), CONFIG | {"use_dora": True})
    with pytest.raises(BundleBroken, match="length"):
        check(safetensors(dora | {name: np.ones(100, "f4")}), CONFIG | {"use_dora": True})
    with pytest.raises(BundleBroken, match="half"):
        check(safetensors(dora), CONFIG | {"use_dora": "no"})


@pytest.mark.parametrize("config", [CONFIG | {"r": 3}, CONFIG | {"target_modules": ["q_proj"]}])
def test_a_configuration_of_another_adapter_is_refused(config):
    with pytest.raises(BundleBroken, match="adapter_model"):
        check(safetensors(lora()), config)


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"[]",
        b"{",
        b'{"peft_type":"LORA","r":2,"r":2,"target_modules":["q_proj"]}',
        CONFIG | {"peft_type": "IA3"},
        CONFIG | {"r": "2"},
        CONFIG | {"r": 0},
        CONFIG | {"target_modules": "all-linear"},
        CONFIG | {"target_modules": []},
        CONFIG | {"target_modules": [""]},
        CONFIG | {"auto_mapping": {"parent_library": "evil"}},
        CONFIG | {"modules_to_save": ["lm_head"]},
        CONFIG | {"rank_pattern": {"q_proj": 4}},
    ],
)
def test_what_is_no_plain_lora_configuration_is_refused(config):
    with pytest.raises(BundleBroken, match="adapter_config"):
        check(safetensors(lora()), config)


@pytest.mark.parametrize("half", [A, B])
def test_half_a_pair_is_refused(half):
    with pytest.raises(BundleBroken, match="half"):
        check(safetensors({name: value for name, value in lora().items() if name != half}))


def test_nothing_hides_between_or_after_the_tensors():
    with pytest.raises(BundleBroken, match="gap"):
        check(safetensors(lora(), gap=b"secret"))
    with pytest.raises(BundleBroken, match="end"):
        check(safetensors(lora()) + b"secret")


@pytest.mark.parametrize("metadata", [{"note": "text"}, {"format": "text"}, {"format": "pt", "note": "text"}, ["text"], "text"])
def test_metadata_is_no_channel(metadata):
    with pytest.raises(BundleBroken, match="header"):
        check(safetensors(lora(), metadata=metadata))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\x00" * 7,
        b"\x00" * 8,
        b"\xff" * 8,
        raw(b"{"),
        raw([]),
        raw({}),
        raw({A: 1}),
        raw({A: {"dtype": "F32", "shape": [2, 8]}}),
        raw({A: {"dtype": "F8", "shape": [2, 8], "data_offsets": [0, 16]}}),
        raw({A: {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 63]}}),
        raw({A: {"dtype": "F32", "shape": [-2, -8], "data_offsets": [0, 64]}}),
        raw({A: {"dtype": "F32", "shape": [True, 0], "data_offsets": [0, 0]}}),
        raw({A: {"dtype": "F32", "shape": [2, 0], "data_offsets": [0, 0], "more": 1}}),
        raw({A: {"dtype": "F32", "shape": "28", "data_offsets": [0, 64]}}),
        raw(b'{"a":1,"a":2}'),
        raw(b"[" * 100_000),
    ],
)
def test_a_malformed_header_is_refused(file):
    with pytest.raises(BundleBroken, match="adapter_model"):
        check(file)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_check_fall_over(text):
    with pytest.raises(BundleBroken):
        check(struct.pack("<Q", len(text)) + text)


def rotations(**changes):
    return {f"base_model.model.model.layers.{i}.mlp.down_proj.oft_R.weight": np.ones((4, 6), "f4") for i in range(2)} | changes


OFT = {"peft_type": "OFT", "r": 0, "oft_block_size": 4, "target_modules": ["down_proj"]}


def test_rotations_are_counted():
    assert check(safetensors(rotations()), OFT) == 2
    assert check(safetensors(rotations()), OFT | {"r": 4, "oft_block_size": 0}) == 2


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        (rotations(), OFT | {"oft_block_size": 8}),
        (rotations(), OFT | {"r": 2, "oft_block_size": 0}),
        (rotations(), OFT | {"r": 4}),
        (rotations(), OFT | {"target_modules": ["q_proj"]}),
        (rotations(), OFT | {"block_share": True}),
        (rotations(), OFT | {"modules_to_save": ["lm_head"]}),
        (rotations(rows=np.ones((4, 6), "f4")), OFT),
        ({}, OFT),
        (lora(), OFT),
        (rotations(), CONFIG),
    ],
)
def test_what_is_no_plain_oft_adapter_is_refused(tensors, config):
    with pytest.raises(BundleBroken):
        check(safetensors(tensors), config)
