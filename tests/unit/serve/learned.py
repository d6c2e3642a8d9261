"""A tiny model that learned a few answers by heart, with its adapter sealed."""

from __future__ import annotations

import torch

from ringfence.core.order import Slot
from ringfence.models.tiny import write_tiny_model
from ringfence.train import job as training
from ringfence.train.settings import TrainOrder, TrainSettings
from tests.unit.train.train_parts import Memory, Vault, child


def by_heart(tmp_path_factory, rows, settings: TrainSettings, **model: str) -> tuple[object, Vault, Slot]:
    """Return the model's folder, the vault and the sealed adapter. model: see `write_tiny_model`."""
    torch.set_num_threads(1)
    folder = write_tiny_model(tmp_path_factory.mktemp("m") / "model", **model)
    vault = Vault(tmp_path_factory.mktemp("v"))
    slot = vault.output("adapter")
    made = child(
        vault,
        Memory(vault),
        TrainOrder(train=settings),
        inputs={"set": vault.write_set(rows)},
        outputs={"adapter": slot},
        files={"model": str(folder)},
    )
    figures = training.run(made)
    assert figures.loss_last < 0.2
    assert figures.closing == (2 if model else None)
    return folder, vault, vault.as_input(slot)
