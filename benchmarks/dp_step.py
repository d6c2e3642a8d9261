"""CPU seconds and peak memory of a private microbatch beside the same one without privacy: forward, backward, per-unit clipping; noise apart.

Run: python benchmarks/dp_step.py [--model FOLDER] [--ranks 8,16,64] [--tokens 128,512] [--steps N] [--no-peers] [--quick]

LoRA on all linear layers, 8 rows, float32, one thread, a process a side, steps interleaved; with and without activation checkpointing. With so
little noise and so large a clip norm that neither matters, both sides must see the same losses, step after step, before anything is believed.
In two of the cases Opacus (per-sample hooks, and ghost clipping) runs beside the same loop without it in an environment that
tests/environments.sh makes: its ratio is to its own loop, whose head computes the logits of every position.
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
from itertools import product
from pathlib import Path
from typing import NamedTuple

from frame import tell

ROWS = 8
TOLERANCE = 2e-4  # of the losses: the same sums in another order, another attention kernel
OPACUS = Path(__file__).parents[1] / ".cache" / "opacus-venv" / "bin" / "python"  # tests/environments.sh makes it
PEER = Path(__file__).parent / "peers" / "opacus_step.py"


class Case(NamedTuple):
    """What is measured."""

    rank: int
    tokens: int
    checkpointing: bool

    @property
    def name(self) -> str:
        """What the result calls it."""
        return f"LoRA r={self.rank}, {ROWS} x {self.tokens}, float32" + (", checkpointing" if self.checkpointing else "")

    @property
    def settings(self) -> dict[str, object]:
        """Return those of the training that are not common to all cases."""
        return {"lora_rank": self.rank}

    @property
    def goals(self) -> tuple[float, float]:
        """Ratios of time and of memory."""
        return 1.02, 1.05 if self.checkpointing or (self.rank, self.tokens) == (64, 128) else 1.02


def worker(side: str, model: str, case: Case) -> None:
    """Make a step for each line of the input; a line is the number of the step."""
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
    learn = np.arange(case.tokens) >= case.tokens // 2
    examples = [Example(np.array([drawn.randrange(100, 40_000) for _ in range(case.tokens)], np.int32), learn, i) for i in range(ROWS)]
    attention = choose_attention("auto", device="cpu", longest=case.tokens)
    base = load_model(Path(model), dtype=torch.float32, device="cpu", attention=attention)
    settings = TrainSettings(per_device_train_batch_size=ROWS, learning_rate=1e-4, max_grad_norm=0.0, **case.settings)
    common = {"hints": RuntimeHints(checkpointing=case.checkpointing), "padding": 0, "device": "cpu"}
    clock = {"noise": 0.0}
    if side == "plain":
        trainer = Trainer(base, settings, **common)
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
        trainer = PrivateTrainer(base, settings, plan=plan, **common)
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

    def __init__(self, name: str, model: str, case: Case) -> None:
        self.name = name
        if name in ("plain", "private"):
            command = [sys.executable, sys.argv[0], "--worker", name, "--model", model, "--case", json.dumps(case)]
        else:
            command = [str(OPACUS), str(PEER), name.removeprefix("opacus "), model, str(case.rank), str(case.tokens), str(ROWS)]
        quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, env={**os.environ, **quiet}, **pipes)
        self._answer()

    def _answer(self) -> dict[str, float]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker {self.name} ended early")
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


def compared(case: Case, sides: list[Side], steps: int) -> None:
    """Print what each side took beside the last one, the loop without privacy; the first step warms up."""
    rounds = []
    for number in range(steps):
        seen = {side.name: side.step(number) for side in (sides if number % 2 else reversed(sides))}
        losses = [one["loss"] for one in seen.values()]
        assert max(losses) - min(losses) < TOLERANCE, f"step {number}: the losses differ: {seen}"
        rounds.append(seen)
    for side in sides:
        side.close()
    peer = sides[-1].name
    for side in sides[:-1]:
        for (metric, unit, key), goal in zip(
            (("CPU time of a microbatch", "s", "seconds"), ("peak memory", "MB", "peak")), case.goals, strict=True
        ):
            pick = statistics.median if key == "seconds" else max
            pairs = [(one[side.name][key], one[peer][key]) for one in rounds[1:]]
            mine, theirs = (pick(values) for values in zip(*pairs, strict=True))
            ratios = [a / b for a, b in pairs]
            line = {
                "bench": Path(sys.argv[0]).stem, "case": case.name, "metric": metric, "unit": unit, "side": side.name, "ours": round(mine, 3),
                "peer": "the same loop without privacy", "peer_value": round(theirs, 3),
                "ratio": round(statistics.median(ratios) if key == "seconds" else mine / theirs, 3),
                **({"goal": goal} if side.name == "private" else {}),
                "spread": [round(min(ratios), 3), round(max(ratios), 3)], "steps": len(pairs),
                "noise_s": round(statistics.median(one[side.name]["noise"] for one in rounds[1:]), 3),
                "last_loss": round(rounds[-1][side.name]["loss"], 5),
            }  # fmt: skip
            tell(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--ranks", default="8,16,64")
    parser.add_argument("--tokens", default="128,512")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--no-peers", action="store_true", help="without Opacus")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", choices=("plain", "private"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.model, Case(*json.loads(options.case)))
        return
    if options.model is None:
        from ringfence.models.store import find

        options.model = str(find("smollm2").path)
    ranks, tokens = ([int(one) for one in given.split(",")] for given in (options.ranks, options.tokens))
    cases = [Case(8, 128, checkpointing=False)] if options.quick else [Case(*one) for one in product(ranks, tokens, (False, True))]
    steps = 3 if options.quick else options.steps
    for case in cases:
        compared(case, [Side(name, options.model, case) for name in ("private", "plain")], steps)
    if options.no_peers:
        return
    if not OPACUS.exists():
        tell({"bench": "dp_step", "case": "Opacus", "metric": "not measured: tests/environments.sh makes its environment"})
        return
    for case in [case for case in cases if not case.checkpointing and case.rank == ranks[0]]:
        compared(case, [Side(f"opacus {name}", options.model, case) for name in ("hooks", "ghost", "plain")], steps)


if __name__ == "__main__":
    main()
