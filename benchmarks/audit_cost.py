"""What an audit costs beside the training that it follows: CPU seconds of both jobs, by the evidence.

Run: python benchmarks/audit_cost.py [--quick] >> benchmarks/results.jsonl

The goals are for 3,000 records and 3 epochs. Training that long is scaled: two runs of few and of more steps give the cost of a step and of the
start, and a line of the result shows the arithmetic. The audits are whole, with the canaries that a recipe plants by default:
T1 also tries 500 rows and 300 replaced identifiers, T0 has canaries alone (--rows 0 --spans 0). Generated clinic notes, rank 8 on all linear
layers, batches of 8, one thread, float32. The full mode needs the registered smollm2; --quick takes a two-layer model, for which a start weighs
more than everything else.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from frame import clinic, tell, tiny_model

RECORDS, EPOCHS, BATCH = 3_000, 3, 8
GOALS = {"T1": 0.10, "T0": 0.03}
RECIPE = """\
model_name_or_path: {model}
stage: sft
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: clinic
cutoff_len: 128
per_device_train_batch_size: {batch}
learning_rate: 1.0e-3
max_steps: {steps}
bf16: false
audit: {{secrets: 60, in_out: 250, exceed_cap: true}}
"""


class Cost(NamedTuple):
    """CPU seconds."""

    start: float  # of a training, before its first step and after its last
    step: float
    planted: int  # rows
    audits: dict[str, float]

    @property
    def steps(self) -> float:
        """Steps of the training that the goals speak of."""
        return (RECORDS + self.planted) * EPOCHS / BATCH

    @property
    def training(self) -> float:
        """That training, by arithmetic."""
        return self.start + self.steps * self.step


class Bench:
    """A workspace with a masked set."""

    def __init__(self, folder: Path, *, rows: int) -> None:
        from ringfence.flows.init import init
        from ringfence.vault.keys import Passphrase

        self._folder, self._secret = folder, Passphrase(secrets.token_hex(16).encode())
        self._space = init(folder / "space", self._secret)
        clinic(self._space, folder, rows=rows)

    def once(self, model: str, few: int, more: int) -> Cost:
        """Train twice and audit the longer run twice."""
        short, _, _ = self._train(model, few)
        long, run, planted = self._train(model, more)
        step = (long - short) / (more - few)
        return Cost(short - few * step, step, planted, {"T1": self._audit(run, 500, 300), "T0": self._audit(run, 0, 0)})

    def _train(self, model: str, steps: int) -> tuple[float, str, int]:
        from ringfence.flows import train as flow
        from ringfence.recipe.read import read

        path = self._folder / "recipe.yaml"
        path.write_text(RECIPE.format(model=model, batch=BATCH, steps=steps))
        with mock.patch.object(flow, "cores", return_value=1):
            trained = flow.train(self._space, read(path))
        plant = next(one for one in reversed(self._space.refresh().runs.values()) if one.intent.arrow == "plant")
        rows = self._space.statement(plant.statement).predicate.figures["planted"]
        return trained.committed.statement.predicate.cpu_seconds["job"], trained.committed.run, rows

    def _audit(self, run: str, rows: int, spans: int) -> float:
        from ringfence.flows import audit as flow

        with mock.patch.object(flow, "cores", return_value=1):
            audited = flow.audit(self._space, run, self._secret, sample=flow.Sample(rows, spans))
        assert audited.figures.rows_tried + audited.figures.rows_short == min(rows, audited.figures.rows), (
            "not the sample that was asked for"
        )
        return audited.committed.statement.predicate.cpu_seconds["job"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    quick = parser.parse_args().quick
    model, rounds, few, more = ("tiny", 1, 5, 40) if quick else ("smollm2", 2, 10, 50)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if quick:
            tiny_model(folder)
        bench = Bench(folder, rows=700)
        seen = [bench.once(model, few, more) for _ in range(rounds)]
        for tier in GOALS:
            line(model, tier, seen)


def line(model: str, tier: str, seen: list[Cost]) -> None:
    """Print one result; `ratio` is the median over the rounds."""
    ratios, last = [one.audits[tier] / one.training for one in seen], seen[-1]
    row = {"bench": "audit_cost", "case": f"{model}, {tier}", "metric": "cpu_seconds", "unit": "s"}
    row |= {
        "ours": round(statistics.median(one.audits[tier] for one in seen), 2),
        "peer": f"training, {RECORDS:,} records × {EPOCHS} epochs",
    }
    row |= {"peer_value": round(statistics.median(one.training for one in seen), 1), "ratio": round(statistics.median(ratios), 4)}
    row |= {"arithmetic": f"{last.start:.1f} + ({RECORDS} + {last.planted}) × {EPOCHS} ÷ {BATCH} × {last.step:.3f} = {last.training:.0f}"}
    row |= {"goal": GOALS[tier], "min": round(min(ratios), 4), "max": round(max(ratios), 4), "runs": len(ratios)}
    tell(row)


if __name__ == "__main__":
    main()
