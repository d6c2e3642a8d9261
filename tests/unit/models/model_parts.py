"""A model folder without a model library: a header, a configuration, and zeros."""

from __future__ import annotations

import json
import struct
from pathlib import Path


def safetensors(tensors: dict[str, tuple[str, list[int], int]], *, header: bytes | None = None, body: bytes | None = None) -> bytes:
    """The bytes of a file; tensors: name -> (dtype, shape, bytes)."""
    entries, at = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries).encode() if header is None else header
    return struct.pack("<Q", len(text)) + text + (bytes(at) if body is None else body)


def write_folder(folder: Path, **files: bytes | dict) -> Path:
    """An accepted folder; `files` adds or replaces, with __ for the dot in names."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, bytes | dict] = {
        "config__json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 4},
        "tokenizer__json": {"model": {}},
        "model__safetensors": safetensors({"model.norm.weight": ("F32", [4], 16), "model.q_proj.weight": ("BF16", [2, 4], 16)}),
    }
    found.update(files)
    for name, value in found.items():
        (folder / name.replace("__", ".")).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return folder
