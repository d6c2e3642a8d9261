"""Seconds of CPU time of one ordinary LoRA step with its rows in shared sequences and without: same rows, same batch, float32, interleaved.

Run: python benchmarks/packing.py [--steps N] [--quick]. The losses must agree before anything is printed. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time

CASES = (("mixed", 8, 8), ("mixed", 8, 1), ("wide", 32, 8), ("wide", 32, 1))  # lengths, rows of a step, rows at once
SHAPES = {"mixed": (4.56, 0.33, 48, 256), "wide": (3.7, 0.8, 16, 400)}  # of a lognormal number of tokens, and its ends
TOLERANCE = 1e-5  # of the loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import numpy as np
    import torch

    from ringfence.models.load import choose_attention, load_model
    from ringfence.models.store import find
    from ringfence.train.data import Example
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import PACKED, Trainer

    torch.set_num_threads(1)
    drawn = random.Random(7)

    def row(lengths: str) -> Example:
        mean, deviation, least, most = SHAPES[lengths]
        tokens = round(max(least, min(most, drawn.lognormvariate(mean, deviation))))
        ids = np.array([drawn.randrange(100, 40_000) for _ in range(tokens)], dtype=np.int32)
        return Example(ids, np.arange(tokens) >= tokens // 2)

    def trainer(micro_batch: int, longest: int, *, packing: bool) -> Trainer:
        attention = choose_attention("auto", device="cpu", longest=max(longest, PACKED if packing else 0))
        model = load_model(find("smollm2").path, dtype=torch.float32, device="cpu", attention=attention)
        hints = RuntimeHints(micro_batch=micro_batch, dtype="float32", device="cpu", packing=packing)
        return Trainer(model, TrainSettings(), hints=hints, padding=2, device="cpu")

    for lengths, batch, micro_batch in CASES[:1] if options.quick else CASES:
        steps = [[row(lengths) for _ in range(batch)] for _ in range(1 if options.quick else options.steps)]
        longest = max(one.longest for rows in steps for one in rows)
        sides = [trainer(micro_batch, longest, packing=packing) for packing in (True, False)]
        pairs, passes = [], []
        for rows in steps[:1] + steps:  # the first one warms up
            seconds, losses = [], []
            for side in sides:
                began = time.process_time()
                losses.append(side.learn(side.passes(rows), 0, sum(one.weight for one in rows)))
                seconds.append(time.process_time() - began)
                side.optimiser.take()
            assert abs(losses[0] / losses[1] - 1) < TOLERANCE, losses
            pairs.append(seconds)
            passes.append([len(side.passes(rows)) for side in sides])
        packed, plain = (statistics.median(one) for one in zip(*pairs[1:], strict=True))
        print(
            json.dumps(
                {
                    "bench": "packing",
                    "case": f"{lengths} lengths, {batch} rows a step, {micro_batch} at once",
                    "metric": "CPU time of a step",
                    "unit": "s",
                    "ours": round(packed, 3),
                    "peer": "without packing",
                    "peer_value": round(plain, 3),
                    "ratio": round(statistics.median(a / b for a, b in pairs[1:]), 3),
                    "passes": [statistics.median(one) for one in zip(*passes[1:], strict=True)],
                    "cpu": platform.machine(),
                    "load": os.getloadavg()[0],
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
