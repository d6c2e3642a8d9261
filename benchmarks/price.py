"""What `train --dry-run` foretold, beside what the run then took: wall seconds and peak memory of the child, by the evidence.

Run: python benchmarks/price.py [--quick] >> benchmarks/results.jsonl

Generated clinic notes go the product's way (import, scan, deid); then each recipe is priced and trained, in turn, over and over. The goal, 0.70
to 1.30, is one for smollm2, which the full mode needs; --quick takes a two-layer model, whose start weighs far more than its steps. A price is
for the machine as it is when it is asked: run this on a quiet one.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
from pathlib import Path

from frame import clinic, tell, tiny_model

GOAL = (0.70, 1.30)
RECIPE = """\
model_name_or_path: {model}
stage: sft
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: clinic
eval_dataset: held-out
cutoff_len: {cutoff}
per_device_train_batch_size: {batch}
gradient_accumulation_steps: {groups}
learning_rate: 2.0e-4
max_steps: {steps}
"""
AUDIT = "audit: {secrets: 8, in_out: 20, exceed_cap: true}\n"  # priced before it is planted
CASES = (  # cutoff_len, rows of a micro batch, micro batches of a step, steps, what else the recipe says
    (96, 4, 1, 40, ""),
    (96, 8, 1, 20, ""),
    (96, 4, 4, 5, ""),
    (96, 4, 1, 40, AUDIT),
)


class Bench:
    """A workspace with two masked sets."""

    def __init__(self, folder: Path, *, rows: int) -> None:
        from ringfence.flows.init import init
        from ringfence.vault.keys import Passphrase

        self._folder = folder
        self._space = init(folder / "space", Passphrase(secrets.token_hex(16).encode()))
        for name, count in (("clinic", rows), ("held-out", rows // 4)):
            clinic(self._space, folder, rows=count, name=name)

    def once(self, recipe: str) -> dict[str, tuple[float, float]]:
        """Price and train; return (foretold, taken) of each figure."""
        from ringfence.flows.train import price, train
        from ringfence.recipe.read import read

        path = self._folder / "recipe.yaml"
        path.write_text(recipe)
        told, taken = price(self._space, read(path)).figures, train(self._space, read(path)).figures
        assert told.steps == taken.steps, "not the same run"
        figures = {"seconds": (told.seconds, taken.seconds), "peak_memory": (told.peak_memory, taken.peak_memory)}
        if taken.peak_gpu_memory:
            figures["peak_gpu_memory"] = (told.peak_gpu_memory, taken.peak_gpu_memory)
        return figures


def line(case: str, metric: str, told: list[float], taken: list[float]) -> None:
    """Print one result; `ratio` is the median of the pairs' ratios."""
    ratios = [a / b for a, b in zip(told, taken, strict=True)]
    row = {"bench": "price", "case": case, "metric": metric, "unit": "s" if metric == "seconds" else "bytes"}
    row |= {"ours": round(statistics.median(told), 1), "peer": "the finished run", "peer_value": round(statistics.median(taken), 1)}
    row |= {"ratio": round(statistics.median(ratios), 3), "goal": GOAL, "min": round(min(ratios), 3), "max": round(max(ratios), 3)}
    tell(row | {"runs": len(ratios)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute")
    quick = parser.parse_args().quick
    model, rounds = ("tiny", 1) if quick else ("smollm2", 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if quick:
            tiny_model(folder)
        bench = Bench(folder, rows=200)
        for cutoff, batch, groups, steps, more in CASES[::3] if quick else CASES:
            recipe = RECIPE.format(model=model, cutoff=cutoff, batch=batch, groups=groups, steps=steps) + more
            seen = [bench.once(recipe) for _ in range(rounds)]
            case = f"{model}, {steps} steps of {groups} × {batch} rows" + (", canaries" if more else "")
            for metric in seen[0]:
                line(case, metric, [one[metric][0] for one in seen], [one[metric][1] for one in seen])


if __name__ == "__main__":
    main()
