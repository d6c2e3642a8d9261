"""CPU seconds and peak memory of a private microbatch that trains every weight, beside the same one without privacy; noise apart.

Run: python benchmarks/dp_full.py [--model FOLDER] [--tokens 128,512] [--steps N] [--starts N] [--quick]

All weights of the model, its head tied to the embedding, 8 rows, float32, one thread, a process a side, steps interleaved, as in dp_step.py: both
sides must see the same losses, step after step.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import NamedTuple

from dp_step import ROWS, Side, compared, worker


class Case(NamedTuple):
    """What is measured."""

    tokens: int
    checkpointing: bool = False

    @property
    def name(self) -> str:
        """What the result calls it."""
        return f"all weights, {ROWS} x {self.tokens}, float32"

    @property
    def settings(self) -> dict[str, object]:
        """Return those of the training that are not common to all cases."""
        return {"method": "full.v1"}

    @property
    def goals(self) -> tuple[float, float]:
        """Ratios of time and of memory."""
        return 1.8, 1.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--tokens", default="128,512")
    parser.add_argument("--steps", type=int, default=7, help="of each start")
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", choices=("plain", "private"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--trims", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.model, Case(*json.loads(options.case)), trims=options.trims)
        return
    if options.model is None:
        from ringfence.models.store import find

        options.model = str(find("smollm2").path)
    cases = [Case(tokens) for tokens in ((128,) if options.quick else map(int, options.tokens.split(",")))]
    steps, starts = (3, 1) if options.quick else (options.steps, options.starts)
    met = [compared(case, [Side(name, options.model, case) for name in ("private", "plain")], steps, starts=starts) for case in cases]
    sys.exit(0 if options.quick or all(met) else 1)


if __name__ == "__main__":
    main()
