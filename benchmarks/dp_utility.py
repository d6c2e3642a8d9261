"""What a promise costs in held-out loss: E2E's descriptions, one pass at each epsilon and without a promise, over several orders of the data.

Run: python benchmarks/dp_utility.py FILE.csv [--epsilons 8,none] [--seeds 1,2,3] [--epochs 1] [--rows N] [--held-out N] [--with KEY=VALUE …] [--dtype auto] [--log FILE] [--quick]

FILE has the columns mr and ref of E2E (Novikova et al. 2017). The last tenth of the meanings is held out, so that no meaning is on both sides. LoRA of rank 8 on
all linear layers of smollm2, no more than 96 tokens a row. With a promise: SGD with momentum 0.9 at the rate that the run finds, 48 rows a step on average, delta 1e-5, one
row the unit; without: AdamW at 5e-4, 8 rows a step. A run is one row of the result: the mean loss of a held-out token before and after, with the
standard error over held-out rows. At the end, by epsilon, the mean over the orders with its 95 % interval (Student's t). --with changes a setting of the
private runs, by the name that it has in a recipe. --log keeps finished runs: called again, the script makes those that are missing. There is no peer: every other tool's loop would be another loop.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from frame import tell, tiny_model

TOKENS, DELTA = 96, 1e-5
_QUESTION = "Describe the restaurant: {mr}"


def rows_of(file: Path | None, count: int | None, held_out: int | None) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return what is trained on and what is held out, as (meaning, description). Without a file: few made-up rows."""
    if file is None:
        rows = [(f"name[Inn {n % 20}], area[{'city' if n % 2 else 'riverside'}]", f"Inn {n % 20} is number {n}.") for n in range(60)]
    else:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [(row["mr"], row["ref"]) for row in csv.DictReader(lines)]
    meanings = list(dict.fromkeys(meaning for meaning, _ in rows))
    random.Random(0).shuffle(meanings)
    away = set(meanings[: max(1, len(meanings) // 10)])
    learned = [row for row in rows if row[0] not in away]
    return learned[:count], [row for row in rows if row[0] in away][:held_out]


Pairs = list[tuple[str, str]]


def one_run(model: Path, sets: tuple[Pairs, Pairs], epsilon: float | None, seed: int, asked: dict[str, Any]) -> dict[str, Any]:
    """Train once and return the held-out losses. sets: what is learned, and what is held out. asked: `epochs`, and what is changed, `with`."""
    import torch

    from ringfence.core.records import Record
    from ringfence.models.load import choose_attention, load_model, load_tokenizer
    from ringfence.privacy.accountant import calibrate
    from ringfence.privacy.plan import PrivacySettings
    from ringfence.train.batches import Sampled, Shuffled
    from ringfence.train.data import encode, read_corpus
    from ringfence.train.private import PrivateTrainer
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import Trainer

    torch.set_num_threads(1)
    private = epsilon is not None
    epochs, changed = asked["epochs"], asked["with"] if private else {}
    promised = {key: value for key, value in changed.items() if key not in TrainSettings.model_fields}
    fields = {
        "lora_rank": 8, "cutoff_len": TOKENS, "seed": seed, "num_train_epochs": epochs, "lr_scheduler_type": "linear",
        "per_device_train_batch_size": 16 if private else 8, "gradient_accumulation_steps": 3 if private else 1,
        "optim": "sgd" if private else "adamw_torch", "max_grad_norm": 0.0 if private else 1.0,
    } | {key: value for key, value in changed.items() if key not in promised}  # fmt: skip
    fields.setdefault("learning_rate", None if fields["optim"] == "sgd" else 5e-4)
    settings = TrainSettings(momentum=0.9 if fields["optim"] == "sgd" else 0.0, **fields)
    tokenizer = load_tokenizer(model)

    def corpus(rows: Pairs, first: int):
        return read_corpus(
            (
                Record(f"{first + n:032x}", f"{first + n:032x}", "e2e", "pair", ("user", "assistant"), (_QUESTION.format(mr=mr), ref))
                for n, (mr, ref) in enumerate(rows)
            ),
            lambda record: encode(record, tokenizer, settings),
            cutoff=TOKENS,
        )

    train, held = corpus(sets[0], 0), corpus(sets[1], 1 << 40)
    base = load_model(
        model, dtype=getattr(torch, asked["dtype"]), device="cpu", attention=choose_attention("auto", device="cpu", longest=TOKENS)
    )
    common = {"hints": RuntimeHints(), "padding": tokenizer.pad_token_id or tokenizer.eos_token_id or 0, "device": "cpu"}
    promise = None
    if epsilon is None:
        trainer, batches = Trainer(base, settings, **common), Shuffled(settings, train)
    else:
        wanted = PrivacySettings(epsilon=epsilon, delta=DELTA, **promised)
        promise = calibrate(wanted, units=train.units, batch=settings.batch, steps=None, epochs=epochs)
        trainer, batches = PrivateTrainer(base, settings, plan=promise, **common), Sampled(promise, train, lease=lambda steps: steps)
    began, before = time.process_time(), losses_of(trainer, held.examples)
    for step in range(batches.steps):
        trainer.step(batches.rows(step), step=step, steps=batches.steps)
        if sys.stderr.isatty():
            print(f"\r{step + 1} of {batches.steps}", end="", file=sys.stderr)
    after = losses_of(trainer, held.examples)
    return {
        "epsilon": "none" if epsilon is None else epsilon, "seed": seed, "rows": len(train.examples), "held_out": len(held.examples),
        "steps": batches.steps, "noise": promise.noise_multiplier if promise else None, "rate": trainer.rate, "before": before[0], "after": after[0],
        "error": after[1], "cpu_s": round(time.process_time() - began, 1),
    }  # fmt: skip


def losses_of(trainer: Any, examples: list[Any]) -> tuple[float, float]:
    """Return the mean loss of a token, and its standard error over rows (of a ratio of means, by the delta method)."""
    import torch

    sums, weights = [], []
    trainer.model.eval()
    with torch.no_grad():
        for one in trainer.passes(examples):
            summed, _ = trainer.objective.losses(trainer.model, trainer._collate(one))  # noqa: SLF001
            sums += summed.tolist()
            weights += [example.weight for example in one.rows]
    mean = sum(sums) / sum(weights)
    spread = sum((loss - mean * weight) ** 2 for loss, weight in zip(sums, weights, strict=True))
    return round(mean, 5), round(math.sqrt(spread) / sum(weights), 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--epsilons", default="8,none")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--held-out", type=int, help="rows; all that are away otherwise")
    parser.add_argument("--with", dest="changed", action="append", default=[], metavar="KEY=VALUE", help="a setting of the private runs")
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="auto: what a run would take on this processor"
    )
    parser.add_argument("--log", type=Path, help="finished runs, one JSON object a line")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not options.quick and options.file is None:
        parser.error("name E2E's file, or --quick")
    from ringfence.core.environment import silence_libraries
    from ringfence.models.store import find
    from ringfence.train.device import Capabilities, choose, cpu_flags
    from ringfence.train.settings import RuntimeHints

    silence_libraries()
    with tempfile.TemporaryDirectory() as folder:
        model = find(tiny_model(Path(folder)) if options.quick else "smollm2").path
        learned, away = rows_of(None if options.quick else options.file, options.rows, options.held_out)
        changed = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in options.changed)}
        dtype = choose(RuntimeHints(dtype=options.dtype, device="cpu"), Capabilities(cuda=False, cpu_flags=cpu_flags())).dtype
        asked = {"dtype": dtype, "epochs": options.epochs, "of": len(learned), "away": len(away), "with": changed}
        kept = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log and options.log.exists() else []
        found = [one for one in kept if {key: one.get(key) for key in asked} == asked]
        seeds = [1, 2] if options.quick else [int(seed) for seed in options.seeds.split(",")]
        epsilons = [None if one == "none" else float(one) for one in options.epsilons.split(",")]
        for seed in seeds:
            for epsilon in epsilons:
                name = "none" if epsilon is None else epsilon
                if any((one["epsilon"], one["seed"]) == (name, seed) for one in found):
                    continue
                one = {**asked, **one_run(model, (learned, away), epsilon, seed, asked)}
                found.append(one)
                print(f"# {json.dumps(one)}", flush=True)
                if options.log:
                    with options.log.open("a") as log:
                        log.write(json.dumps(one) + "\n")
    for epsilon in epsilons:
        told([one for one in found if one["epsilon"] == ("none" if epsilon is None else epsilon) and one["seed"] in seeds], options)


def told(runs: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print what the runs at one epsilon came to."""
    from scipy.stats import t as student

    after = [one["after"] for one in runs]
    spread = student.ppf(0.975, len(after) - 1) * statistics.stdev(after) / math.sqrt(len(after)) if len(after) > 1 else None
    tell({
        "bench": "dp_utility", "case": f"E2E, {options.epochs:g} epoch, {runs[0]['rows']} rows" if not options.quick else "quick",
        "with": runs[0]["with"], "epsilon": runs[0]["epsilon"], "metric": "loss of a held-out token", "before": runs[0]["before"],
        "ours": round(statistics.mean(after), 4), "interval": None if spread is None else round(spread, 4),
        "error_over_rows": round(statistics.mean(one["error"] for one in runs), 4), "orders": len(runs),
        "cpu_s": round(statistics.mean(one["cpu_s"] for one in runs), 1), "peer": None,
    })  # fmt: skip


if __name__ == "__main__":
    main()
