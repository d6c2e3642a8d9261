"""What a model folder may hold, one refusal a row."""

from __future__ import annotations

import pytest

from ringfence.core.errors import ModelUnknown, ModelUnsupported, UnsafeFile
from ringfence.models.folder import check_folder
from ringfence.models.header import TensorInfo
from tests.unit.models.model_parts import safetensors, write_folder

CONFIG = {"model_type": "llama"}


def test_an_ordinary_folder_is_accepted(tmp_path):
    found = check_folder(write_folder(tmp_path / "m", LICENSE=b"x", README__md=b"x", chat_template__jinja=b"x"))
    assert found.tensors["model.q_proj.weight"] == TensorInfo("BF16", (2, 4))
    assert found.parameters == 12
    assert "LICENSE" in found.names


REFUSED = {
    "pickle": ({"pytorch_model__bin": b"\x80\x04"}, "pytorch_model.bin"),
    "python": ({"modeling_x__py": b"import os"}, "modeling_x.py"),
    "unknown": ({"notes__docx": b""}, "notes.docx"),
    "hidden": ({"__env": b""}, ".env"),
    "remote code": ({"config__json": {**CONFIG, "auto_map": {"AutoModel": "x.y"}}}, "config.json"),
    "nested remote code": ({"config__json": {**CONFIG, "text_config": [{"auto_map": {}}]}}, "config.json"),
    "kernel from a hub": ({"config__json": {**CONFIG, "_attn_implementation": "someone/kernel"}}, "config.json"),
    "internal key": ({"config__json": {**CONFIG, "attn_implementation_internal": "x"}}, "config.json"),
    "tokeniser with code": ({"tokenizer_config__json": {"auto_map": {}}}, "tokenizer_config.json"),
    "tokeniser elsewhere": ({"tokenizer_config__json": {"tokenizer_file": "/etc/passwd"}}, "tokenizer_config.json"),
    "configuration that is a list": ({"config__json": b"[]"}, "config.json"),
    "configuration of 2 MB": ({"config__json": b" " * (2 << 20)}, "config.json"),
    "index of other files": ({"model__safetensors__index__json": {"weight_map": {"a": "../x"}}}, "model.safetensors.index.json"),
    "broken weights": ({"model__safetensors": b"\x80\x04" + bytes(20)}, "model.safetensors"),
    "two shards without index": (
        {f"model-0000{i}-of-00002__safetensors": safetensors({str(i): ("U8", [1], 1)}) for i in (1, 2)},
        "model-00001-of-00002.safetensors",
    ),
    "a tensor twice": (
        {"model-00001-of-00001__safetensors": safetensors({"model.norm.weight": ("U8", [1], 1)})},
        "model.safetensors",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_refused_by_name(tmp_path, case):
    files, name = REFUSED[case]
    with pytest.raises(UnsafeFile) as caught:
        check_folder(write_folder(tmp_path / "m", **files))
    assert caught.value.facts["file"] == name


@pytest.mark.parametrize(
    "config", [{"model_type": "gpt2"}, {}, {**CONFIG, "quantization_config": {"quant_method": "gguf"}}], ids=["family", "none", "quantised"]
)
def test_models_that_cannot_be_trained_are_refused(tmp_path, config):
    with pytest.raises(ModelUnsupported):
        check_folder(write_folder(tmp_path / "m", config__json=config))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_is_needed_must_be_there(tmp_path, name):
    folder = write_folder(tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(ModelUnsupported):
        check_folder(folder)


def test_links_and_folders_are_refused(tmp_path):
    folder = write_folder(tmp_path / "m")
    (folder / "README.md").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeFile):
        check_folder(folder)
    (folder / "README.md").unlink()
    (folder / "vocab.json").mkdir()
    with pytest.raises(UnsafeFile):
        check_folder(folder)
    with pytest.raises(ModelUnknown):
        check_folder(tmp_path / "nowhere")


def test_shards_with_their_index_are_accepted(tmp_path):
    shards = {f"model-0000{i}-of-00002.safetensors": safetensors({f"t{i}": ("U8", [1], 1)}) for i in (1, 2)}
    index = {"weight_map": {f"t{i}": name for i, name in enumerate(shards, 1)}}
    folder = write_folder(tmp_path / "m", model__safetensors__index__json=index)
    (folder / "model.safetensors").unlink()
    for name, data in shards.items():
        (folder / name).write_bytes(data)
    assert set(check_folder(folder).tensors) == {"t1", "t2"}
