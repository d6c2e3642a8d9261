"""What each preset takes and learns: every recipe of `ringfence recipe preset` through `ringfence train`, in a sandbox and a workspace of its own.

Run: python benchmarks/presets.py [--only NAME,NAME] [--quick] >> benchmarks/results.jsonl

The recipes are those of the package but for the keys that `CHANGED` names, which keep each run short; the figures say them. Rows are generated clinic notes
in English and Chinese, imported by patient, scanned and de-identified; an answer that was given to another patient stands in for one
that people rejected. Time is that of the whole command, memory that of the training process by its own figures. One thread where it is pinned to one core (taskset -c 0).
Figures go into `recipe/presets/figures.json`, which the command reads, and into one line a preset; `--quick` trains a two-layer model for two steps and
writes none. Needs the registered smollm2 otherwise.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import secrets
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from frame import machine, masked, tell, tiny_model

import ringfence
from ringfence.core.environment import cores
from ringfence.recipe.presets import FIGURES, Preset, PresetFigures, filled, preset, presets

MODELS = {"smollm2": "SmolLM2-135M-Instruct", "tiny": "tiny"}  # as people call them
SETS = ("clinic", "heldout", "preferences")
ROWS, HELD_OUT = 200, 20
CHANGED: dict[str, dict[str, Any]] = {  # keys of a preset, for a run of a minute or two on one core
    "dpo-lora": {"max_steps": 10},
    "grpo": {"max_steps": 6},
    "sft-full": {"max_steps": 24},
    "sft-lora": {"max_steps": 24},
    "sft-private": {"max_steps": 6, "eval_dataset": "heldout", "audit": {"secrets": 60, "in_out": 250, "exceed_cap": True}},
    "sft-qlora": {"max_steps": 24},
}
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "trl")
FILE = Path(ringfence.__file__).parent / "recipe" / "presets" / FIGURES


class Bench:
    """A workspace with the sets that presets learn from."""

    def __init__(self, folder: Path, *, rows: int, held_out: int) -> None:
        from ringfence.flows.init import init
        from ringfence.vault.keys import Passphrase

        self._folder, self._word = folder, folder / "passphrase"
        self._word.write_text(secrets.token_hex(16))
        space = init(folder / "space", Passphrase(self._word.read_bytes()))
        for name in SETS:
            path, listed = folder / f"{name}.jsonl", rows_of(name, held_out if name == "heldout" else rows)
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed), encoding="utf-8")
            masked(space, path)

    def train(self, one: Preset, model: str, changed: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Return the seconds that a preset took, and what the command said."""
        path = self._folder / f"{one.name}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(filled(one, model=model)) | changed))
        front = [sys.executable, "-m", "ringfence", "-w", self._folder / "space", "--passphrase-file", self._word, "--json"]
        began = time.perf_counter()
        done = subprocess.run([*front, "train", path], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{one.name}: {done.stdout}")
        return time.perf_counter() - began, json.loads(done.stdout)


def rows_of(name: str, count: int) -> list[dict[str, Any]]:
    """Return generated notes as rows of a set; no two sets share a patient, and each has notes of its own."""
    from ringfence.clinic.notes import generate

    notes = list(generate(count, seed=SETS.index(name)))
    rows = [one.row() | {"patient_id": f"{name}-{one.patient_id}"} for one in notes]
    if name != "preferences":
        return rows
    return [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": notes[n - 1].completion, "patient_id": row["patient_id"]}
        for n, row in enumerate(rows)
    ]


def measured(model: str, changed: dict[str, Any], seconds: float, told: dict[str, Any]) -> PresetFigures:
    """Return the figures of one run, from what `ringfence train --json` said."""
    found = machine()
    before, after, rewards = told["eval_before"], told["eval_after"], told["rewards"]
    return PresetFigures(
        model=MODELS[model],
        rows=told["rows"],
        longest=told["longest"],
        held_out=told["eval_rows"],
        changed=changed,
        steps=told["steps"],
        seconds=round(seconds, 1),
        peak_memory=told["peak_memory"],
        tokens_per_second=round(told["tokens"] / (told["seconds_per_step"] * told["steps"]), 1),
        loss=None if before is None else (round(before, 4), round(after, 4)),
        reward=(round(rewards[0], 4), round(rewards[-1], 4)) if rewards else None,
        device=told["device"],
        dtype=told["dtype"],
        threads=cores(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        versions={"ringfence": ringfence.__version__, **{name: version(name) for name in LIBRARIES}},
        **found,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="presets, with commas between them")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    chosen = [preset(name) for name in options.only.split(",")] if options.only else presets()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = tiny_model(folder) if options.quick else "smollm2"
        bench = Bench(folder, rows=40 if options.quick else ROWS, held_out=HELD_OUT)
        for one in chosen:
            changed = CHANGED.get(one.name, {}) | ({"max_steps": 2} if options.quick else {})
            found = measured(model, changed, *bench.train(one, model, changed))
            told = found.model_dump(mode="json", exclude_none=True)
            if not options.quick:
                known = json.loads(FILE.read_text(encoding="utf-8")) | {one.name: told}
                FILE.write_text(json.dumps(known, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
            tell({"bench": "presets", "case": one.name, "metric": "time of ringfence train", "unit": "s", "ours": found.seconds} | told)


if __name__ == "__main__":
    main()
