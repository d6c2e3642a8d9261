"""What encryption and the sandbox cost on a training run: CPU seconds of the controls, beside CPU seconds of the whole run.

Run: python benchmarks/control_cost.py [--quick] >> benchmarks/results.jsonl

Generated clinic notes go the product's way (import, scan, deid); then the same training job runs over and over, in pairs with and without the
seccomp filter, on one thread. Its child half is the product's own, begun from here with a stop-watch around every call into the vault. The full
mode needs the registered smollm2; --quick takes a two-layer model and few steps, so that its start weighs far more than the goals allow for.

vault: what host and child spend in its functions, their imports and Argon2id included, as a share of the evidence's `cpu_seconds` (the child's).
sandbox: what host, bubblewrap and child spend until the self-test is done, Python's own start included, as a share of the same.
seccomp: CPU seconds of the job with the filter ÷ without. The product cannot switch it off: this script takes it from bubblewrap's arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import importlib
import inspect
import json
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import GeneratorType
from typing import Any
from unittest import mock

from frame import clinic, tell, tiny_model

HERE = Path(__file__)
COST = "cost.json"  # what the child's watch saw, beside the output slots; the run's end removes it
VAULT = {
    "files": ("write_files", "read_file", "read_blocks", "file_names"),
    "sets:SetReader": ("__init__", "__iter__", "lines", "rows"),
    "store:Store": ("incoming", "collect", "adopt", "commit", "remove", "clear_incoming", "check"),
    "keys:KeyStore": ("open", "reload", "new_data_key", "data_key", "purpose", "store", "slots", "destroy", "evidence_key", "ledger_key"),
}
GOALS = {"vault": 0.03, "sandbox": 0.02, "seccomp": 1.02}
RECIPE = """\
model_name_or_path: {model}
stage: sft
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: clinic
cutoff_len: 96
per_device_train_batch_size: {batch}
learning_rate: 2.0e-3
max_steps: {steps}
save_steps: {save}
"""


class Watch:
    """CPU seconds of this process, Argon2id's threads included, inside the watched functions; one that calls another counts once."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, Counter()
        self._depth, self._began = 0, 0.0

    def __enter__(self) -> None:
        if self._depth == 0:
            self._began = time.process_time()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.process_time() - self._began

    def wrap(self, owner: object, name: str) -> None:
        """Watch one function of a module or class, and every step of the generator that it returns."""
        raw = inspect.getattr_static(owner, name)
        is_method_of_class = isinstance(raw, classmethod)
        function = raw.__func__ if is_method_of_class else raw

        @functools.wraps(function)
        def watched(*args: Any, **more: Any) -> Any:
            self.calls[name] += 1
            with self:
                result = function(*args, **more)
            return self._steps(result) if isinstance(result, GeneratorType) else result

        setattr(owner, name, classmethod(watched) if is_method_of_class else watched)

    def _steps(self, generator: Iterator[Any]) -> Iterator[Any]:
        while True:
            try:
                with self:
                    item = next(generator)
            except StopIteration:
                return
            yield item


def watch_vault() -> Watch:
    """Import the vault, on the watch, and wrap its functions before anything else can import them."""
    for shared in ("numpy", "pydantic", "ringfence.core.records", "ringfence.core.order"):  # a run without a vault needs them, too
        importlib.import_module(shared)
    watch = Watch()
    with watch:
        owners = {place: importlib.import_module(f"ringfence.vault.{place.partition(':')[0]}") for place in VAULT}
    for place, names in VAULT.items():
        _, _, cls = place.partition(":")
        for name in names:
            watch.wrap(getattr(owners[place], cls) if cls else owners[place], name)
    return watch


def child(order: bytes, keys: bytes, end: Any) -> int:
    """The product's child half, watched."""
    from ringfence.core.environment import silence_libraries, use_threads

    told = json.loads(order)
    silence_libraries()
    use_threads(told["limits"]["threads"])
    watch = watch_vault()
    from ringfence.jobs.__main__ import main as job

    status = job(order, keys, end)
    out = Path(told["outputs"]["adapter"]["path"]).parent
    out.joinpath(COST).write_text(json.dumps({"vault": watch.seconds, "calls": watch.calls}))
    return status


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one run."""

    job: float  # of the child, by the evidence
    vault: float
    sandbox: float
    losses: tuple[float, ...]


class Bench:
    """A workspace with a masked set, and runs on it."""

    def __init__(self, folder: Path, host: Watch, *, rows: int) -> None:
        from ringfence.flows.init import init
        from ringfence.vault.keys import Passphrase

        self._host, self._imports = host, host.seconds
        self._folder, self._secret = folder / "space", Passphrase(secrets.token_hex(16).encode())
        space = init(self._folder, self._secret)
        clinic(space, folder, rows=rows)

    def run(self, recipe: str, *, is_filtered: bool, checkpoints: int) -> Cost:
        """Open the workspace, as every command does, and train."""
        from ringfence.flows import train as flow
        from ringfence.jobs import start as jobs
        from ringfence.recipe.read import read
        from ringfence.workspace.space import Workspace

        path = self._folder / "recipe.yaml"
        path.write_text(recipe)
        seen, sandbox = {}, Watch()

        def start(work: Any, figures: Any, **more: Any) -> Any:
            done = jobs.start(work, figures, entry=f"{HERE.stem}:child", roots=[*roots(), HERE.parent], **more)
            seen.update(json.loads((work.incoming / COST).read_text()))
            return done

        def open_cage(**more: Any) -> Any:
            with sandbox:
                cage = opened(**more)
            sandbox.seconds += cpu_of(cage.pid) + cpu_of(parent_of(cage.pid))  # the child, and bubblewrap
            return cage

        opened, began = jobs.open_cage, self._host.seconds
        self._host.calls.clear()
        with contextlib.ExitStack() as patches:
            patches.enter_context(mock.patch.object(flow, "start", start))
            patches.enter_context(mock.patch.object(flow, "cores", return_value=1))
            patches.enter_context(mock.patch.object(jobs, "open_cage", open_cage))
            if not is_filtered:
                take_filter_away(patches)
            trained = flow.train(Workspace.open(self._folder, self._secret), read(path))
        evidence = trained.committed.statement.predicate
        assert evidence.sandbox.self_test.failures() == ([] if is_filtered else ["seccomp"]), "the filter is not where it should be"
        assert seen["calls"].get("rows") == 1, "the rows were read past the watch"
        assert seen["calls"]["write_files"] == 1 + checkpoints, "something was sealed past the watch"
        assert self._host.calls["adopt"] == checkpoints
        assert self._host.calls["collect"] >= 2, "the host hashed past the watch"  # the adapter and the figures
        vault = seen["vault"] + self._imports + self._host.seconds - began
        return Cost(evidence.cpu_seconds["job"], vault, sandbox.seconds, trained.figures.losses)


def roots() -> list[Path]:
    from ringfence.sandbox.python import own

    return own().roots


def take_filter_away(patches: contextlib.ExitStack) -> None:
    """Let bubblewrap start without the filter, and the host accept a cage that lacks it."""
    from ringfence.sandbox import launch

    whole = launch.bwrap_arguments

    def without(**more: Any) -> list[str]:
        words = whole(**more)
        at = words.index("--seccomp")
        return words[:at] + words[at + 2 :]

    patches.enter_context(mock.patch.object(launch, "bwrap_arguments", without))
    patches.enter_context(mock.patch("ringfence.sandbox.cage._tested", lambda answer, **_: answer))


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that another process has used so far."""
    clock = ctypes.c_int()
    assert ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)) == 0
    return time.clock_gettime(clock.value)


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("PPid:")[1].split()[0])


def line(case: str, metric: str, *, control: str, ours: list[float], peer: str, theirs: list[float]) -> None:
    """Print one result; `ratio` is the median of the pairs' ratios."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    row = {
        "bench": "control_cost",
        "case": case,
        "metric": metric,
        "unit": "CPU s",
        "ours": round(statistics.median(ours), 3),
        "peer": peer,
    }
    row |= {"peer_value": round(statistics.median(theirs), 3), "ratio": round(statistics.median(ratios), 5), "goal": GOALS[control]}
    row |= {"min": round(min(ratios), 5), "max": round(max(ratios), 5), "runs": len(ours)}
    tell(row)


def measure(folder: Path, model: str, *, rows: int, steps: int, rounds: int) -> None:
    """Run everything and print it."""
    batch, save = 4, steps // 6
    bench = Bench(folder, watch_vault(), rows=rows)
    plain, saving = (RECIPE.format(model=model, batch=batch, steps=steps, save=every) for every in (0, save))
    bench.run(plain, is_filtered=True, checkpoints=0)  # warms the file cache
    pairs: list[dict[bool, Cost]] = []
    saved = []
    for turn in range(rounds):
        order = (True, False) if turn % 2 else (False, True)
        pairs.append({is_filtered: bench.run(plain, is_filtered=is_filtered, checkpoints=0) for is_filtered in order})
        saved.append(bench.run(saving, is_filtered=True, checkpoints=5))
    assert len({cost.losses for cost in (*saved, *(pair[side] for pair in pairs for side in pair))}) == 1, "not the same job"
    on, off = ([pair[side] for pair in pairs] for side in (True, False))
    for runs, what in ((on, "no checkpoint, as by default"), (saved, "5 checkpoints")):
        case, whole = f"{model}, {steps} steps of {batch} rows, {what}", [cost.job for cost in runs]
        vault, sandbox = ([getattr(cost, control) for cost in runs] for control in ("vault", "sandbox"))
        line(case, "vault: seal, open, hash, keys", control="vault", ours=vault, peer="the run", theirs=whole)
        line(case, "sandbox: start and self-test", control="sandbox", ours=sandbox, peer="the run", theirs=whole)
    with_filter, without = ([cost.job for cost in runs] for runs in (on, off))
    case = f"{model}, {steps} steps of {batch} rows"
    line(case, "seccomp filter: the whole job", control="seccomp", ours=with_filter, peer="the same job, no filter", theirs=without)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if quick:
            tiny_model(folder)
        measure(folder, "tiny" if quick else "smollm2", rows=60 if quick else 240, steps=12 if quick else 60, rounds=1 if quick else 5)


if __name__ == "__main__":
    main()
