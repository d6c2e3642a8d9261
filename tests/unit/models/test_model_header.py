"""The header parser against the library, against hand-made faults, and against noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ringfence.core.errors import UnsafeFile
from ringfence.models.header import TensorInfo, parse_header, read_header
from tests.unit.models.model_parts import safetensors

GOOD = safetensors({"a": ("F32", [2, 3], 24), "b": ("U8", [], 1), "c": ("BF16", [0], 0)})
NAMES = {"float32": "F32", "float16": "F16", "int64": "I64", "uint8": "U8"}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5), st.tuples(st.sampled_from(sorted(NAMES)), st.lists(st.integers(0, 4), max_size=3)), max_size=5
    )
)
def test_reads_what_the_library_writes(wanted):
    wanted.pop("__metadata__", None)
    data = save({name: np.zeros(shape, dtype) for name, (dtype, shape) in wanted.items()}, metadata={"format": "np"})
    header = parse_header(data, size=len(data), file="x")
    assert header.tensors == {name: TensorInfo(NAMES[dtype], tuple(shape)) for name, (dtype, shape) in wanted.items()}
    assert header.metadata == {"format": "np"}


def test_reads_a_file_by_its_header_alone(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(GOOD)
    assert read_header(path).tensors["a"] == TensorInfo("F32", (2, 3))
    path.write_bytes(GOOD[:-1])
    with pytest.raises(UnsafeFile):
        read_header(path)


def entry(**changes):
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


FAULTS = {
    "empty file": b"",
    "short prefix": b"\x02\x00\x00",
    "header longer than the file": (100).to_bytes(8, "little") + b"{}",
    "header of a petabyte": (1 << 50).to_bytes(8, "little") + b"{}",
    "pickle": b"\x80\x04\x95" + bytes(40),
    "not JSON": safetensors({}, header=b"{oops}"),
    "not UTF-8": safetensors({}, header=b'{"\xff":1}'),
    "a list": safetensors({}, header=b"[]"),
    "deep nesting": safetensors({}, header=b"[" * 100_000),
    "a name twice": safetensors(
        {}, header=b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    ),
    "unknown dtype": safetensors({}, header=json.dumps(entry(dtype="PICKLE")).encode(), body=bytes(4)),
    "negative shape": safetensors({}, header=json.dumps(entry(shape=[-1])).encode(), body=bytes(4)),
    "boolean shape": safetensors({}, header=json.dumps(entry(shape=[True])).encode(), body=bytes(4)),
    "shape and bytes differ": safetensors({}, header=json.dumps(entry(shape=[2])).encode(), body=bytes(4)),
    "too many dimensions": safetensors({}, header=json.dumps(entry(shape=[1] * 9)).encode(), body=bytes(4)),
    "three offsets": safetensors({}, header=json.dumps(entry(data_offsets=[0, 4, 8])).encode(), body=bytes(4)),
    "an extra key": safetensors({}, header=json.dumps(entry(code="x")).encode(), body=bytes(4)),
    "a hole": safetensors({}, header=json.dumps(entry(data_offsets=[4, 8])).encode(), body=bytes(8)),
    "bytes after the end": GOOD + b"x",
    "bytes missing": GOOD[:-1],
    "overlap": safetensors({}, header=json.dumps({**entry(), "b": entry()["a"]}).encode(), body=bytes(4)),
    "metadata that are no text": safetensors({}, header=b'{"__metadata__":{"a":1}}'),
    "NaN": safetensors({}, header=b'{"a":NaN}'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_refused_without_a_quote(fault):
    with pytest.raises(UnsafeFile) as caught:
        parse_header(FAULTS[fault], size=len(FAULTS[fault]), file="x")
    assert caught.value.facts["reason"] in {"no safetensors header", "malformed safetensors header"}


@given(st.integers(0, len(GOOD) - 26), st.integers(0, 255))
def test_a_changed_header_byte_is_never_read_more_kindly_than_by_the_library(at, byte):
    data = bytearray(GOOD)
    data[at] = byte
    try:
        ours = parse_header(bytes(data), size=len(data), file="x")
    except UnsafeFile:
        return
    if any(info.dtype == "BF16" for info in ours.tensors.values()):
        return  # numpy has no bfloat16
    try:
        theirs = load(bytes(data))
    except SafetensorError:
        pytest.fail("accepted what the library refuses")
    assert {name: info.shape for name, info in ours.tensors.items()} == {name: value.shape for name, value in theirs.items()}
