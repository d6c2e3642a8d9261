"""What the host imports: settings, devices, the expected adapter, memory. No torch in this file."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ringfence.core.errors import AdapterUnexpected, DeviceMissing, LayersUnfit
from ringfence.models.folder import ModelFolder
from ringfence.models.header import TensorInfo
from ringfence.train import adapter
from ringfence.train.device import Capabilities, Placement, choose, cpu_flags
from ringfence.train.settings import RuntimeHints, TrainSettings

BASE = {
    "model.embed_tokens.weight": TensorInfo("BF16", (100, 8)),
    "lm_head.weight": TensorInfo("BF16", (100, 8)),
    "model.norm.weight": TensorInfo("BF16", (8,)),
    **{
        f"model.layers.{i}.{name}.weight": TensorInfo("BF16", shape)
        for i in range(3)
        for name, shape in {
            "self_attn.q_proj": (8, 8),
            "self_attn.k_proj": (4, 8),
            "mlp.down_proj": (8, 16),
            "input_layernorm": (8,),
        }.items()
    },
    "model.layers.0.self_attn.q_proj.bias": TensorInfo("BF16", (8,)),
}


MODEL = ModelFolder(Path(), (), {"model_type": "llama"}, BASE)


def file_of(shapes, *, dtype="F32", metadata=None):
    entries, at = ({"__metadata__": metadata} if metadata is not None else {}), 0
    width = 4 if dtype == "F32" else 2
    for name, (rows, columns) in shapes.items():
        entries[name] = {"dtype": dtype, "shape": [rows, columns], "data_offsets": [at, at + rows * columns * width]}
        at += rows * columns * width
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def test_all_means_every_linear_layer_but_embedding_head_and_norms():
    predicted = adapter.predict(MODEL, TrainSettings(lora_rank=2))
    assert len(predicted) == 2 * 3 * 3
    assert predicted["base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"] == (2, 16)
    assert predicted["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"] == (8, 2)


def test_targets_and_layers_narrow_the_adapter():
    settings = TrainSettings(lora_target=("q_proj",), layers_to_transform=(2, 0))
    predicted = adapter.predict(MODEL, settings)
    assert {name.split(".")[4] for name in predicted} == {"0", "2"}
    assert {name.split(".")[-3] for name in predicted} == {"q_proj"}
    config = adapter.peft_config(settings, "base", predicted)
    assert (config["target_modules"], config["layers_to_transform"]) == (["q_proj"], [0, 2])
    assert (config["r"], config["lora_alpha"]) == (8, 16)


@pytest.mark.parametrize("change", [{"lora_target": ("c_attn",)}, {"layers_to_transform": (3,)}])
def test_names_and_layers_that_the_model_lacks_are_refused(change):
    (key,) = change
    with pytest.raises(LayersUnfit, match=rf"(?s){key} does not fit.* it has (?:down_proj|0 to 2).*do: correct {key}"):
        adapter.predict(MODEL, TrainSettings(**change))


def test_the_predicted_adapter_passes_whole_or_by_its_first_bytes():
    predicted = adapter.predict(MODEL, TrainSettings())
    data = file_of(predicted, metadata={"format": "pt"})
    adapter.check(data, predicted)
    adapter.check(data[:5_000], predicted, size=len(data))


SECRET = "patient-4711"


def _faults(predicted):
    name = next(iter(predicted))
    yield "pickle", b"\x80\x04" + bytes(50)
    yield "half precision", file_of(predicted, dtype="F16")
    yield "text in the metadata", file_of(predicted, metadata={"format": "pt", "note": SECRET})
    yield "a tensor named by the child", file_of({**predicted, SECRET: (1, 1)})
    yield "a tensor missing", file_of({key: value for key, value in predicted.items() if key != name})
    yield "another shape", file_of({**predicted, name: (1, 1)})
    yield "bytes after the end", file_of(predicted) + SECRET.encode()
    yield "bytes cut off", file_of(predicted)[:-1]


@pytest.mark.parametrize(
    ("fault", "data"), tuple(_faults(adapter.predict(MODEL, TrainSettings()))), ids=lambda value: value if isinstance(value, str) else ""
)
def test_any_other_adapter_is_refused_without_a_quote(fault, data):
    with pytest.raises(AdapterUnexpected) as caught:
        adapter.check(data, adapter.predict(MODEL, TrainSettings()))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("hints", "cuda", "flags", "placed"),
    [
        ({}, False, "avx2", Placement("cpu", "float32")),
        ({}, False, "avx512_bf16", Placement("cpu", "bfloat16")),
        ({}, False, "amx_bf16", Placement("cpu", "bfloat16")),
        ({}, True, "avx2", Placement("cuda", "bfloat16")),
        ({"device": "cpu"}, True, "avx2", Placement("cpu", "float32")),
        ({"dtype": "float32"}, True, "", Placement("cuda", "float32")),
        ({"dtype": "bfloat16"}, False, "", Placement("cpu", "bfloat16")),
    ],
)
def test_a_run_is_placed_where_it_is_fast(hints, cuda, flags, placed):
    assert choose(RuntimeHints(**hints), Capabilities(cuda, frozenset({flags}))) == placed


def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(DeviceMissing):
        choose(RuntimeHints(device="cuda"), Capabilities(cuda=False, cpu_flags=frozenset()))


def test_flags_are_read_from_cpuinfo(tmp_path):
    source = tmp_path / "cpuinfo"
    source.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu_flags(source) == {"fpu", "avx512_bf16"}
    assert cpu_flags(tmp_path / "none") == frozenset()


def test_usage_is_of_this_process():
    """In a process of its own: a peak never falls, so a test that ran before could hide a rise."""
    code = (
        "from ringfence.train.usage import age, peak_memory\n"
        "before = peak_memory()\n"
        "block = bytearray(b'x') * (64 << 20)\n"
        "assert peak_memory() - before > 32 << 20, 'no rise'\n"
        "assert 0 < age() < 3600, 'no age'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_settings_take_finite_rates_only(rate):
    try:
        settings = TrainSettings(learning_rate=rate)
    except ValidationError:
        assert not 0 < rate < float("inf")
    else:
        assert 0 < settings.learning_rate < float("inf")


@pytest.mark.parametrize("bad", [{"lora_target": ()}, {"lora_target": ("all", "q_proj")}, {"layers_to_transform": (1, 1)}, {"quantum": 1}])
def test_settings_that_mean_nothing_are_refused(bad):
    with pytest.raises(ValidationError):
        TrainSettings(**bad)


def test_what_the_host_imports_brings_no_model_library():
    code = "import sys, ringfence.train.adapter, ringfence.train.job, ringfence.models.store, ringfence.models.job, ringfence.serve.job\n"
    code += "sys.exit(bool({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_rotation_has_a_skew_symmetric_matrix_for_each_block():
    predicted = adapter.predict(MODEL, TrainSettings(method="oft.v1", oft_block_size=4, oft_target=("q_proj", "down_proj")))
    assert predicted["base_model.model.model.layers.0.self_attn.q_proj.oft_R.weight"] == (2, 6)
    assert predicted["base_model.model.model.layers.2.mlp.down_proj.oft_R.weight"] == (4, 6)
    by_number = adapter.predict(MODEL, TrainSettings(method="oft.v1", oft_block_size=0, oft_rank=2, oft_target=("q_proj", "down_proj")))
    assert by_number["base_model.model.model.layers.2.mlp.down_proj.oft_R.weight"] == (2, 28)
    with pytest.raises(LayersUnfit, match=r"oft_block_size .* does not divide"):
        adapter.predict(MODEL, TrainSettings(method="oft.v1", oft_block_size=3))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ["model.layers.1.", "model.layers.2."]),
        ({"freeze_trainable_layers": 1}, ["model.layers.2."]),
        ({"freeze_trainable_layers": -1}, ["model.layers.0."]),
        ({"freeze_trainable_layers": 9, "freeze_trainable_modules": ("mlp",)}, [f"model.layers.{i}.mlp." for i in range(3)]),
        ({"freeze_trainable_layers": 1, "freeze_extra_modules": ("embed_tokens",)}, ["model.layers.2.", "model.embed_tokens."]),
    ],
)
def test_freeze_tuning_chooses_the_weights_that_llama_factory_chooses(changes, wanted):
    predicted = adapter.predict(MODEL, TrainSettings(method="freeze.v1", **changes))
    assert predicted == {name: info.shape for name, info in BASE.items() if name.startswith(tuple(wanted))}


def test_full_tuning_leaves_every_weight_once():
    assert adapter.predict(MODEL, TrainSettings(method="full.v1")) == {name: info.shape for name, info in BASE.items()}
    tied = adapter.predict(MODEL._replace(config={"tie_word_embeddings": True}), TrainSettings(method="full.v1"))
    assert tied == {name: info.shape for name, info in BASE.items() if name != "lm_head.weight"}


@pytest.mark.parametrize("changes", [{"freeze_trainable_modules": ("mpl",)}, {"freeze_extra_modules": ("emb",)}])
def test_a_module_that_is_not_there_is_named(changes):
    with pytest.raises(LayersUnfit, match=next(iter(changes.values()))[0]):
        adapter.predict(MODEL, TrainSettings(method="freeze.v1", **changes))
