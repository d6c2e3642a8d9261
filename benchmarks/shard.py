"""Memory and time of a run whose processes share the frozen base out, and of one in which each holds all of it: SmolLM2, float32, 8 rows of 64 tokens.

Run: python benchmarks/shard.py [--steps N] [--quick]. Each side has processes of its own, one thread each, activations computed again; the losses must
agree before anything is printed. The third side holds the base whole and returns freed memory as the first does: what of a difference is the parts'.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SIDES = ("parts", "whole", "whole, returned")
TOLERANCE = 1e-5  # of the losses
_MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("SIDE", "PROCESSES"), help="measure one side, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.measure[0], int(options.measure[1]), options.steps)))
        return
    for size in (2,) if options.quick else (1, 2, 3):
        found = {side: apart(side, size, 1 if options.quick else options.steps) for side in (SIDES if size > 1 else SIDES[1:])}
        (first, *others) = found.values()
        assert all(abs(a - b) < TOLERANCE * abs(b) for one in others for a, b in zip(first["losses"], one["losses"], strict=True))
        for side, of_side in found.items():
            for metric, unit in (("peak", "MiB"), ("own", "MiB"), ("loading", "MiB"), ("cpu", "s/step"), ("wall", "s/step")):
                ours, peer = of_side[metric], found["whole"][metric]
                print(
                    json.dumps(
                        {
                            "bench": "shard",
                            "case": f"{size} processes, {side}",
                            "metric": metric,
                            "unit": unit,
                            "ours": ours,
                            "peer": "whole",
                            "peer_value": peer,
                            "ratio": round(ours / peer, 3) if peer else None,
                            "cpu": platform.machine(),
                            "load": os.getloadavg()[0],
                        }
                    )
                )


def apart(side: str, size: int, steps: int) -> dict:
    """Return what one side shows, measured in a process of its own."""
    command = [sys.executable, __file__, "--steps", str(steps), "--measure", side, str(size)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.splitlines()[-1])


def measured(side: str, size: int, steps: int) -> dict:
    """Return losses, memory of all processes in MiB and seconds of a step.

    peak: the largest since the base is there.  own: after the last step, what is no other process's, too.  loading: the largest of one before that.
    """
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import numpy as np
    import torch

    from ringfence.models.load import load_model
    from ringfence.models.store import find
    from ringfence.train.data import Example
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.shard import return_memory
    from ringfence.train.team import Team, assembled
    from ringfence.train.trainer import Trainer
    from ringfence.train.usage import measure_anew, peak_memory

    class Open(Trainer):
        """A trainer that tells what it takes."""

        def settle(self) -> int:
            return max(self._peak_loading, measure_anew())

        def taken(self) -> tuple[int, int, float]:
            rollup = Path("/proc/self/smaps_rollup").read_text()
            own = sum(int(kb) for kb in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", rollup, re.MULTILINE)) * 1024
            return peak_memory(), own, time.process_time()

    hints = RuntimeHints(shard=side == "parts", dtype="float32", device="cpu", checkpointing=True)
    folder = find("smollm2").path

    @contextlib.contextmanager
    def in_turn(team: Team) -> Iterator[None]:
        if not hints.shard:
            yield
            return
        team.meet("cpu")
        with team.in_turn():
            yield

    def build(team: Team) -> Open:
        torch.set_num_threads(1)
        if side != "whole":
            return_memory()
        with in_turn(team):
            model = load_model(folder, dtype=torch.float32, device="cpu", attention="eager")
            return Open(model, TrainSettings(lora_rank=8), hints=hints, padding=2, device="cpu", team=team)

    drawn = np.random.default_rng(7)
    rows = [Example(drawn.integers(100, 40_000, 64).astype(np.int32), np.arange(64) >= 32) for _ in range(8)]
    with assembled(size, build) as team:
        team.ask("build", [()] * size)
        trainer = build(team)
        team.answers()
        trainer.start()
        loading = max(trainer.each("settle"))
        losses = [trainer.step(rows, step=0, steps=steps + 1)]  # warms up
        before, began = sum(cpu for *_, cpu in trainer.each("taken")), time.perf_counter()
        losses += [trainer.step(rows, step=step, steps=steps + 1) for step in range(1, steps + 1)]
        seconds, after = time.perf_counter() - began, trainer.each("taken")
    return {
        "losses": losses,
        "peak": round(sum(peak for peak, *_ in after) / _MIB),
        "own": round(sum(own for _, own, _ in after) / _MIB),
        "loading": round(loading / _MIB),
        "cpu": round((sum(cpu for *_, cpu in after) - before) / steps, 2),
        "wall": round(seconds / steps, 2),
    }


if __name__ == "__main__":
    main()
