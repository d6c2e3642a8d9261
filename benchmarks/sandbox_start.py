"""Milliseconds from starting bubblewrap to the child's first instruction, of the self-test, and what the seccomp filter costs.

Run: .venv/bin/python benchmarks/sandbox_start.py [--quick] >> benchmarks/results.jsonl
Peers: the same interpreter as a plain process (start), a T0 child that sets its limits and tests nothing (self-test, ready), the same sandbox
without its filter (seccomp). Twenty rounds (six with --quick), interleaved; every figure is a median. Goal: start at most 50 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections import defaultdict

from frame import tell

from ringfence.core.order import Limits, Tier
from ringfence.sandbox.arguments import Mounts, bwrap_arguments
from ringfence.sandbox.cage import open_cage
from ringfence.sandbox.python import own
from ringfence.sandbox.seccomp import filter_path
from ringfence.sandbox.tiers import find_bwrap

CALLS = 100_000
STAMP = "import time; first = time.monotonic_ns(); "
SCRIPT = (
    f"{STAMP} import os; began = time.perf_counter_ns(); [os.getppid() for _ in range({CALLS})]; "
    "status = open('/proc/self/status').read(); seccomp = status.split('Seccomp:')[1].split()[0]; "
    f"print(first, (time.perf_counter_ns() - began) / {CALLS}, seccomp)"
)


def cage(tier: Tier) -> dict[str, float]:
    """Return the milliseconds of each part of opening a cage."""
    began = time.monotonic()
    with open_cage(tier=tier, mounts=Mounts(), limits=Limits(), entry="unused:main") as opened:
        ready = time.monotonic() - began
        assert tier == "T0" or (opened.report.self_test and opened.report.self_test.failures() == [])
        return {"start": opened.seconds["start"] * 1e3, "self_test": opened.seconds["self_test"] * 1e3, "ready": ready * 1e3}


def raw(*, caged: bool, filtered: bool) -> tuple[float, float]:
    """Return milliseconds to the first instruction and nanoseconds of one cheap system call."""
    rules = os.open(filter_path(), os.O_RDONLY)
    command = [str(own().binary), "-I", "-S", "-c", SCRIPT]
    if caged:
        options = bwrap_arguments(mounts=Mounts(), roots=own().roots, info=0, block=0, seccomp=rules)
        unused = {"--info-fd", "--block-fd"} | (set() if filtered else {"--seccomp"})
        kept = [word for i, word in enumerate(options) if word not in unused and (i == 0 or options[i - 1] not in unused)]
        command = [str(find_bwrap()), *kept, "--", *command]
    began = time.monotonic_ns()
    done = subprocess.run(command, env={}, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(rules,), check=True)
    os.close(rules)
    first, call, mode = done.stdout.split()
    assert mode == (b"2" if filtered else b"0"), "the filter is not where it should be"
    return (int(first) - began) / 1e6, float(call)


def line(case: str, metric: str, unit: str, *, ours: list[float], peer: str, theirs: list[float]) -> None:
    """Print one result."""
    a, b = statistics.median(ours), statistics.median(theirs)
    row = {"bench": "sandbox_start", "case": case, "metric": metric, "unit": unit, "ours": round(a, 3), "peer": peer}
    row |= {"peer_value": round(b, 3), "ratio": round(a / b, 3), "min": round(min(ours), 3), "max": round(max(ours), 3)}
    tell(row | {"rounds": len(ours)})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 6 if parser.parse_args().quick else 20
    found: dict[str, list[float]] = defaultdict(list)
    cage("T1")  # warms the file cache
    for _ in range(rounds):
        for tier in ("T1", "T0"):
            for part, value in cage(tier).items():
                found[f"{tier} {part}"].append(value)
        for name, caged, filtered in (("on", True, True), ("off", True, False), ("plain", False, False)):
            start, call = raw(caged=caged, filtered=filtered)
            found[f"{name} start"].append(start)
            found[f"{name} call"].append(call)
    line("T1", "first instruction", "ms", ours=found["T1 start"], peer="plain python -I -S", theirs=found["plain start"])
    line("T1", "self-test", "ms", ours=found["T1 self_test"], peer="T0: limits only", theirs=found["T0 self_test"])
    line("T1", "ready for keys", "ms", ours=found["T1 ready"], peer="T0", theirs=found["T0 ready"])
    line("seccomp", "first instruction", "ms", ours=found["on start"], peer="same sandbox, no filter", theirs=found["off start"])
    line("seccomp", "system call", "ns", ours=found["on call"], peer="same sandbox, no filter", theirs=found["off call"])


if __name__ == "__main__":
    main()
