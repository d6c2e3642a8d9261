"""What every method costs and learns on one recipe: seconds of CPU time of a step, peak memory of the process, loss of held-out rows before and after.

Run: python benchmarks/methods.py [--model FOLDER] [--steps N] [--only NAME,NAME] [--quick]

Rows of the demo (clinic notes in English and Chinese, at most 64 tokens), 8 a step, one thread, the precision that a recipe without bf16 gets; each method in
a process of its own, one after the other. All read the same rows in the same order. Rates are those that the kinds of methods are used with: an adapter begins
at nothing and learns faster than weights that exist. The loss before training must be that of the base, up to rounding, where the base is not quantised.
The first two steps, which set kernels up, are not timed. `--quick` is a few steps of four methods on a tiny model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH, HELD_OUT, WARM = 8, 16, 2
MIB = 1 << 20
ADAPTER, OWN = {"learning_rate": 1e-3}, {"learning_rate": 1e-4}
METHODS: dict[str, dict[str, Any]] = {
    "lora": ADAPTER,
    "lora_freeze_a": {**ADAPTER, "lora_freeze_a": True},
    "use_rslora": {**ADAPTER, "use_rslora": True},
    "loraplus_lr_ratio: 16": {"learning_rate": 2e-4, "loraplus_lr_ratio": 16.0},
    "use_dora": {**ADAPTER, "method": "dora.v1"},
    "pissa_init": {**ADAPTER, "method": "pissa.v1"},
    "oft": {**ADAPTER, "method": "oft.v1"},
    "quantization_bit: 4": {**ADAPTER, "quantization_bit": 4},
    "quantization_bit: 8": {**ADAPTER, "quantization_bit": 8},
    "freeze": {**OWN, "method": "freeze.v1"},
    "full": {**OWN, "method": "full.v1"},
    "use_galore": {"learning_rate": 1e-3, "method": "full.v1", "use_galore": True},
}
QUICK = ("lora", "quantization_bit: 4", "full", "use_galore")


def measured(name: str, model: str, steps: int) -> dict[str, float]:
    """Return what one method costs and learns; it is called in a process of its own."""
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import torch

    from ringfence.clinic.notes import generate
    from ringfence.core.records import Record
    from ringfence.models.load import choose_attention, load_model, load_tokenizer
    from ringfence.train.device import Capabilities, choose, cpu_flags
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import Trainer
    from ringfence.train.usage import peak_memory

    torch.set_num_threads(1)
    settings = TrainSettings.model_validate({"cutoff_len": 64, "per_device_train_batch_size": BATCH, "max_steps": steps, **METHODS[name]})
    tokenizer, hints = load_tokenizer(Path(model)), RuntimeHints(device="cpu")
    placement = choose(hints, Capabilities(cuda=False, cpu_flags=cpu_flags()))
    base = load_model(
        Path(model),
        dtype=getattr(torch, placement.dtype),
        device="cpu",
        attention=choose_attention("auto", device="cpu", longest=64),
        quantised=settings.quantised,
    )
    trainer = Trainer(base, settings, hints=hints, padding=tokenizer.pad_token_id or tokenizer.eos_token_id, device="cpu")

    def rows(count: int, seed: int) -> list[Any]:
        notes = [Record("", "", "", "pair", ("user", "assistant"), (one.prompt, one.completion)) for one in generate(count, seed=seed)]
        return [row for row in (trainer.objective.read(note, tokenizer) for note in notes) if row is not None]

    learned, held_out = rows(steps * BATCH * 2, 1)[: steps * BATCH], rows(HELD_OUT, 2)
    before = trainer.evaluate(held_out).loss
    seconds, wall = [], []
    for step in range(steps):
        began, then = time.process_time(), time.perf_counter()
        trainer.step(learned[step * BATCH : (step + 1) * BATCH], step=step, steps=steps)
        seconds.append(time.process_time() - began)
        wall.append(time.perf_counter() - then)
    return {
        "seconds": statistics.median(seconds[min(WARM, steps - 1) :]),
        "wall": statistics.median(wall[min(WARM, steps - 1) :]),
        "memory": peak_memory() / MIB,
        "trained": trainer.trainable,
        "before": before,
        "after": trainer.evaluate(held_out).loss,
    }


def line(name: str, found: dict[str, float], lora: dict[str, float], steps: int) -> dict[str, Any]:
    return {
        "bench": "methods",
        "case": name,
        "metric": f"CPU time of a step of {BATCH} rows",
        "unit": "s",
        "ours": round(found["seconds"], 3),
        "peer": "lora",
        "peer_value": round(lora["seconds"], 3),
        "ratio": round(found["seconds"] / lora["seconds"], 3),
        "wall": round(found["wall"], 3),
        "memory_mib": round(found["memory"]),
        "trained": int(found["trained"]),
        "loss_before": round(found["before"], 3),
        "loss_after": round(found["after"], 3),
        "steps": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", help="methods, with commas between them")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measured(options.worker, options.model, options.steps)))
        return
    names = [name for name in METHODS if name in QUICK] if options.quick else list(METHODS)
    if options.only:
        names = ["lora", *(name for name in options.only.split(",") if name != "lora")]
    steps = 3 if options.quick else options.steps
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or _model(Path(folder), is_quick=options.quick)
        found: dict[str, dict[str, float]] = {}
        for name in names:
            command = [sys.executable, __file__, "--worker", name, "--model", model, "--steps", str(steps)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
            is_base = "quantization_bit" not in METHODS[name]
            if is_base and abs(found[name]["before"] - found["lora"]["before"]) > 0.02:  # PiSSA's base is rounded twice
                sys.exit(f"{name} does not begin like the base: {found[name]['before']} against {found['lora']['before']}")
            print(json.dumps(line(name, found[name], found["lora"], steps)), flush=True)


def _model(folder: Path, *, is_quick: bool) -> str:
    if is_quick:
        from ringfence.models.tiny import write_tiny_model

        return str(write_tiny_model(folder / "tiny"))
    from ringfence.models.store import find

    return str(find("smollm2").path)


if __name__ == "__main__":
    main()
