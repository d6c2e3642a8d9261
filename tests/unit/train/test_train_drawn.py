"""GRPO and RLOO on real sealed objects, by TRL: what is learned, what is measured, what is left on the disk and what is called."""

from __future__ import annotations

from safetensors.torch import load as load_tensors

from ringfence.train import adapter, job
from ringfence.train.settings import DrawnSettings, RuntimeHints, TrainOrder, TrainSettings
from ringfence.vault.files import read_file
from tests.unit.train.train_parts import Memory, Vault, child, pair

PLAIN = RuntimeHints(device="cpu", dtype="float32")
DRAWN = DrawnSettings(reward=("concise.v1",), num_generations=2, max_completion_length=8)
FAST = TrainSettings(
    objective="grpo.v1", drawn=DRAWN, max_steps=2, per_device_train_batch_size=4, learning_rate=1e-2, lora_rank=4, cutoff_len=96
)


def asked(count):
    return [pair(f"number {i}?", f"yes {i}") for i in range(count)]


def start(tmp_path, tiny_folder, settings=FAST, *, records=None, stop_at=None):
    vault = Vault(tmp_path)
    channel = Memory(vault, stop_at=stop_at)
    inputs = {"set": vault.write_set(asked(6) if records is None else records)}
    outputs = {"adapter": vault.output("adapter")}
    order = TrainOrder(train=settings, hints=PLAIN)
    return child(vault, channel, order, inputs=inputs, outputs=outputs, files={"model": str(tiny_folder)}), channel


def learned(made):
    slot = made.order.outputs["adapter"]
    return load_tensors(read_file(Vault(None).as_input(slot), made.keys.data[slot.slot], adapter.WEIGHTS))


def test_a_run_draws_answers_and_says_what_they_were_worth(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder)
    figures = job.run(made)
    assert (figures.steps, figures.rows, figures.dropped) == (2, 6, 0)
    assert len(figures.rewards) == len(figures.answer_tokens) == 2
    assert any(weight.abs().max() > 0 for name, weight in learned(made).items() if ".lora_B." in name)
    assert [frame.reward for frame in channel.frames if frame.phase == "work"] == list(figures.rewards)
