"""Models whose rows meet: mixtures of experts, and rotary tables that follow the longest row of a batch."""

from __future__ import annotations

from collections.abc import Mapping

_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "router_aux_loss_coef", "router_z_loss_coef")


def router_key(config: Mapping[str, object]) -> str | None:
    """Return the key of a model's config.json that says that a router shares its tokens out; None: no row of a batch sees another.

    A router's balance loss is a mean over the batch, and an expert that is full turns tokens away: either way one row changes what others add.
    """
    return next((key for key in _KEYS if config.get(key)), None)


def rotary_key(config: Mapping[str, object]) -> str | None:
    """Return the key of a model's config.json that makes its rotary tables follow the longest row of a batch; None: they are the same for every batch.

    transformers chooses those of `dynamic` and `longrope` by the largest position in the batch (modeling_rope_utils, dynamic_rope_update).
    """
    return next((key for key in ("rope_parameters", "rope_scaling") if _follows(config.get(key))), None)


def _follows(told: object) -> bool:
    if not isinstance(told, Mapping):
        return False
    kinds = (told.get("rope_type"), told.get("type"))
    return any("dynamic" in str(kind) or kind in ("longrope", "su") for kind in kinds) or any(map(_follows, told.values()))
