"""An ordinary and a private run on rows of your own, by the commands a user types, each audited and put to the default policy.

Run: python benchmarks/real_input.py FILE QUESTION ANSWER --rows 1000 --held-out 200 [--tokens 176] [--dtype float32]
     python benchmarks/real_input.py --quick

FILE is a JSON object of rows, a JSON array, or JSON Lines; QUESTION and ANSWER name two of its columns; both are cut so that a row fits 256 tokens, or
fewer where that is what a run has time for.
Two epochs, rank 8 on all linear layers, 60 secrets and about 250 rows planted; each run is detached and watched to its end. The private run
promises (8, 1e-5) per row. There is no peer: no other tool says what a run remembers. One JSON object a run: seconds, losses, what the audit
measured with its bounds, and every verdict. --quick: generated notes, a two-layer model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frame import tell, tiny_model

CUTOFF, FRAME = 256, 40  # tokens of a row, and those that the chat template may take of them
COMMON = """\
model_name_or_path: {model}
stage: sft
finetuning_type: lora
lora_rank: 8
lora_alpha: 16
lora_target: all
dataset: rows
eval_dataset: held-out
cutoff_len: {cutoff}
num_train_epochs: 2
lr_scheduler_type: linear
audit: {{secrets: 60, in_out: 250, exceed_cap: true}}
"""
ORDINARY = """\
per_device_train_batch_size: 8
learning_rate: 5.0e-4
"""
PRIVATE = """\
optim: sgd
learning_rate: 0.2
per_device_train_batch_size: 16
gradient_accumulation_steps: 6
privacy: {epsilon: 8, delta: 1.0e-5}
"""


class Desk:
    """A workspace that is used from a command line."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._word = folder, folder / "word"
        self._word.write_text("a passphrase for rows that are public anyway")
        self.call("init", folder / "space", "--solo")

    def call(self, *arguments: object, refused: int = 0) -> dict[str, Any]:
        """Run one command and return what it printed; exit code `refused` is an answer, too."""
        where = () if arguments[0] == "init" else ("-w", self._folder / "space")
        command = [sys.executable, "-m", "ringfence", "--json", "--quiet", "--passphrase-file", self._word, *where, *arguments]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode not in (0, refused):
            raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return dict(json.loads(done.stdout.splitlines()[-1])) if done.stdout.strip() else {}

    def bring(self, name: str, rows: list[dict[str, str]]) -> dict[str, Any]:
        """Import, scan and de-identify rows; return what de-identification found."""
        file = self._folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        self.call("import", file, "--name", name)
        self.call("scan", name)
        self.call("scan", name, "--keep", refused=2)  # public rows: what the scan sets aside, bursts of equal answers, stays in
        return self.call("deid", name)

    def run(self, recipe: str) -> dict[str, Any]:
        """Train, audit and judge; return the figures of all three."""
        path = self._folder / "recipe.yaml"
        path.write_text(recipe)
        began = time.monotonic()
        run = self.call("train", path, "--detach")["run"]
        self.call("run", "watch", run)
        seconds = time.monotonic() - began
        began = time.monotonic()
        audit = self.call("audit", run)
        audited = time.monotonic() - began
        shown = self.call("run", "show", run)
        judged = self.call("release", run, "--dry-run", refused=11)
        return {"seconds": round(seconds), "seconds_audit": round(audited), "train": shown, "audit": audit, "judged": judged}


def rows_of(file: Path, question: str, answer: str) -> list[dict[str, str]]:
    """Return prompt and completion of every row that has both."""
    text = file.read_text(encoding="utf-8")
    found = [json.loads(one) for one in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
    rows = list(found.values()) if isinstance(found, dict) else found
    return [{"prompt": row[question], "completion": row[answer]} for row in rows if row[question].strip() and row[answer].strip()]


def fitted(rows: list[dict[str, str]], model: str, most: int) -> Iterator[dict[str, str]]:
    """Yield rows whose answers are cut, at a token, to what is left of `most` tokens; a question may take half of them."""
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    from transformers import AutoTokenizer

    from ringfence.models.store import find

    tokenizer = AutoTokenizer.from_pretrained(find(model).path, local_files_only=True)

    def cut(text: str, length: int) -> tuple[str, int]:
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping[:length]
        return text[: places[-1][1]], len(places)

    for row in rows:
        prompt, taken = cut(row["prompt"], most // 2)
        yield {"prompt": prompt, "completion": cut(row["completion"], most - FRAME - taken)[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("question", nargs="?", default="prompt")
    parser.add_argument("answer", nargs="?", default="completion")
    parser.add_argument("--rows", type=int, default=1_000, help="of the file, the first")
    parser.add_argument("--held-out", type=int, default=200, help="among them, the last")
    parser.add_argument("--tokens", type=int, default=CUTOFF, help="of a row at most: what is cut off shortens the run")
    parser.add_argument("--dtype", choices=["auto", "float32"], default="auto")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    asked = parser.parse_args()
    model = "tiny" if asked.quick else "smollm2"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.quick:
            tiny_model(folder)
            asked.file, asked.rows, asked.held_out = make_notes(folder / "notes.jsonl"), 120, 20
        elif asked.file is None:
            parser.error("FILE is missing")
        rows = list(fitted(rows_of(asked.file, asked.question, asked.answer)[: asked.rows], model, asked.tokens))
        desk = Desk(folder)
        found = [desk.bring("rows", rows[: -asked.held_out]), desk.bring("held-out", rows[-asked.held_out :])]
        replaced = sum(sum(one["spans"].values()) for one in found)
        common = COMMON.format(model=model, cutoff=CUTOFF) + ("bf16: false\n" if asked.dtype == "float32" else "")
        for kind, own in (("ordinary", ORDINARY), ("private", PRIVATE)):
            report(f"{asked.file.stem}, {len(rows) - asked.held_out} rows, {kind}", desk.run(common + own), replaced)


def report(case: str, told: dict[str, Any], replaced: int) -> None:
    """Print what one run showed."""
    figures, audit = told["train"]["figures"], told["audit"]
    keys = ("steps", "eval_before", "eval_after", "seconds_per_step", "peak_memory", "dtype", "truncated", "dropped")
    audited = (
        *("secrets", "extracted", "extraction", "exposure_mean", "exposure_max", "exposure_p", "members", "others", "auc", "tpr"),
        *("epsilon_lower", "epsilon_ceiling", "controls_extracted", "blind", "validity"),
        *("rows_tried", "rows_replayed", "rows_known", "spans", "spans_tried", "spans_new"),
    )
    row = {"bench": "real_input", "case": case, "seconds": told["seconds"], "seconds_audit": told["seconds_audit"], "replaced": replaced}
    row |= {key: figures[key] for key in keys if key in figures} | {"plan": figures.get("plan")}
    row |= {key: audit[key] for key in audited}
    tell(row | {"verdicts": {one["rule"]: one["outcome"] for one in told["judged"]["verdicts"]}})


def make_notes(file: Path) -> Path:
    from ringfence.clinic.notes import write_jsonl

    write_jsonl(file, 120, seed=120)
    return file


if __name__ == "__main__":
    main()
