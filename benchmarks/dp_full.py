"""CPU seconds and peak memory of a private microbatch that trains every weight, beside the same one without privacy; noise apart.

Run: python benchmarks/dp_full.py [--model FOLDER] [--quick]

All weights of the model, head tied to the embedding, 8 rows of 128 tokens, float32, one thread, a process a side, steps interleaved, as in
private_step.py: both sides must see the same losses, step after step.
"""

from __future__ import annotations

from typing import Any

from private_step import ROWS, TOKENS, compare, model_of, parser_of, worker

GOAL = 1.8


def main() -> None:
    options = parser_of(__doc__).parse_args()
    if options.worker:
        add_method()
        worker(options.worker, options.model, method="whole.v1")
        return
    case = f"all weights, {ROWS} x {TOKENS}, float32"
    compare("dp_full", case, __file__, "--model", model_of(options), steps=3 if options.quick else options.steps, goal=GOAL)


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
