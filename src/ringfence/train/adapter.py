"""What a run must leave, known before it exists: the host believes no child. Light: no weights, no model library.

An adapter holds factors beside the base's layers; a run that trains the base's own weights leaves those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ringfence.core.errors import AdapterUnexpected, LayersUnfit, ModelUnsupported, UnsafeFile
from ringfence.core.text import t
from ringfence.models.folder import ModelFolder
from ringfence.models.header import TensorInfo, parse_header
from ringfence.train.settings import TrainSettings

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
MERGED = "merged"  # of a bundle: the folder of whole weights
_DORA = "dora.v1"
_OFT = "oft.v1"
_PREFIX = "base_model.model."
_LAYER = re.compile(r"\.layers\.(\d+)\.")
_NOT_LINEAR = re.compile(r"(embed_tokens|lm_head|norm|^score\.)")
_HEAD = "score"  # of a reward model: what transformers calls the layer
_EMBEDDING = "model.embed_tokens.weight"
_MATRIX = 2  # dimensions of a linear layer's weight


def layer_names(shapes: Mapping[str, tuple[int, ...]], settings: TrainSettings) -> list[str]:
    """Return the full names of the linear layers that get an adapter, sorted; `shapes` maps weight names to shapes.

    Raises: LayersUnfit when a name or layer of the settings is not in the model; ModelUnsupported when it has none.
    """
    linear = _linear(shapes)
    key = "oft_target" if settings.method == _OFT else "lora_target"
    target = settings.oft_target if settings.method == _OFT else settings.lora_target
    if target != ("all",):
        known = {_last(name) for name in linear}
        if unknown := sorted(set(target) - known):
            raise LayersUnfit(
                key=key,
                problem=t(
                    "it has no linear layer called {unknown}; it has {known}",
                    "没有名为 {unknown} 的线性层；有 {known}",
                    unknown=", ".join(unknown),
                    known=", ".join(sorted(known)),
                ),
            )
        linear = [name for name in linear if _last(name) in target]
    if settings.layers_to_transform is not None:
        layers = {_layer(name) for name in linear}
        if missing := sorted(set(settings.layers_to_transform) - layers):
            told = {"missing": ", ".join(map(str, missing)), "first": min(layers), "last": max(layers)}
            problem = t("it has no layer {missing}; it has {first} to {last}", "没有第 {missing} 层；有第 {first} 至 {last} 层", **told)
            raise LayersUnfit(key="layers_to_transform", problem=problem)
        linear = [name for name in linear if _layer(name) in settings.layers_to_transform]
    if not linear:
        raise ModelUnsupported(problem=t("it has no linear layer to adapt", "没有可适配的线性层"))
    return sorted(linear)


def _linear(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return the full names of the linear layers, the head left out."""
    return [
        name.removesuffix(".weight")
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) == _MATRIX and not _NOT_LINEAR.search(name)
    ]


def projected_names(shapes: Mapping[str, tuple[int, ...]], settings: TrainSettings) -> list[str]:
    """Return the names of the weights whose gradients GaLore projects, sorted; `shapes` maps trained weights to shapes.

    `galore_target` names layers, or what they are parts of, such as `mlp`.

    Raises: LayersUnfit for a part that is not trained, or a rank that would leave a gradient as it is.
    """
    if not settings.use_galore:
        return []
    linear = _linear(shapes)
    target = set(settings.galore_target) - {"all"}
    _refuse_strangers("galore_target", target, {part for name in linear for part in name.split(".")})
    names = [f"{name}.weight" for name in linear if not target or target.intersection(name.split("."))]
    if wide := next((name for name in names if min(shapes[name]) <= settings.galore_rank), None):
        told = {"layer": _last(wide.removesuffix(".weight")), "side": min(shapes[wide]), "rank": settings.galore_rank}
        raise LayersUnfit(
            key="galore_rank",
            problem=t(
                "{layer} has a side of {side}: galore_rank {rank} would project nothing away",
                "{layer} 的一边为 {side}：galore_rank {rank} 不会投影掉任何内容",
                **told,
            ),
        )
    return sorted(names)


def own_names(shapes: Mapping[str, tuple[int, ...]], settings: TrainSettings) -> list[str]:
    """Return the names of the base's own weights that are trained, sorted; `shapes` maps weight names to shapes, a tied head left out.

    Freeze tuning means what it does in LLaMA-Factory: the last `freeze_trainable_layers` layers, or the first ones where the number is below zero; in
    them `freeze_trainable_modules`; and outside of all layers `freeze_extra_modules`.

    Raises: LayersUnfit when a name of the settings is not in the model.
    """
    if settings.method == "full.v1":
        return sorted(shapes)
    layers = sorted({_layer(name) for name in shapes} - {-1})
    count = settings.freeze_trainable_layers
    chosen = set(layers[-count:] if count > 0 else layers[:-count])
    inside = {name: _part(name) for name in shapes if _layer(name) >= 0}
    outside = {name: _part(name) for name in shapes if _layer(name) < 0}
    _refuse_strangers("freeze_trainable_modules", set(settings.freeze_trainable_modules) - {"all"}, set(inside.values()))
    _refuse_strangers("freeze_extra_modules", set(settings.freeze_extra_modules), set(outside.values()))
    modules = settings.freeze_trainable_modules
    found = [name for name, part in inside.items() if _layer(name) in chosen and (modules == ("all",) or part in modules)]
    return sorted([*found, *(name for name, part in outside.items() if part in settings.freeze_extra_modules)])


def _part(name: str) -> str:
    """Return what LLaMA-Factory calls a module: the part of a layer that a weight belongs to, or of the model where it is in no layer."""
    found = _LAYER.search(name)
    return name[found.end() :].partition(".")[0] if found else name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2]


def _refuse_strangers(key: str, asked: set[str], known: set[str]) -> None:
    if unknown := sorted(asked - known):
        told = {"unknown": ", ".join(unknown), "known": ", ".join(sorted(known))}
        problem = t("it has no module called {unknown}; it has {known}", "没有名为 {unknown} 的模块；有 {known}", **told)
        raise LayersUnfit(key=key, problem=problem)


def predict(model: ModelFolder, settings: TrainSettings) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that training writes, from the headers of the base model.

    Raises: LayersUnfit, ModelUnsupported.
    """
    settings = settings.saved
    shapes = {name: info.shape for name, info in model.weights.items()}
    if settings.is_whole:
        if model.config.get("tie_word_embeddings"):
            shapes.pop("lm_head.weight", None)
        trained = {name: shapes[name] for name in own_names(shapes, settings)}
        projected_names(trained, settings)  # refused here, where it costs nothing
        return trained
    predicted: dict[str, tuple[int, ...]] = {}
    for name in layer_names(shapes, settings):
        rows, columns = shapes[f"{name}.weight"]
        if settings.method == _OFT:
            predicted[f"{_PREFIX}{name}.oft_R.weight"] = _rotations(name, columns, settings)
            continue
        predicted[f"{_PREFIX}{name}.lora_A.weight"] = (settings.lora_rank, columns)
        predicted[f"{_PREFIX}{name}.lora_B.weight"] = (rows, settings.lora_rank)
        if settings.method == _DORA:
            predicted[f"{_PREFIX}{name}.lora_magnitude_vector"] = (rows,)
    if settings.is_reward:
        predicted[f"{_PREFIX}{_HEAD}.weight"] = (1, shapes[_EMBEDDING][1])
    return predicted


def _rotations(name: str, columns: int, settings: TrainSettings) -> tuple[int, int]:
    """Return (blocks, numbers of one) of the rotation of a layer's inputs: a skew-symmetric matrix for each block.

    Raises: LayersUnfit.
    """
    size = settings.oft_block_size or columns // settings.oft_rank
    if columns % (settings.oft_rank or size) or size < _MATRIX:
        told = {"layer": _last(name), "inputs": columns, "by": settings.oft_rank or size}
        problem = t("{layer} has {inputs} inputs, which {by} does not divide", "{layer} 有 {inputs} 个输入，不能被 {by} 整除", **told)
        raise LayersUnfit(key="oft_rank" if settings.oft_rank else "oft_block_size", problem=problem)
    return columns // size, size * (size - 1) // 2


def check(data: bytes, predicted: Mapping[str, tuple[int, ...]], *, size: int | None = None) -> None:
    """Return when `data` is the predicted adapter: same names and shapes, float32, no text beside them.

    data: the whole file, or its first bytes with `size`, the length of the file in bytes. No tensor is read.

    Raises: AdapterUnexpected. Its sentence quotes nothing of the file.
    """
    try:
        header = parse_header(data, size=len(data) if size is None else size, file=WEIGHTS)
    except UnsafeFile as cause:
        raise AdapterUnexpected(problem=t("it is not a well-formed safetensors file", "不是格式正确的 safetensors 文件")) from cause
    if header.metadata not in ({}, {"format": "pt"}):
        raise AdapterUnexpected(problem=t("it holds metadata", "含有元数据"))
    if missing := predicted.keys() - header.tensors.keys():
        raise AdapterUnexpected(problem=t("{n} tensors are missing", "缺少 {n} 个张量", n=len(missing)))
    if extra := header.tensors.keys() - predicted.keys():
        raise AdapterUnexpected(problem=t("{n} tensors are too many", "多出 {n} 个张量", n=len(extra)))
    if any(info != TensorInfo("F32", predicted[name]) for name, info in header.tensors.items()):
        raise AdapterUnexpected(problem=t("a tensor has another shape or type", "有张量的形状或类型不符"))


def peft_config(settings: TrainSettings, base_name: str, predicted: Iterable[str]) -> dict[str, Any]:
    """Return `adapter_config.json`, which the host writes itself; stock peft loads it to the same logits."""
    settings = settings.saved
    head = f"{_PREFIX}{_HEAD}.weight"
    names = {re.split(r"\.(?:lora|oft)_", name.removeprefix(_PREFIX))[0] for name in predicted if name != head}
    common = {
        "task_type": task_type(settings),
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "target_modules": sorted({_last(name) for name in names}),
        "layers_to_transform": sorted(settings.layers_to_transform) if settings.layers_to_transform is not None else None,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": modules_to_save(settings),
    }
    if settings.method == _OFT:
        own = {"r": settings.oft_rank, "oft_block_size": settings.oft_block_size, "module_dropout": settings.module_dropout}
        return {"peft_type": "OFT", **common, **own}
    return {
        "peft_type": "LORA",
        **common,
        "r": settings.lora_rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.lora_dropout,
        "use_dora": settings.method == _DORA,
        "use_rslora": settings.use_rslora,
    }


def task_type(settings: TrainSettings) -> str:
    """Return what peft calls the model that an adapter is for."""
    return "SEQ_CLS" if settings.is_reward else "CAUSAL_LM"


def modules_to_save(settings: TrainSettings) -> list[str] | None:
    """Return the layers that are trained and saved whole, as peft calls them; None without one."""
    return [_HEAD] if settings.is_reward else None


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _layer(name: str) -> int:
    found = _LAYER.search(name)
    return int(found[1]) if found else -1
