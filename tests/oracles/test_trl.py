"""The loop against TRL's SFTTrainer: same model, initial adapter, rows, order, batches and optimiser settings, float32; every step's loss."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ringfence.core.records import Record
from ringfence.models.load import choose_attention, load_model, load_tokenizer
from ringfence.models.tiny import write_tiny_model
from ringfence.train.batches import Shuffled
from ringfence.train.data import Corpus, Example, encode
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
TOOLS = json.dumps(
    [
        {
            "name": "look",
            "description": "finds who is in a ward",
            "parameters": {"type": "object", "properties": {"ward": {"type": "string"}}},
        }
    ]
)
_WARDS = ("one", "two", "三", "the ward beside the garden")


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


def with_gaps():
    """Rows of mixed length, of which several stretches are learned and others between them are not."""
    drawn = np.random.default_rng(6)
    rows = []
    for _ in range(24):
        stretches = drawn.integers(1, 14, int(drawn.integers(3, 9)))
        learn = np.repeat(np.arange(len(stretches)) % 2 == 1, stretches)
        rows.append(Example(drawn.integers(3, 259, len(learn), dtype=np.int32), learn))
    return rows


def talks(folder, settings):
    """Conversations of several rounds with tools, as the model's template and our masks make them."""
    tokenizer = load_tokenizer(folder)
    rows = []
    for at in range(24):
        ward = _WARDS[at % 4]
        call = json.dumps([{"name": "look", "arguments": {"ward": ward}}], ensure_ascii=False)
        turns = [("user", f"Who is in {ward}?"), ("call", call), ("tool", f"{at} people" * (1 + at % 3)), ("assistant", f"There are {at}.")]
        more = [("user", "Thank you."), ("assistant", "You are welcome" + "!" * (at % 5))] if at % 2 else []
        roles, texts = zip(("tools", TOOLS), *turns, *more, strict=True)
        rows.append(encode(Record(f"{at:032x}", f"{at:032x}", "t", "messages", roles, texts), tokenizer, settings))
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


def assert_same_losses(case, folder, settings, rows, *, other_side, say):
    """Every step has the loss of TRL's trainer over the same ids with the same of them learned."""
    began = time.monotonic()
    attention = choose_attention("auto", device="cpu", longest=max(len(row.ids) for row in rows))
    model = load_model(folder / "model", dtype=torch.float32, device="cpu", attention=attention)
    trainer = Trainer(model, settings, hints=RuntimeHints(), padding=0, device="cpu")
    move(trainer)
    read = [rows[i] for step in range(settings.max_steps) for i in rows_of_step(settings, len(rows), step)]
    written = [{"input_ids": row.ids.tolist(), "completion_mask": row.learn.astype(int).tolist()} for row in read]
    theirs = said_by_trl(other_side, folder, trainer, "sft", written)
    ours = train(trainer, Shuffled(settings, Corpus(rows, dropped=0, truncated=0)), channel=Nobody()).history.losses
    apart = [abs(mine - other) for mine, other in zip(ours, theirs["losses"], strict=True)]
    say(f"{case}: {len(ours)} steps, loss {ours[0]:.4f} to {ours[-1]:.4f}, furthest {max(apart):.2e}; {time.monotonic() - began:.0f} s")
    assert len(ours) >= 5
    assert theirs["logged"] == pytest.approx(theirs["losses"], abs=1e-3)  # what we took from TRL is what it says of itself
    assert max(apart) <= CLOSE
    assert max(ours) - min(ours) > 100 * CLOSE  # the steps change something


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_every_step_has_the_loss_of_trls_trainer(case, other_side, tmp_path, say):
    count, changes = CASES[case]
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), **changes})
    write_tiny_model(tmp_path / "model")
    assert_same_losses(case, tmp_path, settings, examples(count), other_side=other_side, say=say)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_rows_with_several_answers_have_the_loss_of_trls_trainer(other_side, tmp_path, say):
    write_tiny_model(tmp_path / "model")
    rows = with_gaps()
    assert all(np.diff(row.learn.astype(int)).clip(min=0).sum() >= 1 for row in rows)
    assert max(np.diff(row.learn.astype(int)).clip(min=0).sum() for row in rows) >= 4
    assert_same_losses("several answers", tmp_path, PLAIN, rows, other_side=other_side, say=say)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "changes", [{}, {"mask_history": True}, {"train_on_prompt": True}], ids=["answers", "the last answer", "questions, too"]
)
def test_conversations_with_tools_have_the_loss_of_trls_trainer(changes, other_side, tmp_path, say):
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), **changes, "cutoff_len": 512})
    rows = talks(write_tiny_model(tmp_path / "model"), settings)
    assert len({len(row.ids) for row in rows}) > 10
    assert max(len(row.ids) for row in rows) < 512
    assert_same_losses(f"tools, {changes}", tmp_path, settings, rows, other_side=other_side, say=say)
