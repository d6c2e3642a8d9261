"""CPU seconds and peak memory of a private microbatch that trains every weight, beside the same one without privacy; noise apart.

Run: python benchmarks/dp_full.py [--model FOLDER] [--tokens 128,512] [--steps N] [--quick]

All weights of the model, its head tied to the embedding, 8 rows, float32, one thread, a process a side, steps interleaved, as in dp_step.py: both
sides must see the same losses, step after step.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, NamedTuple

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
        return {"method": "whole.v1"}

    @property
    def goals(self) -> tuple[float, float]:
        """Ratios of time and of memory."""
        return 1.8, 1.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--tokens", default="128,512")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", choices=("plain", "private"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        add_method()
        worker(options.worker, options.model, Case(*json.loads(options.case)))
        return
    if options.model is None:
        from ringfence.models.store import find

        options.model = str(find("smollm2").path)
    cases = [Case(tokens) for tokens in ((128,) if options.quick else map(int, options.tokens.split(",")))]
    steps = 3 if options.quick else options.steps
    met = [compared(case, [Side(name, options.model, case) for name in ("private", "plain")], steps) for case in cases]
    sys.exit(0 if options.quick or all(met) else 1)


def add_method() -> None:
    """Register a method that trains what the model has."""
    from ringfence.train.method import METHODS

    @METHODS.add("whole.v1")
    class Whole:
        def __init__(self, *, settings: object) -> None:
            self._settings, self._weights = settings, {}

        def attach(self, model: Any) -> Any:
            model.requires_grad_(requires_grad=True)
            self._weights = dict(sorted(model.named_parameters()))
            return model

        def parameters(self) -> dict[str, Any]:
            return self._weights

        def export(self) -> dict[str, Any]:
            return self._weights


if __name__ == "__main__":
    main()
