"""CPU seconds and peak memory of a private microbatch beside the same one without privacy: forward, backward, per-unit clipping; noise apart.

Run: python benchmarks/private_step.py [--model FOLDER] [--rank 8] [--quick]

LoRA on all linear layers, 8 rows of 128 tokens, float32, one thread, a process a side, steps interleaved. With so little noise and so large a
clip norm that neither matters, both sides must see the same losses, step after step, before anything is believed.
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
import time
from pathlib import Path

from frame import tell

ROWS, TOKENS = 8, 128
TOLERANCE = 1e-4  # of the losses: the same sums in another order
GOAL = 1.02


def worker(side: str, model: str, **settings: object) -> None:
    """Make a step for each line of the input; a line is the number of the step. settings: of the training, beside those that are common."""
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import numpy as np
    import torch

    from ringfence.models.load import choose_attention, load_model
    from ringfence.privacy.plan import DPPlan
    from ringfence.train.data import Example
    from ringfence.train.private import PrivateTrainer
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import Trainer

    torch.set_num_threads(1)
    drawn = random.Random(7)
    learn = np.arange(TOKENS) >= TOKENS // 2
    examples = [Example(np.array([drawn.randrange(100, 40_000) for _ in range(TOKENS)], np.int32), learn, i) for i in range(ROWS)]
    attention = choose_attention("auto", device="cpu", longest=TOKENS)
    base = load_model(Path(model), dtype=torch.float32, device="cpu", attention=attention)
    train = TrainSettings(per_device_train_batch_size=ROWS, learning_rate=1e-4, max_grad_norm=0.0, **settings)
    common = {"hints": RuntimeHints(), "padding": 0, "device": "cpu"}
    clock = {"noise": 0.0}
    if side == "plain":
        trainer = Trainer(base, train, **common)
    else:
        plan = DPPlan(
            epsilon=1,
            delta=1e-3,
            unit="record",
            units=ROWS,
            clip_norm=1e5,
            sampling_rate=1,
            max_batch=ROWS,
            steps=100,
            noise_multiplier=1e-15,
        )
        trainer = PrivateTrainer(base, train, plan=plan, **common)
        noised = trainer._noised  # noqa: SLF001  timed apart

        def timed(total):
            began = time.process_time()
            found = noised(total)
            clock["noise"] += time.process_time() - began
            return found

        trainer._noised = timed  # noqa: SLF001
    print(json.dumps({"ready": side}), flush=True)
    for line in sys.stdin:
        clock["noise"], began = 0.0, time.process_time()
        loss = trainer.step(examples, step=int(line), steps=1_000)
        seconds = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds - clock["noise"], "noise": clock["noise"], "loss": loss, "peak": peak}), flush=True)


class Side:
    """One worker process."""

    def __init__(self, script: str, side: str, *more: str) -> None:
        arguments = [sys.executable, script, "--worker", side, *more]
        quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(arguments, text=True, env={**os.environ, **quiet}, **pipes)
        self._answer()

    def _answer(self) -> dict[str, float]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended early")
        return json.loads(line)

    def step(self, number: int) -> dict[str, float]:
        """Return what one step took."""
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the worker."""
        self._process.stdin.close()
        self._process.wait()


def compare(bench: str, case: str, script: str, *more: str, steps: int, goal: float) -> None:
    """Make steps on both sides, interleaved, and tell time and memory. more: arguments of the workers."""
    plain, private = Side(script, "plain", *more), Side(script, "private", *more)
    pairs = []
    for number in range(steps):
        order = (plain, private) if number % 2 else (private, plain)
        seen = {side: side.step(number) for side in order}
        assert abs(seen[plain]["loss"] - seen[private]["loss"]) < TOLERANCE, f"step {number}: the losses differ: {seen}"
        pairs.append((seen[private], seen[plain]))
    plain.close()
    private.close()
    timed = pairs[1:]  # the first warms up
    for metric, unit, key, pick in (("CPU time of a microbatch", "s", "seconds", statistics.median), ("peak memory", "MB", "peak", max)):
        ours, peer = (pick(side[key] for side in sides) for sides in zip(*timed, strict=True))
        ratios = [a[key] / b[key] for a, b in timed]
        line = {
            "bench": bench, "case": case, "metric": metric, "unit": unit,
            "ours": round(ours, 3), "peer": "the same loop without privacy", "peer_value": round(peer, 3),
            "ratio": round(statistics.median(ratios) if key == "seconds" else ours / peer, 3), "goal": goal,
            "spread": [round(min(ratios), 3), round(max(ratios), 3)], "steps": len(timed),
            "noise_s": round(statistics.median(a["noise"] for a, _ in timed), 3), "last_loss": round(timed[-1][0]["loss"], 5),
        }  # fmt: skip
        tell(line)


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return the parser of what such a comparison asks for."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--steps", type=int, default=13)
    parser.add_argument("--quick", action="store_true", help="three steps")
    parser.add_argument("--worker", choices=("plain", "private"))
    return parser


def model_of(options: argparse.Namespace) -> str:
    """Return the folder of the model that is measured."""
    from ringfence.models.store import find

    return options.model or str(find("smollm2").path)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rank", type=int, default=8)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.model, lora_rank=options.rank)
        return
    case = f"LoRA r={options.rank}, {ROWS} x {TOKENS}, float32"
    more = ("--model", model_of(options), "--rank", str(options.rank))
    compare("private_step", case, __file__, *more, steps=3 if options.quick else options.steps, goal=GOAL)


if __name__ == "__main__":
    main()
