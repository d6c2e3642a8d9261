"""Megabytes a second of the pattern tier of de-identification, against Presidio's patterns.

Run: python benchmarks/deid_throughput.py [--quick] [--data FOLDER] >> benchmarks/results.jsonl
     python benchmarks/deid_throughput.py --gigabytes 10

Cases, on a mix of Chinese and English of which 30 % of the texts hold an identifier (and a dense one: all of them do):
scan       the automata alone, on folded blocks of 1 MB
secrets    the recognisers of secrets alone, on folded blocks
blocks     patterns, secrets, dictionary and rewriting, on folded blocks
one pass   JSON Lines to JSON Lines: parse, fold, find, replace, write
job        JSON Lines to JSON Lines as `ringfence deid` does it: learn the originals of the set, rewrite, look again
One thread; rates count bytes of input per CPU second, because the machine may be shared. The peer reads each text for itself, as it must, and replaces nothing.
"""

# ruff: noqa: SLF001  each part of the engine is timed for itself
from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from frame import tell
from frame.mix import DATA, records, texts

from ringfence.core.records import Record
from ringfence.deid.block import Block
from ringfence.deid.engine import Engine, with_instead
from ringfence.deid.fold import fold
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import CHECKED
from ringfence.deid.resolve import joined, resolve

KEY = bytes(range(32))
TERMS = ("天枢平台", "Project Tianshu", "北极星计划", "Northstar")
SECRETS = ("api-key.v1", "secret-rules.v1", "url-credentials.v1", "seed-phrase.v1", "crypto-wallet.v1")
SETTINGS = settings_for("default").model_copy(update={"taggers": ()})
PEER = Path(__file__).parents[1] / ".cache" / "presidio-venv" / "bin" / "python"
BLOCK = 1 << 20  # bytes
SAMPLE = 200  # texts that the peer reads


def blocks(rows: list[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of about a megabyte."""
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += len(row.encode("utf-8", "surrogatepass"))
        if size >= BLOCK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def check(rows: list[str]) -> None:
    """Say no rate of a wrong answer: both engines find the same, and no original is left."""
    some = rows[:400]
    plain = Engine.build(SETTINGS.model_copy(update={"engine": "re"}), KEY, terms=TERMS)
    engine = Engine.build(SETTINGS, KEY, terms=TERMS)
    assert engine.find_many(some) == plain.find_many(some), "a fast wrong answer is not a result"
    for text, spans in zip(some, engine.find_many(some), strict=True):
        masked = engine.replace(text, spans)
        assert all(s.score < CHECKED or text[s.start : s.end] not in masked for s in spans)


def exchanged(engine: Engine, block: Block, batch: list[str]) -> tuple[list[str], int]:
    """Return the texts of a folded block with their spans exchanged, and how many there were."""
    rows = block.by_text(joined(resolve(engine._claims(block.text)), block.text))
    instead = engine._replacements(batch, rows, [b""] * len(batch))
    done = list(batch)
    for number, spans in rows.items():
        made = instead[number]
        assert made is not None
        done[number] = with_instead(batch[number], [span for span, _ in spans], made)
    return done, sum(map(len, rows.values()))


def rewritten(engine: Engine, folded: list[tuple[Block, list[str]]]) -> int:
    """Return how many spans of folded blocks were replaced."""
    return sum(exchanged(engine, block, batch)[1] for block, batch in folded)


def one_pass(engine: Engine, lines: list[bytes]) -> int:
    """Return the number of bytes written."""
    written = 0
    for at in range(0, len(lines), 4_000):
        batch = [Record.from_line(line) for line in lines[at : at + 4_000]]
        texts = [record.texts[0] for record in batch]
        for record, text in zip(batch, exchanged(engine, Block(texts), texts)[0], strict=True):
            written += len((record if text is record.texts[0] else record.with_texts((text,))).to_line())
    return written


def job(engine: Engine, lines: list[bytes]) -> int:
    """Return the number of bytes written."""
    engine.learn(map(Record.from_line, lines))
    return sum(len(done.record.to_line()) for done in engine.rewrite(map(Record.from_line, lines)) if done.record)


def peer(rows: list[str]) -> float | None:
    """Return megabytes per CPU second of Presidio's patterns; None where its environment is not installed."""
    if not PEER.exists():
        return None
    sent = "".join(json.dumps(row) + "\n" for row in rows)
    script = Path(__file__).parent / "peers" / "presidio.py"
    told = subprocess.run([PEER, script, "patterns"], input=sent, capture_output=True, text=True, check=True).stdout
    return sum(len(row.encode()) for row in rows) / 1e6 / json.loads(told.splitlines()[-1])["cpu_seconds"]


def measure(name: str, rate: float, *, data: Path, size: int, repeats: int) -> None:
    """Print every case of one mix."""
    rows = [text.encode("utf-8", "replace").decode() for text in texts(size, data=data, rate=rate)]
    check(rows)
    lines = [Record(f"{n:032x}", f"{n:032x}", "bench", "text", ("text",), (row,)).to_line() for n, row in enumerate(rows)]
    folded = [(Block(batch), batch) for batch in blocks(rows)]
    plain = [fold("\x00".join(batch)).text for batch in blocks(rows)]
    read = sum(len(row.encode()) for row in rows)
    engine = Engine.build(SETTINGS, KEY, terms=TERMS)
    secrets = Engine.build(SETTINGS.model_copy(update={"parts": SECRETS}), KEY)

    def fresh() -> Engine:  # knows nothing; the automata are not compiled again
        return Engine(engine._parts, scanner=engine._scanner, terms=(), settings=SETTINGS, key=KEY)

    cases: dict[str, tuple[int, Callable[[], object]]] = {
        "scan": (read, lambda: [engine._scanner.scan(text) for text in plain]),
        "secrets": (read, lambda: [secrets._claims(text) for text in plain]),
        "blocks": (read, lambda: rewritten(fresh(), folded)),
        "one pass": (sum(map(len, lines)), lambda: one_pass(fresh(), lines)),
        "job": (sum(map(len, lines)), lambda: job(fresh(), lines)),
    }
    spent: dict[str, list[float]] = {case: [] for case in cases}
    theirs: list[float] = []
    for turn in range(repeats):  # interleaved; the peer every other time, because it takes a while to start
        for case, (_, run) in cases.items():
            start = time.process_time()
            run()
            spent[case].append(time.process_time() - start)
        if turn % 2 and (found := peer(rows[:SAMPLE])) is not None:
            theirs.append(found)
    peer_rate = sorted(theirs)[len(theirs) // 2] if theirs else None
    for case, (size_of, _) in cases.items():
        rates = sorted(size_of / 1e6 / seconds for seconds in spent[case])
        middle = rates[len(rates) // 2]
        tell(
            {
                "bench": "deid_throughput",
                "case": f"{name}: {case}",
                "metric": "UTF-8 in, per core",
                "unit": "MB/s",
                "ours": round(middle, 2),
                "peer": "Presidio 2, its patterns",
                "peer_value": peer_rate and round(peer_rate, 3),
                "ratio": peer_rate and round(middle / peer_rate, 1),
                "min": round(rates[0], 2),
                "max": round(rates[-1], 2),
                "cpu_seconds": round(sum(spent[case]), 2),
                "replaced": rewritten(fresh(), folded) if case == "blocks" else None,
            }
        )


def long_run(gigabytes: float, data: Path) -> None:
    """Send generated records through one pass of the pattern tier and print the most memory that it took."""
    engine = Engine.build(SETTINGS, KEY, terms=TERMS)
    start, before, total, spans = time.process_time(), 0.0, 0, 0
    for seed in range(sys.maxsize):
        rows = list(records(8 * BLOCK, data=data, seed=seed))
        begun = time.process_time()
        for batch in blocks([row.texts[0] for row in rows]):
            spans += sum(map(len, engine.find_many(batch)))
            total += sum(len(text.encode("utf-8", "surrogatepass")) for text in batch)
        before += time.process_time() - begun
        if total >= gigabytes * 1e9:
            break
    tell(
        {
            "bench": "deid_throughput",
            "case": f"{gigabytes:g} GB in one run",
            "metric": "most memory",
            "unit": "MB",
            "ours": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "peer": "goal",
            "peer_value": 500,
            "ratio": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 500, 3),
            "spans": spans,
            "cpu_seconds": round(before, 1),
            "cpu_seconds_with_generating": round(time.process_time() - start, 1),
        }
    )


def main() -> None:
    """Print the rates, or what a long run takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--gigabytes", type=float)
    given = parser.parse_args()
    if given.gigabytes:
        long_run(given.gigabytes, given.data)
        return
    for name, rate in (("mix", 0.3), ("dense", 1.0)):
        measure(name, rate, data=given.data, size=(1 if given.quick else 20) << 20, repeats=2 if given.quick else 5)


if __name__ == "__main__":
    main()
