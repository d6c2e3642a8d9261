"""CPU seconds of `ringfence --help`, against an interpreter that imports Typer and Rich alone.

Run: python benchmarks/cli_help.py >> benchmarks/results.jsonl
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

from frame import tell

ROUNDS = 3 if "--quick" in sys.argv else 10


def cpu_seconds(command):
    """Return user and system seconds of one child."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


OURS = [sys.executable, "-m", "ringfence", "--help"]
PEER = [sys.executable, "-c", "import typer, rich.console, rich.table"]
assert b"import" in cpu_seconds(OURS)[1], "a fast wrong answer is not a result"
assert not subprocess.run(
    [sys.executable, "-c", "import sys; from ringfence.cli.main import run; run(['--help']); sys.exit('torch' in sys.modules)"],
    capture_output=True,
    check=False,
).returncode
pairs = [(cpu_seconds(OURS)[0], cpu_seconds(PEER)[0]) for _ in range(ROUNDS)]
ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
line = {"bench": "cli_help", "case": "--help", "metric": "CPU time", "unit": "s", "ours": round(ours, 3), "peer": "typer and rich imported"}
tell(line | {"peer_value": round(peer, 3), "ratio": round(ours / peer, 3)})
