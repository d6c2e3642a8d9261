"""The frozen base held by all ranks together: each keeps a part of every layer's weights, and has a layer whole for as long as it computes it.

What is trained stays whole on every rank, and so do the embedding, the last norm and the head: they are met outside of all layers.
Source: PyTorch's `fully_shard` (FSDP2), which is ZeRO-3 (Rajbhandari et al. 2020, arXiv:1910.02054) of one layer at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from typing import Any

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from ringfence.core.errors import ModelUnsupported
from ringfence.core.text import t

_MMAP_THRESHOLD, _LARGE = -3, 128 << 10  # M_MMAP_THRESHOLD of mallopt(3), and the bytes that it begins with


def return_memory() -> None:
    """Let this process return every large piece of memory as soon as it is free. Call it before the base is read.

    Else glibc takes ever larger pieces for small ones, and keeps them: layers that come and go then leave holes, and the parts take more memory than
    the whole (docs/decisions/0015). It costs time to be given the pages anew.
    """
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)


def share_out(model: Any, base: Collection[int], *, device: str) -> None:  # noqa: ANN401  transformers is untyped
    """Leave of every layer of a model, on the CPU, this rank's part of the base's weights, on the device; what else it has goes there whole.

    base: the ids of the weights that the model had before anything was trained beside them. Every rank must call it, after they met, and from then on go through
    the model as often as the others, and in the same order: a layer is gathered in each forward and in each backward.

    Raises: ModelUnsupported for a model whose layers are not known.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    backbone = getattr(whole, whole.base_model_prefix)
    layers = [one for one in backbone.modules() if isinstance(one, GradientCheckpointingLayer)]
    if not layers:
        raise ModelUnsupported(problem=t("its layers are not known, so --shard cannot divide them", "其各层未知，--shard 无法拆分"))
    divided = {id(weight) for layer in layers for weight in layer.parameters()}.intersection(base)
    kept = {weight for weight in model.parameters() if id(weight) not in divided}
    for weight in kept:
        weight.data = weight.data.to(device)
    assert dist.group.WORLD is not None  # noqa: S101  they have met
    mesh = DeviceMesh.from_group(dist.group.WORLD, device)  # no group of its own: making one would wait for ranks whose turn has not come
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=kept)
    fully_shard(backbone, mesh=mesh, ignored_params=kept)  # with no weights of its own: it only knows the order of the layers
