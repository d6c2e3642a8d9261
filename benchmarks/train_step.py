"""Seconds of CPU time of one ordinary LoRA step, beside TRL's and LLaMA-Factory's own trainers: same rows, same batch, same precision, interleaved.

Run: python benchmarks/train_step.py [--objective sft|dpo] [--peer trl|llamafactory] [--python PATH] [--model FOLDER] [--case mixed|equal] [--quick]

PATH is the interpreter of the peer's environment (default: that of tests/environments.sh). The peers run without gradient checkpointing and without their
evaluation extras; every side uses one thread. Two cases: rows of mixed length, as in real sets, and rows of equal length, where nothing is padding. The loss
of the first step must agree before anything is timed. DPO compares with the model before training: the peers ask it in every step, we once for every row, and
what that took is added to our steps in equal parts, as if no row were read twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

BATCH, RATE, RANK = 8, 2e-4, 8
CACHE = Path(__file__).parents[1] / ".cache"
PEERS = {"trl": ("trl-venv", "trl 1.16"), "llamafactory": ("llamafactory-train-venv", "LLaMA-Factory 0.9.5")}
TOLERANCE = 2e-4  # of the first loss: two attention kernels, two orders of summation, and logs of four digits
MIB = 1 << 20


def rows_of(objective: str, case: str, steps: int) -> list[dict[str, list[int]]]:
    """Return tokenised rows; lengths of the mixed case follow PubMedQA's (mean about 100, deviation about 35 tokens). Half of a row is its question."""
    drawn = random.Random(7)
    rows = []
    for _ in range(steps * BATCH):
        length = 100 if case == "equal" else max(48, min(256, round(drawn.lognormvariate(4.56, 0.33))))
        row = {
            "prompt_ids": [drawn.randrange(100, 40_000) for _ in range(length // 2)],
            "chosen_ids": [drawn.randrange(100, 40_000) for _ in range(length - length // 2)],
        }
        if objective == "dpo":
            row["rejected_ids"] = [drawn.randrange(100, 40_000) for _ in range(length - length // 2)]
        rows.append(row)
    return rows


def announce(seconds: float, loss: float) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "loss": loss, "memory": memory}), flush=True)


def ours(objective: str, model: str, rows: list[dict[str, list[int]]], steps: int) -> None:
    """One worker: makes a step for each line of its input."""
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import numpy as np
    import torch

    from ringfence.models.load import choose_attention, load_model
    from ringfence.train.data import Example, Tokens
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import Trainer

    torch.set_num_threads(1)

    def tokens(row, answer):
        ids = np.array(row["prompt_ids"] + row[answer], np.int32)
        return Tokens(ids, np.arange(len(ids)) >= len(row["prompt_ids"]))

    examples = [Example(*tokens(row, "chosen_ids")) for row in rows]
    if objective == "dpo":
        examples = [one._replace(other=tokens(row, "rejected_ids")) for one, row in zip(examples, rows, strict=True)]
    attention = choose_attention("auto", device="cpu", longest=max(one.longest for one in examples))
    base = load_model(Path(model), dtype=torch.float32, device="cpu", attention=attention)
    settings = TrainSettings(
        objective=f"{objective}.v1", per_device_train_batch_size=BATCH, learning_rate=RATE, lora_rank=RANK, max_steps=steps
    )
    trainer = Trainer(base, settings, hints=RuntimeHints(), padding=0, device="cpu")
    began = time.process_time()
    examples = trainer.refer(examples)
    reference = (time.process_time() - began) / steps
    announce(0, 0)
    for step, _ in enumerate(sys.stdin):
        began = time.process_time()
        loss = trainer.step(examples[step * BATCH : (step + 1) * BATCH], step=step, steps=steps)
        announce(time.process_time() - began + reference, loss)


def gate():
    """Return a callback that waits for a line before each step and answers after it."""
    from transformers import TrainerCallback

    class Gate(TrainerCallback):
        began = seconds = 0.0

        def on_train_begin(self, *_, **__):
            """Say that it is ready."""
            announce(0, 0)

        def on_step_begin(self, *_, **__):
            """Wait for a line."""
            if not sys.stdin.readline():
                os._exit(0)
            self.began = time.process_time()

        def on_step_end(self, *_, **__):
            """Stop the clock."""
            self.seconds = time.process_time() - self.began

        def on_log(self, *_, logs=None, **__):
            """Answer."""
            if logs and "loss" in logs:
                announce(self.seconds, logs["loss"])

    return Gate()


def trl(objective: str, model: str, rows: list[dict[str, list[int]]], steps: int) -> None:
    """Another worker: TRL's SFTTrainer or DPOTrainer."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    torch.set_num_threads(1)

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset, *_, **__):
            return dataset

    if objective == "sft":
        rows = [
            {"input_ids": r["prompt_ids"] + r["chosen_ids"], "completion_mask": [0] * len(r["prompt_ids"]) + [1] * len(r["chosen_ids"])}
            for r in rows
        ]
    kind, configured, more = {
        "sft": (SFTTrainer, SFTConfig, {"completion_only_loss": True}),
        "dpo": (Tokenised, DPOConfig, {"remove_unused_columns": False}),
    }[objective]
    with tempfile.TemporaryDirectory() as folder:
        config = configured(
            output_dir=folder, per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=RATE, max_length=512, bf16=False,
            gradient_checkpointing=False, use_cpu=True, report_to="none", logging_steps=1, save_strategy="no", seed=42,
            train_sampling_strategy="sequential", dataloader_num_workers=0, disable_tqdm=True, **more,
        )  # fmt: skip
        trainer = kind(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(model),
            peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[gate()],
        )
        trainer.train()


def in_float32(model: Path, folder: Path) -> str:
    """Return a folder of the same model whose configuration says float32: LLaMA-Factory trains in the precision that it says there."""
    folder.mkdir()
    for path in model.iterdir():
        if path.name != "config.json":
            (folder / path.name).symlink_to(path)
    (folder / "config.json").write_text(json.dumps(json.loads((model / "config.json").read_text()) | {"dtype": "float32"}))
    return str(folder)


def llamafactory(objective: str, model: str, rows: list[dict[str, list[int]]], steps: int) -> None:
    """The third worker: what `llamafactory-cli train` runs, on rows that are tokenised already."""
    os.environ["DISABLE_VERSION_CHECK"] = "1"  # it asks for an older torch than the other side has
    sys.modules["torchaudio"] = ModuleType("torchaudio")  # imported for sound
    sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
    import importlib

    import torch
    from datasets import Dataset
    from llamafactory.train.tuner import run_exp

    torch.set_num_threads(1)

    def labelled(row, answer, prefix=""):
        asked, said = row["prompt_ids"], row[answer]
        return {
            f"{prefix}input_ids": asked + said,
            f"{prefix}attention_mask": [1] * len(asked + said),
            f"{prefix}labels": [-100] * len(asked) + said,
        }

    made = [
        labelled(row, "chosen_ids")
        if objective == "sft"
        else labelled(row, "chosen_ids", "chosen_")
        | labelled(row, "rejected_ids", "rejected_")
        | dict.fromkeys(("images", "videos", "audios"))
        for row in rows
    ]
    workflow = importlib.import_module(f"llamafactory.train.{objective}.workflow")
    workflow.get_dataset = lambda *_, **__: {"train_dataset": Dataset.from_list(made)}
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "model_name_or_path": in_float32(Path(model), Path(folder) / "model"), "stage": objective, "do_train": True, "finetuning_type": "lora", "lora_rank": RANK, "lora_target": "all",
            "dataset": "rows", "template": "empty", "cutoff_len": 512, "output_dir": folder, "per_device_train_batch_size": BATCH, "max_steps": steps,
            "learning_rate": RATE, "bf16": False, "disable_gradient_checkpointing": True, "use_cpu": True, "report_to": "none", "logging_steps": 1,
            "save_strategy": "no", "seed": 42, "disable_shuffling": True, "dataloader_num_workers": 0, "disable_tqdm": True,
        }  # fmt: skip
        run_exp(told, callbacks=[gate()])


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
    from frame import tell

    steps = 3 if options.quick else options.steps
    folder, name = PEERS[options.peer]
    python = options.python or str(CACHE / folder / "bin" / "python")
    arguments = ("--model", options.model, "--case", case, "--steps", str(steps), "--objective", options.objective, "--worker")
    mine, peer = Worker(sys.executable, *arguments, "ours"), Worker(python, *arguments, options.peer)
    first = mine.step(), peer.step()  # also the warm-up
    assert abs(first[0]["loss"] - first[1]["loss"]) < TOLERANCE, f"the losses differ: {first}"
    pairs, last = [], {}
    for step in range(1, steps):
        sides = (mine, peer) if step % 2 else (peer, mine)
        last = {side: side.step() for side in sides}
        pairs.append((last[mine]["seconds"], last[peer]["seconds"]))
    mine.close()
    peer.close()
    ours_median, peer_median = (statistics.median(side) for side in zip(*pairs, strict=True))
    rows = rows_of(options.objective, case, steps)[BATCH:]
    tokens = sum(
        len(ids) + (len(row["prompt_ids"]) if "rejected_ids" in row and key == "rejected_ids" else 0)
        for row in rows
        for key, ids in row.items()
    )
    common = {"bench": "train_step", "case": f"{options.objective}, {case}", "peer": name}
    tell(common | {
        "metric": "CPU time of a step of 8 rows", "unit": "s", "ours": round(ours_median, 3), "peer_value": round(peer_median, 3),
        "ratio": round(statistics.median(a / b for a, b in pairs), 3), "spread": [round(f(a / b for a, b in pairs), 3) for f in (min, max)],
        "tokens_per_second": [round(tokens / sum(side)) for side in zip(*pairs, strict=True)], "steps": len(pairs), "first_loss": round(first[0]["loss"], 5),
    })  # fmt: skip
    memory = [last[side]["memory"] for side in (mine, peer)]
    tell(common | {"metric": "peak memory of the process", "unit": "MiB", "ours": round(memory[0] / MIB), "peer_value": round(memory[1] / MIB),
                   "ratio": round(memory[0] / memory[1], 3)})  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objective", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--peer", choices=tuple(PEERS), default="trl")
    parser.add_argument("--python", help="the interpreter of the peer's environment")
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--steps", type=int, default=11)
    parser.add_argument("--case", choices=("mixed", "equal"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", choices=("ours", *PEERS))
    options = parser.parse_args()
    if options.worker:
        work = {"ours": ours, "trl": trl, "llamafactory": llamafactory}[options.worker]
        work(options.objective, options.model, rows_of(options.objective, options.case, options.steps), options.steps)
        return
    if options.model is None:
        from ringfence.models.store import find

        options.model = str(find("smollm2").path)
    for case in (options.case,) if options.case else ("mixed", "equal"):
        compare(case, options)


if __name__ == "__main__":
    main()
