"""Entries per second that the ledger appends in batches and verifies, next to raw append and fdatasync of the same bytes.

Run: .venv/bin/python benchmarks/ledger_throughput.py [--quick] >> benchmarks/results.jsonl
Appends run interleaved, five rounds (three with --quick); every figure is a median.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from frame import tell

from ringfence.core.digest import canonical
from ringfence.ledger.log import Ledger, verify_log, verify_proof

ORIGIN = "ringfence/benchmark"
KEY = Ed25519PrivateKey.generate()


def entry(n: int) -> dict[str, object]:
    return {"type": "outcome", "run": f"deid-{n:012x}", "arrow": "deid", "manifests": [hashlib.sha256(str(n).encode()).hexdigest()] * 2}


def append_ours(folder: Path, batches: list[list[dict[str, object]]]) -> None:
    log = Ledger.create(folder, origin=ORIGIN, key=KEY)
    for batch in batches:
        log.record_many(batch)


def append_raw(path: Path, batches: list[list[dict[str, object]]]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for batch in batches:
        os.write(handle, b"".join(canonical(row) + b"\n" for row in batch))
        os.fdatasync(handle)
    os.close(handle)


def hash_raw(path: Path) -> None:
    for line in path.read_bytes().split(b"\n"):
        hashlib.sha256(line).digest()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(case: str, metric: str, *, unit: str, ours: list[float], peer: str, peer_values: list[float]) -> None:
    mine, other = statistics.median(ours), statistics.median(peer_values)
    line = {"bench": "ledger_throughput", "case": case, "metric": metric, "unit": unit, "ours": round(mine, 1), "peer": peer}
    line |= {"peer_value": round(other, 1), "ratio": round(mine / other, 3), "min": round(min(ours), 1), "max": round(max(ours), 1)}
    tell(line)


def check(folder: Path, count: int) -> None:
    log = Ledger.open(folder, origin=ORIGIN, public=KEY.public_key(), key=None)
    assert log.size == count, "a fast wrong answer is not a result"
    for index in (0, count // 2, count - 1):
        assert log.raw(index) == canonical(entry(index))
        assert verify_proof(log.raw(index), log.prove(index), origin=ORIGIN, public=KEY.public_key()) == index


def bench_append(folder: Path, *, size: int, batches: int, rounds: int) -> None:
    rows = [[entry(b * size + n) for n in range(size)] for b in range(batches)]
    ours, raw = [], []
    for turn in range(rounds):
        ours.append(size * batches / seconds(lambda turn=turn: append_ours(folder / f"ours-{size}-{turn}", rows)))
        raw.append(size * batches / seconds(lambda turn=turn: append_raw(folder / f"raw-{size}-{turn}", rows)))
        check(folder / f"ours-{size}-{turn}", size * batches)
    report(f"batches of {size}", "append", unit="entries/s", ours=ours, peer="raw append + fdatasync", peer_values=raw)


def bench_verify(folder: Path, *, count: int, rounds: int) -> None:
    rows = [entry(n) for n in range(count)]
    append_ours(folder / "whole", [rows])
    append_raw(folder / "lines", [rows])
    opened, verified, raw = [], [], []
    for _ in range(rounds):
        opened.append(count / seconds(lambda: Ledger.open(folder / "whole", origin=ORIGIN, public=KEY.public_key(), key=None)))
        verified.append(count / seconds(lambda: verify_log(folder / "whole", ORIGIN, KEY.public_key())))
        raw.append(count / seconds(lambda: hash_raw(folder / "lines")))
    check(folder / "whole", count)
    report(f"{count} entries", "open", unit="entries/s", ours=opened, peer="SHA-256 of each line", peer_values=raw)
    report(f"{count} entries", "verify_log", unit="entries/s", ours=verified, peer="SHA-256 of each line", peer_values=raw)
    log = Ledger.open(folder / "whole", origin=ORIGIN, public=KEY.public_key(), key=None)
    proofs = [len(log.prove(count * n // 100)) for n in range(100)]
    limit = [1500.0]
    report(f"{count} entries", "proof size", unit="bytes", ours=list(map(float, proofs)), peer="limit at 10^6 entries", peer_values=limit)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the logs are written (default: a temporary folder)")
    options = parser.parse_args()
    rounds = 3 if options.quick else 5
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for size, batches in ((1, 100), (16, 40), (64, 30 if options.quick else 100), (256, 10 if options.quick else 40)):
            bench_append(Path(name), size=size, batches=batches, rounds=rounds)
        bench_verify(Path(name), count=50_000 if options.quick else 1_000_000, rounds=3)


if __name__ == "__main__":
    main()
