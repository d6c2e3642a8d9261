"""Seconds of CPU time of one ordinary LoRA step, beside TRL's SFTTrainer: same rows, same batch, same precision, interleaved.

Run: python benchmarks/train_step.py [--trl-python PATH] [--model FOLDER] [--quick]

PATH is the interpreter of an environment that holds trl 1.16, datasets and the same torch (default: the one of tests/environments.sh). TRL
runs without gradient checkpointing and without its evaluation extras; both sides use one thread. Two cases: rows of mixed length, as in
real sets, and rows of equal length, where nothing is padding. The loss of the first step must agree before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from frame import tell

BATCH, RATE, RANK = 8, 2e-4, 8
TRL = Path(__file__).parents[1] / ".cache" / "trl-venv" / "bin" / "python"  # tests/environments.sh makes it
TOLERANCE = 2e-4  # of the first loss: two attention kernels, two orders of summation


def rows_of(case: str, steps: int) -> list[dict[str, list[int]]]:
    """Return tokenised rows; lengths of the mixed case follow PubMedQA's (mean about 100, deviation about 35 tokens)."""
    drawn = random.Random(7)
    rows = []
    for _ in range(steps * BATCH):
        length = 100 if case == "equal" else max(48, min(256, round(drawn.lognormvariate(4.56, 0.33))))
        prompt = length // 2
        rows.append(
            {"input_ids": [drawn.randrange(100, 40_000) for _ in range(length)], "completion_mask": [0] * prompt + [1] * (length - prompt)}
        )
    return rows


def announce(seconds: float, loss: float) -> None:
    print(json.dumps({"seconds": seconds, "loss": loss}), flush=True)


def ours(model: str, rows: list[dict[str, list[int]]], steps: int) -> None:
    """One worker: makes a step for each line of its input."""
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import numpy as np
    import torch

    from ringfence.models.load import choose_attention, load_model
    from ringfence.train.data import Example
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import Trainer

    torch.set_num_threads(1)
    examples = [Example(np.array(r["input_ids"], np.int32), np.array(r["completion_mask"], np.bool_)) for r in rows]
    attention = choose_attention("auto", device="cpu", longest=max(len(e.ids) for e in examples))
    base = load_model(Path(model), dtype=torch.float32, device="cpu", attention=attention)
    settings = TrainSettings(per_device_train_batch_size=BATCH, learning_rate=RATE, lora_rank=RANK, max_steps=steps)
    trainer = Trainer(base, settings, hints=RuntimeHints(), padding=0, device="cpu")
    announce(0, 0)
    for step, _ in enumerate(sys.stdin):
        began = time.process_time()
        loss = trainer.step(examples[step * BATCH : (step + 1) * BATCH], step=step, steps=steps)
        announce(time.process_time() - began, loss)


def theirs(model: str, rows: list[dict[str, list[int]]], steps: int) -> None:
    """The other worker: SFTTrainer.train, whose callbacks wait for a line before each step."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(1)

    class Gate(TrainerCallback):
        began = seconds = 0.0

        def on_step_begin(self, *_, **__):
            """Wait for a line."""
            if not sys.stdin.readline():
                sys.exit()
            self.began = time.process_time()

        def on_step_end(self, *_, **__):
            """Stop the clock."""
            self.seconds = time.process_time() - self.began

        def on_log(self, *_, logs=None, **__):
            """Answer."""
            if logs and "loss" in logs:
                announce(self.seconds, logs["loss"])

    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=RATE, max_length=512,
            completion_only_loss=True, bf16=False,
            gradient_checkpointing=False, use_cpu=True, report_to="none", logging_steps=1, save_strategy="no", seed=42,
            train_sampling_strategy="sequential", dataloader_num_workers=0, disable_tqdm=True,
        )  # fmt: skip
        lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(model),
            peft_config=lora,
            callbacks=[Gate()],
        )
        announce(0, 0)
        trainer.train()


class Worker:
    """One side, in a process of its own."""

    def __init__(self, python: str, *arguments: str) -> None:
        quiet = {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self.process = subprocess.Popen(
            [python, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **quiet},
        )
        self._answer()

    def _answer(self) -> dict[str, float]:
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):
                return json.loads(line)
        raise SystemExit(f"a worker ended early: {self.process.args}")

    def step(self) -> dict[str, float]:
        """Return CPU seconds and loss of the next step."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the worker."""
        self.process.stdin.close()
        self.process.wait()


def compare(case: str, options: argparse.Namespace) -> None:
    steps = 3 if options.quick else options.steps
    arguments = ("--model", options.model, "--case", case, "--steps", str(steps), "--worker")
    mine, peer = Worker(sys.executable, *arguments, "ours"), Worker(options.trl_python, *arguments, "theirs")
    first = mine.step(), peer.step()  # also the warm-up
    assert abs(first[0]["loss"] - first[1]["loss"]) < TOLERANCE, f"the losses differ: {first}"
    pairs = []
    for step in range(1, steps):
        sides = (mine, peer) if step % 2 else (peer, mine)
        seconds = {side: side.step()["seconds"] for side in sides}
        pairs.append((seconds[mine], seconds[peer]))
    mine.close()
    peer.close()
    ours_median, peer_median = (statistics.median(side) for side in zip(*pairs, strict=True))
    line = {
        "bench": "train_step", "case": case, "metric": "CPU time of a step of 8 rows", "unit": "s", "ours": round(ours_median, 3),
        "peer": "trl 1.16 SFTTrainer", "peer_value": round(peer_median, 3), "ratio": round(statistics.median(a / b for a, b in pairs), 3),
        "spread": [round(f(a / b for a, b in pairs), 3) for f in (min, max)], "steps": len(pairs), "first_loss": round(first[0]["loss"], 5),
    }  # fmt: skip
    tell(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trl-python", default=str(TRL if TRL.exists() else sys.executable))
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--steps", type=int, default=11)
    parser.add_argument("--case", choices=("mixed", "equal"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", choices=("ours", "theirs"))
    options = parser.parse_args()
    if options.worker:
        (ours if options.worker == "ours" else theirs)(options.model, rows_of(options.case, options.steps), options.steps)
        return
    if options.model is None:
        from ringfence.models.store import find

        options.model = str(find("smollm2").path)
    for case in (options.case,) if options.case else ("mixed", "equal"):
        compare(case, options)


if __name__ == "__main__":
    main()
