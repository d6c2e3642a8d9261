"""The loop against TRL's SFTTrainer: same model, initial adapter, rows, order, batches and optimiser settings, float32; every step's loss."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ringfence.models.load import choose_attention, load_model
from ringfence.models.tiny import write_tiny_model
from ringfence.train.batches import Shuffled
from ringfence.train.data import Corpus, Example
from ringfence.train.loop import train
from ringfence.train.schedule import rows_of_step
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer

CLOSE = 1e-5  # of any step's loss
PLAIN = TrainSettings(lora_rank=4, per_device_train_batch_size=4, learning_rate=5e-3, max_steps=10, cutoff_len=128)
ACCUMULATED = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
CASES = {  # rows of the set, settings
    "plain": (24, {}),
    "accumulated": (24, ACCUMULATED),
    "short last batch": (22, {**ACCUMULATED, "max_steps": 6}),  # one epoch: 5 steps of 4 rows and one of 2
    "decay, warm-up, cosine": (24, {"weight_decay": 0.1, "warmup_ratio": 0.3, "lr_scheduler_type": "cosine"}),
    "full, decay": (24, {"method": "full.v1", "weight_decay": 0.1}),  # of matrices alone: neither of norms nor of biases
    "unclipped, constant": (24, {"max_grad_norm": 0.0, "lr_scheduler_type": "constant", "lora_alpha": 4}),
}


class Nobody:
    """A host that only listens."""

    def progress(self, progress):
        pass

    def should_stop(self):
        return False


def examples(count):
    """Rows of mixed length, half of each learned, drawn from the byte tokens of the tiny model."""
    drawn = np.random.default_rng(5)
    rows = []
    for _ in range(count):
        length = int(drawn.integers(6, 90))
        rows.append(Example(drawn.integers(3, 259, length, dtype=np.int32), np.arange(length) >= max(1, length // 2)))
    return rows


def move(trainer):
    """Give B a value: at zero the first loss would be the base's and say nothing about alpha, rank or A."""
    with torch.no_grad():
        for name, weight in trainer.method.parameters().items():
            if "lora_B" in name:
                weight.normal_(std=0.05)


def said_by_trl(other_side, folder, trainer, loss_type, rows):
    """Return what TRL says of the same rows, from the same weights of the model in `folder`."""
    settings = trainer.settings
    save_file(trainer.method.export(), folder / "adapter")
    other_side(
        "trl-venv",
        "trl_side.py",
        loss_type=loss_type,
        model=folder / "model",
        adapter=folder / "adapter",
        rows=rows,
        settings=settings.model_dump(),
        alpha=settings.alpha,
        warmup_steps=math.ceil((settings.max_steps or 0) * settings.warmup_ratio),
        folder=folder / "trl",
        out=folder / "losses.json",
    )
    return json.loads((folder / "losses.json").read_text())


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_every_step_has_the_loss_of_trls_trainer(case, other_side, tmp_path, say):
    began = time.monotonic()
    count, changes = CASES[case]
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), **changes})
    folder = write_tiny_model(tmp_path / "model")
    rows = examples(count)
    longest = max(len(row.ids) for row in rows)
    attention = choose_attention("auto", device="cpu", longest=longest)
    model = load_model(folder, dtype=torch.float32, device="cpu", attention=attention)
    trainer = Trainer(model, settings, hints=RuntimeHints(), padding=0, device="cpu")
    move(trainer)
    read = [rows[i] for step in range(settings.max_steps) for i in rows_of_step(settings, count, step)]
    written = [{"input_ids": row.ids.tolist(), "completion_mask": row.learn.astype(int).tolist()} for row in read]
    theirs = said_by_trl(other_side, tmp_path, trainer, "sft", written)
    ours = train(trainer, Shuffled(settings, Corpus(rows, dropped=0, truncated=0)), channel=Nobody()).history.losses
    apart = [abs(mine - other) for mine, other in zip(ours, theirs["losses"], strict=True)]
    say(f"{case}: {len(ours)} steps, loss {ours[0]:.4f} to {ours[-1]:.4f}, furthest {max(apart):.2e}; {time.monotonic() - began:.0f} s")
    assert len(ours) >= 5
    assert theirs["logged"] == pytest.approx(theirs["losses"], abs=1e-3)  # what we took from TRL is what it says of itself
    assert max(apart) <= CLOSE
    assert max(ours) - min(ours) > 100 * CLOSE  # the steps change something
