"""Adapter weights and their configuration, as far as a host may look: the safetensors header, never a tensor."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ringfence.core.errors import BundleBroken
from ringfence.core.text import t
from ringfence.release.manifest import ADAPTER, CONFIG

HEADER_LIMIT = 16 << 20  # bytes
LENGTH_FIELD = 8  # bytes of the header's length, little-endian
_ROTATION = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]+)\.oft_R\.weight")
_NAME = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]+)\.lora_(?P<part>A\.weight|B\.weight|magnitude_vector)")
_HEAD = "score"  # the one layer that an adapter may bring as a whole: that of a reward model
_DIMENSIONS = {"A.weight": 2, "B.weight": 2, "magnitude_vector": 1}
_MATRIX = 2  # dimensions of the head
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def header_size(start: bytes) -> int:
    """Return the bytes that a safetensors header claims to take, its length field included, or the most that one may take."""
    return LENGTH_FIELD + min(int.from_bytes(start[:LENGTH_FIELD], "little"), HEADER_LIMIT)


def check_adapter(head: bytes, *, size: int, config: bytes) -> int:
    """Return the number of LoRA pairs, or of OFT's rotations, of an adapter whose header agrees with its configuration.

    head: the file from its start to the end of the header; size: bytes of the whole file. Every tensor is the A or B half of a pair,
    of the configured rank, or with DoRA the length of a pair, on a configured module, and the tensors fill the file without a gap
    (nothing can hide between them). An adapter that scores texts has its head beside them, one row of weights.

    Raises: BundleBroken.
    """
    value = _read(config)
    tensors = _tensors(head)
    _no_gap(tensors, size - len(head))
    _take_head(tensors, value)
    if value.get("peft_type") == "OFT":
        return _rotations(tensors, value)
    rank, targets, parts = _settings(value)
    halves: dict[str, dict[str, int | None]] = {}  # by module: how many outputs each part speaks of
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None or not any(f".{match['module']}".endswith(f".{target}") for target in targets):
            raise _broken(ADAPTER, "holds a tensor that is not LoRA of a configured module", "含有不属于所配置模块的 LoRA 张量")
        shape, part = tensor["shape"], match["part"]
        is_of_rank = len(shape) == _DIMENSIONS[part] and (len(shape) == 1 or shape[0 if part == "A.weight" else 1] == rank)
        if not is_of_rank:  # A: [rank, in], B: [out, rank]
            raise _broken(ADAPTER, "holds a tensor of another rank than the configuration", "张量的秩与配置不同")
        outputs = None if part == "A.weight" else shape[0]
        halves.setdefault(match["module"], {})[part] = outputs
    if not halves or any(found.keys() != parts for found in halves.values()):
        raise _broken(ADAPTER, "lacks one half of a LoRA pair", "缺少一半 LoRA 张量")
    if any(len(set(found.values()) - {None}) != 1 for found in halves.values()):
        raise _broken(ADAPTER, "holds a length of another layer than its pair", "某个长度与其 LoRA 对不属同一层")
    return len(halves)


def _read(config: bytes) -> dict[str, Any]:
    try:
        value = json.loads(config, object_pairs_hook=_unique)
        if not isinstance(value, dict) or value.get("auto_mapping") or (value.get("modules_to_save") or [_HEAD]) != [_HEAD]:
            raise ValueError  # noqa: TRY301  one sentence for every cause
    except (ValueError, RecursionError) as cause:
        raise _odd() from cause
    return value


def _take_head(tensors: dict[str, dict[str, Any]], value: Mapping[str, Any]) -> None:
    """Take the head of a configuration that saves one out of the tensors: what is left is an adapter's."""
    if value.get("modules_to_save"):
        found = tensors.pop(f"base_model.model.{_HEAD}.weight", None)
        if value.get("task_type") != "SEQ_CLS" or found is None or len(found["shape"]) != _MATRIX or found["shape"][0] != 1:
            raise _broken(ADAPTER, "lacks the head that its configuration names", "缺少其配置所指的打分头")


def _rotations(tensors: Mapping[str, Mapping[str, Any]], value: Mapping[str, Any]) -> int:
    """Return how many rotations there are: each of a configured module, of blocks of the configured size or number."""
    try:
        blocks, block, targets = value["r"], value["oft_block_size"], value["target_modules"]
        usable = type(blocks) is int and type(block) is int and (blocks > 0) != (block > 0) and isinstance(targets, list)
        if not (usable and targets and all(isinstance(target, str) and target for target in targets)) or value.get("block_share"):
            raise ValueError  # noqa: TRY301  one sentence for every cause
    except (KeyError, ValueError) as cause:
        raise _odd() from cause
    for name, tensor in tensors.items():
        match = _ROTATION.fullmatch(name)
        if match is None or not any(f".{match['module']}".endswith(f".{target}") for target in targets):
            raise _broken(ADAPTER, "holds a tensor that is no rotation of a configured module", "含有不属于所配置模块的旋转张量")
        shape = tensor["shape"]
        if len(shape) != _DIMENSIONS["A.weight"] or (shape[0] != blocks if blocks else shape[1] != block * (block - 1) // 2):
            raise _broken(ADAPTER, "holds a rotation of another size than the configuration", "旋转的大小与配置不同")
    if not tensors:
        raise _broken(ADAPTER, "holds no rotation", "不含任何旋转")
    return len(tensors)


def _odd() -> BundleBroken:
    return _broken(CONFIG, "is not the configuration of a plain adapter", "不是普通适配器的配置")


def _settings(value: Mapping[str, Any]) -> tuple[int, list[str], set[str]]:
    """Return the rank, the modules, and which tensors each of them has."""
    try:
        rank, targets = value["r"], value["target_modules"]
        usable = value["peft_type"] == "LORA" and isinstance(rank, int) and isinstance(targets, list)
        plain = not any(value.get(key) for key in ("rank_pattern", "lora_bias"))
        if not (usable and plain and rank > 0 and targets and all(isinstance(target, str) and target for target in targets)):
            raise ValueError  # noqa: TRY301  one sentence for every cause
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise _odd() from cause
    return rank, targets, set(_DIMENSIONS) if value.get("use_dora") is True else {"A.weight", "B.weight"}


def _tensors(head: bytes) -> dict[str, dict[str, Any]]:
    try:
        if int.from_bytes(head[:LENGTH_FIELD], "little") != len(head) - LENGTH_FIELD:
            raise ValueError  # noqa: TRY301  one sentence for every cause
        value = json.loads(head[LENGTH_FIELD:], object_pairs_hook=_unique)
        if value.pop("__metadata__", {}) not in ({}, {"format": "pt"}):  # free text would be a channel out
            raise ValueError  # noqa: TRY301
        for tensor in value.values():
            begin, end = tensor["data_offsets"]
            numbers = [begin, end, *tensor["shape"]]
            if tensor.keys() != {"dtype", "shape", "data_offsets"} or not all(type(n) is int and n >= 0 for n in numbers):
                raise ValueError  # noqa: TRY301
            if end - begin != math.prod(tensor["shape"]) * _BYTES[tensor["dtype"]]:
                raise ValueError  # noqa: TRY301
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise _broken(ADAPTER, "has a malformed safetensors header", "的 safetensors 头部不合格式") from cause
    return dict(value)


def _no_gap(tensors: Mapping[str, Mapping[str, Any]], size: int) -> None:
    at = 0
    for begin, end in sorted(tuple(tensor["data_offsets"]) for tensor in tensors.values()):
        if begin != at:
            raise _broken(ADAPTER, "has a gap between its tensors", "的张量之间有空隙")
        at = end
    if at != size:
        raise _broken(ADAPTER, "does not end with its last tensor", "的末尾不是最后一个张量")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _broken(file: str, en: str, zh: str) -> BundleBroken:
    return BundleBroken(problem=t("{file} " + en, "{file} " + zh, file=file))
