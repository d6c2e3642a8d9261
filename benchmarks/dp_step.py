"""CPU seconds and peak memory of a private microbatch beside the same one without privacy: forward, backward, per-unit clipping; noise apart.

Run: python benchmarks/dp_step.py [--model FOLDER] [--ranks 8,16,64] [--tokens 128,512] [--checkpointing off,on] [--steps N] [--starts N] [--no-peers | --peers-only] [--fastdp FOLDER] [--pass-rows N] [--quick]

LoRA on all linear layers, 8 rows, float32, one thread, a process a side, steps interleaved; with and without activation checkpointing. With so
little noise and so large a clip norm that neither matters, both sides must see the same losses, step after step, before anything is believed.
Processes are started anew several times: where memory happens to lie makes one faster than another by some per cent, whichever side it is.
With --pass-rows the loop without privacy runs in passes as small, too ("split"): what they cost is not privacy's.
Where our sides do not fit beside each other, freed memory is given back between steps, and both pay for getting it again.
The interval is of the medians of the starts: steps of one start are no independent ones.
Memory is that of two steps in another process whose allocator gives back what is freed: what C's keeps for later scatters by some 4 %.
Ends with 1 where a goal is missed, but for --quick.
In two of the cases other libraries run beside the same loop without them, in an environment that tests/environments.sh makes: Opacus (per-sample hooks,
and ghost clipping), opake, and fastDP, which no package index carries, from a checkout that --fastdp names. Their ratios are to their own loop,
whose head computes the logits of every position.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import NamedTuple

from frame import tell
from scipy.stats import binom

ROWS = 8
TOLERANCE = 2e-4  # of the losses: the same sums in another order, another attention kernel
LIBRARIES = ("opacus hooks", "opacus ghost", "opake")
PYTHON = Path(__file__).parents[1] / ".cache" / "dp-peers-venv" / "bin" / "python"  # tests/environments.sh makes it
PEER = Path(__file__).parent / "peers" / "dp_library_step.py"


class Case(NamedTuple):
    """What is measured."""

    rank: int
    tokens: int
    checkpointing: bool

    @property
    def name(self) -> str:
        """What the result calls it."""
        return f"LoRA r={self.rank}, {ROWS} x {self.tokens}, float32" + (", checkpointing" if self.checkpointing else "")

    @property
    def settings(self) -> dict[str, object]:
        """Return those of the training that are not common to all cases."""
        return {"lora_rank": self.rank}

    @property
    def goals(self) -> tuple[float, float]:
        """Ratios of time and of memory."""
        return 1.02, 1.05 if self.checkpointing or (self.rank, self.tokens) == (64, 128) else 1.02


def worker(side: str, model: str, case: Case, pass_rows: int | None = None, *, trims: bool = False) -> None:
    """Make a step for each line of the input; a line is the number of the step.

    side: "private", "plain", or "split", which is plain in passes of `pass_rows`. pass_rows: of the private side; None: as many as it chooses.
    """
    from ringfence.core.environment import silence_libraries

    silence_libraries()
    import numpy as np
    import torch

    from ringfence.models.load import choose_attention, load_model
    from ringfence.privacy.plan import DPPlan
    from ringfence.train.data import Example
    from ringfence.train.private import PrivateTrainer
    from ringfence.train.settings import RuntimeHints, TrainSettings
    from ringfence.train.trainer import Trainer

    torch.set_num_threads(1)
    drawn = random.Random(7)
    learn = np.arange(case.tokens) >= case.tokens // 2
    examples = [Example(np.array([drawn.randrange(100, 40_000) for _ in range(case.tokens)], np.int32), learn, i) for i in range(ROWS)]
    attention = choose_attention("auto", device="cpu", longest=case.tokens)
    base = load_model(Path(model), dtype=torch.float32, device="cpu", attention=attention)
    settings = TrainSettings(per_device_train_batch_size=ROWS, learning_rate=1e-4, max_grad_norm=0.0, **case.settings)
    hints = RuntimeHints(checkpointing=case.checkpointing, micro_batch=pass_rows if side == "split" else None)
    common = {"hints": hints, "padding": 0, "device": "cpu"}
    clock = {"noise": 0.0}
    if side != "private":
        trainer = Trainer(base, settings, **common)
    else:
        plan = DPPlan(
            epsilon=1,
            delta=1e-3,
            unit="record",
            units=ROWS,
            clip_norm=1e5,
            sampling_rate=1,
            max_batch=ROWS,
            steps=100,
            noise_multiplier=1e-15,
        )
        trainer = PrivateTrainer(base, settings, plan=plan, **common)
        if pass_rows:
            trainer.most_rows = lambda _: pass_rows
        noised = trainer._noised  # noqa: SLF001  timed apart

        def timed(total):
            began = time.process_time()
            found = noised(total)
            clock["noise"] += time.process_time() - began
            return found

        trainer._noised = timed  # noqa: SLF001
    print(json.dumps({"ready": side}), flush=True)
    for line in sys.stdin:
        clock["noise"], began = 0.0, time.process_time()
        loss = trainer.step(examples, step=int(line), steps=1_000)
        seconds = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds - clock["noise"], "noise": clock["noise"], "loss": loss, "peak": peak}), flush=True)
        if trims:
            ctypes.CDLL(None).malloc_trim(0)


class Side:
    """One worker process."""

    def __init__(self, name: str, model: str, case: Case, *, peer: bool = False, checkout: str = "", pass_rows: int | None = None) -> None:
        self.name, self._peer, self._checkout = name, peer, checkout
        if peer:
            self._command = [str(PYTHON), str(PEER), name, model, str(case.rank), str(case.tokens), str(ROWS)]
        else:
            self._command = [sys.executable, sys.argv[0], "--worker", name, "--model", model, "--case", json.dumps(case)]
            self._command += ["--pass-rows", str(pass_rows)] if pass_rows else []

    def start(self, allocator: dict[str, str] | None = None, *, trims: bool = False) -> None:
        """Begin a worker. trims: it gives freed memory back after each step."""
        quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"} | (
            allocator or {}
        )
        if self._peer:
            quiet["PYTHONPATH"] = self._checkout
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        command = [*self._command, "--trims"] if trims and not self._peer else self._command
        self._process = subprocess.Popen(command, text=True, env={**os.environ, **quiet}, **pipes)
        self._answer()

    def _answer(self) -> dict[str, float]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker {self.name} ended early")
        return json.loads(line)

    def step(self, number: int) -> dict[str, float]:
        """Return what one step took."""
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return self._answer()

    def peak(self) -> float:
        """Return the peak memory of two steps, in MB, of a process of its own whose allocator gives what is freed back at once."""
        self.start({"MALLOC_MMAP_THRESHOLD_": "65536"})
        found = [self.step(number)["peak"] for number in range(2)]
        self.close()
        return max(found)

    def close(self) -> None:
        """End the worker."""
        self._process.stdin.close()
        self._process.wait()


def measured(sides: list[Side], steps: int, *, trims: bool) -> list[dict[str, dict[str, float]]]:
    """Return what each side took in each step of fresh processes, but for the first, which warms up."""
    rounds = []
    for side in sides:
        side.start(trims=trims)
    for number in range(steps):
        seen = {side.name: side.step(number) for side in (sides if number % 2 else reversed(sides))}
        losses = [one["loss"] for one in seen.values()]
        assert max(losses) - min(losses) < TOLERANCE, f"step {number}: the losses differ: {seen}"
        rounds.append(seen)
    for side in sides:
        side.close()
    return rounds[1:]


def compared(case: Case, sides: list[Side], steps: int, *, starts: int, pass_rows: int | None = None) -> bool:
    """Print what each side took beside the last one, the loop without privacy. Return True where every goal is met."""
    peaks = {side.name: side.peak() for side in sides}
    fits = 1.2 * sum(peaks.values()) < os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    rounds = [one for _ in range(starts) for one in measured(sides, steps, trims=not fits)]
    peer, met = sides[-1].name, True
    for side in sides[:-1]:
        pairs = [(one[side.name]["seconds"], one[peer]["seconds"]) for one in rounds]
        each = [mine / theirs for mine, theirs in pairs]
        ratios, medians = sorted(each), [statistics.median(each[at : at + steps - 1]) for at in range(0, len(each), steps - 1)]
        common = {"bench": Path(sys.argv[0]).stem, "case": case.name, "side": side.name, "peer": "the same loop without privacy"}
        common |= {"pass_rows": pass_rows} if pass_rows else {}
        time_goal, memory_goal = case.goals if side.name == "private" else (None, None)
        time_line = {
            **common, "metric": "CPU time of a microbatch", "unit": "s",
            **dict(zip(("ours", "peer_value"), (round(statistics.median(values), 3) for values in zip(*pairs, strict=True)), strict=True)),
            "ratio": round(statistics.median(ratios), 3), "goal": time_goal, "spread": [round(ratios[0], 3), round(ratios[-1], 3)],
            "interval": [round(one, 3) for one in interval(sorted(medians))], "steps": len(pairs), "starts": starts,
            "noise_s": noise_of([one[side.name]["noise"] for one in rounds]),
            "last_loss": round(rounds[-1][side.name]["loss"], 5),
        }  # fmt: skip
        mine, theirs = peaks[side.name], peaks[peer]
        memory_line = {
            **common, "metric": "peak memory", "unit": "MB", "ours": round(mine, 1), "peer_value": round(theirs, 1), "ratio": round(mine / theirs, 3),
            "goal": memory_goal,
        }  # fmt: skip
        for line in (time_line, memory_line):
            tell(line)
            met = met and (line["goal"] is None or line["ratio"] <= line["goal"])
    return met


def noise_of(seconds: list[float | None]) -> float | None:
    """Return the median time of a step's noise, which the times leave out; None where they hold it, as those of other libraries do."""
    return None if None in seconds else round(statistics.median(seconds), 3)


def interval(ratios: list[float]) -> tuple[float, float]:
    """Return a 95 % confidence interval of the median of what these sorted ratios are drawn from, by order statistics; the extremes where they are few."""
    low = int(binom.ppf(0.025, len(ratios), 0.5))
    at = max(0, low - 1)
    return ratios[at], ratios[-1 - at]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the registered smollm2 without it")
    parser.add_argument("--ranks", default="8,16,64")
    parser.add_argument("--tokens", default="128,512")
    parser.add_argument("--checkpointing", choices=("off", "on", "off,on"), default="off,on")
    parser.add_argument("--steps", type=int, default=7, help="of each start")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="without the other libraries")
    parser.add_argument("--peers-only", action="store_true", help="the other libraries alone")
    parser.add_argument("--fastdp", default="", metavar="FOLDER", help="a checkout of awslabs/fast-differential-privacy")
    parser.add_argument(
        "--pass-rows",
        type=int,
        choices=range(1, ROWS + 1),
        metavar="N",
        help="rows of a private pass, in place of what the trainer chooses",
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", choices=("plain", "private", "split"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--trims", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.model, Case(*json.loads(options.case)), options.pass_rows, trims=options.trims)
        return
    if options.model is None:
        from ringfence.models.store import find

        options.model = str(find("smollm2").path)
    ranks, tokens = ([int(one) for one in given.split(",")] for given in (options.ranks, options.tokens))
    recomputes = [one == "on" for one in options.checkpointing.split(",")]
    cases = [Case(8, 128, checkpointing=False)] if options.quick else [Case(*one) for one in product(ranks, tokens, recomputes)]
    steps, starts = (3, 1) if options.quick else (options.steps, options.starts)
    own = [] if options.peers_only else cases
    rows = options.pass_rows
    sides = ("private", "split", "plain") if rows else ("private", "plain")
    met = [
        compared(case, [Side(name, options.model, case, pass_rows=rows) for name in sides], steps, starts=starts, pass_rows=rows)
        for case in own
    ]
    names = [*LIBRARIES, *(["fastDP"] if options.fastdp else []), "plain"]
    peered = [] if options.no_peers else [case for case in cases if not case.checkpointing and case.rank == ranks[0]]
    if peered and not PYTHON.exists():
        tell({"bench": "dp_step", "case": "other libraries", "metric": "not measured: tests/environments.sh makes their environment"})
        peered = []
    for case in peered:
        compared(case, [Side(name, options.model, case, peer=True, checkout=options.fastdp) for name in names], steps, starts=starts)
    sys.exit(0 if options.quick or all(met) else 1)


if __name__ == "__main__":
    main()
