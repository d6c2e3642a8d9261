"""Tokens a second of both engines of `serve`, for one, four and eight conversations at once, and how many of their answers are the same.

Run: .venv/bin/python benchmarks/engines.py [--python /opt/vllm/bin/python] [--quick] >> benchmarks/results.jsonl

Two bundles of smollm2 (LoRA of rank 8 on all linear layers) are trained for two steps and released. Each engine runs in its sandbox, in float32, with the replay guards on, and is asked
at its desk, without the HTTP front; half the conversations go to each bundle, every second one is drawn (temperature 0.8, top_p 0.9, a seed), the others greedily.
Before a time counts the answers of both engines are compared: text, tokens and how each ended. The sandbox has one core less than the machine.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from frame import tell

CROWDS = (1, 4, 8)  # conversations at once
QUESTION = "Patient, 54, has coughed for {n} weeks and lost some weight. Which examination would you order first, and why?"
RECIPE = """\
model_name_or_path: smollm2
stage: sft
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: {name}
cutoff_len: 96
per_device_train_batch_size: 2
learning_rate: 1.0e-3
max_steps: 2
"""


def released(folder: Path) -> Any:
    """Return two released bundles, as `serve` opens them."""
    from ringfence.clinic.notes import write_jsonl
    from ringfence.core.policy import Policy, Require, TrainRules
    from ringfence.flows import serve
    from ringfence.flows.import_ import import_file
    from ringfence.flows.init import init
    from ringfence.flows.policy import set_policy
    from ringfence.flows.release import release
    from ringfence.flows.train import train
    from ringfence.ingest.settings import ImportSettings
    from ringfence.recipe.read import read
    from ringfence.vault.keys import Passphrase

    space = init(folder / "space", Passphrase(secrets.token_hex(16).encode()))
    set_policy(space, Policy(train=TrainRules(require=Require())))
    for seed, name in enumerate(("clinic", "ward"), start=1):
        source = folder / f"{name}.jsonl"
        write_jsonl(source, 40, seed=seed)
        import_file(space, source, name=name, settings=ImportSettings(source=source.name))
        recipe = folder / "recipe.yaml"
        recipe.write_text(RECIPE.format(name=name))
        release(space, train(space, read(recipe)).committed.run, name=name)
    return serve.from_workspace(space, ["clinic", "ward"])


class Engine:
    """One that runs, at its desk."""

    def __init__(self, bundles: Any, computed: Any) -> None:
        from ringfence.flows.serve import run_engine
        from ringfence.serve.desk import Desk
        from ringfence.train.settings import RuntimeHints

        self.desk = Desk(active=max(CROWDS), guarded=frozenset({0, 1}))
        hints = RuntimeHints(dtype="float32")
        began = time.perf_counter()
        self._thread = threading.Thread(target=lambda: run_engine(bundles, self.desk, computed=computed, hints=hints), daemon=True)
        self._thread.start()
        assert self.desk.wait(300)
        self.seconds = time.perf_counter() - began
        self._number = 0

    def answers(self, crowd: int, tokens: int) -> tuple[list[tuple[str, int, str]], float]:
        """Return (text, tokens, finish) of each of so many conversations at once, and tokens a second of all."""
        from ringfence.serve.wire import Ask, Turn

        found: dict[int, tuple[str, int, str]] = {}
        texts: dict[int, str] = {}
        over = threading.Event()

        def notify(at: int, said: Any) -> None:
            texts[at] = texts.get(at, "") + said.text
            if said.finish:
                found[at] = texts[at], said.tokens, said.finish
                if len(found) == crowd:
                    over.set()

        began = time.perf_counter()
        for at in range(crowd):
            how = {"temperature": 0.8, "top_p": 0.9, "seed": at} if at % 2 else {"temperature": 0.0}
            turn = Turn(role="user", content=QUESTION.format(n=at + 2))
            ask = Ask(id=self._number, bundle=at // 2 % 2, messages=(turn,), max_tokens=tokens, **how)
            self._number += 1
            self.desk.submit(ask, lambda said, at=at: notify(at, said))
        assert over.wait(600)
        return [found[at] for at in range(crowd)], sum(one[1] for one in found.values()) / (time.perf_counter() - began)

    def end(self) -> None:
        """End it."""
        self.desk.close()
        self._thread.join(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer tokens, once")
    parser.add_argument("--python", type=Path, help="the bin/python of vLLM's environment")
    chosen = parser.parse_args()
    there = os.environ.get("RINGFENCE_VLLM_PYTHON") or Path(__file__).parents[1] / ".cache" / "vllm-venv" / "bin" / "python"
    tokens, rounds = (8, 1) if chosen.quick else (32, 3)
    from ringfence.flows.serve import OURS, computed_by

    with tempfile.TemporaryDirectory() as folder:
        bundles = released(Path(folder))
        ours, theirs = Engine(bundles, OURS), Engine(bundles, computed_by("vllm", chosen.python or Path(there)))
        try:
            shared = {"bench": "engines", "case": "smollm2, two adapters", "peer": "ringfence's own engine"}
            tell(shared | {"metric": "start", "unit": "s", "ours": round(theirs.seconds, 1), "peer_value": round(ours.seconds, 1)})
            for crowd in CROWDS:
                measured = [[engine.answers(crowd, tokens) for engine in (ours, theirs)] for _ in range(rounds)]
                same = sum(mine == other for (one, _), (two, _) in measured for mine, other in zip(one, two, strict=True))
                own, paged = ([one[at][1] for one in measured] for at in (0, 1))
                a, b = statistics.median(paged), statistics.median(own)
                row = {
                    "metric": f"decode, {crowd} at once, vLLM",
                    "unit": "tokens/s",
                    "ours": round(a, 1),
                    "peer_value": round(b, 1),
                    "ratio": round(a / b, 2),
                }
                row |= {
                    "min": round(min(paged), 1),
                    "max": round(max(paged), 1),
                    "peer_min": round(min(own), 1),
                    "peer_max": round(max(own), 1),
                }
                tell(shared | row | {"same": same, "of": crowd * rounds, "tokens": tokens, "rounds": rounds})
        finally:
            ours.end()
            theirs.end()


if __name__ == "__main__":
    main()
