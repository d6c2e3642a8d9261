"""Models whose rows meet: mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping

_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "router_aux_loss_coef", "router_z_loss_coef")


def router_key(config: Mapping[str, object]) -> str | None:
    """Return the key of a model's config.json that says that a router shares its tokens out; None: no row of a batch sees another.

    A router's balance loss is a mean over the batch, and an expert that is full turns tokens away: either way one row changes what others add.
    """
    return next((key for key in _KEYS if config.get(key)), None)
