"""Megabytes a second of the ten recognisers with rewriting, JSON Lines to JSON Lines, against the same patterns in Python's `re`.

Run: python benchmarks/deid_throughput.py [--quick] >> benchmarks/results.jsonl
Cases: "engine" reads lines, finds, replaces and writes them once; "job" is what `ringfence deid` does: it learns the originals of the whole
set, rewrites, and looks again. One thread; rates count bytes of input per CPU second, because the machine may be shared.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator

from frame import tell

from ringfence.core.records import Record
from ringfence.deid.engine import Engine
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import RECOGNISERS

KEY = bytes(range(32))
ZH = [
    "患者三天前出现咳嗽，伴有低热，无胸痛。",
    "复查血常规未见明显异常；建议继续观察。",
    "合同编号 2024-118，付款期限为三十天，",
    "系统于凌晨完成升级，未发现告警。",
]
EN = [
    "The patient reports a mild headache since Monday and denies fever. ",
    "Invoice 2024-118 is due within thirty days, see clause 4.2 of the agreement. ",
    "The upgrade finished at 03:12:45 without any alarm on the cluster. ",
]


def lines(size: int, *, seed: int = 7) -> list[bytes]:
    """Return about `size` bytes of records of some 250 bytes; 30 % hold one identifier."""
    draw = random.Random(seed)
    examples = [RECOGNISERS.create(name).example for name in RECOGNISERS.names()]
    rows, total = [], 0
    while total < size:
        parts = [draw.choice(ZH if draw.random() < 0.5 else EN) for _ in range(draw.randint(3, 5))]
        if draw.random() < 0.3:
            parts.insert(draw.randrange(len(parts)), draw.choice(examples) + "，")
        number = f"{len(rows):032x}"
        row = Record(number, number, "bench", "pair", ("user", "assistant"), ("".join(parts[:2]), "".join(parts[2:])))
        rows.append(row.to_line())
        total += len(rows[-1])
    return rows


def engine_pass(engine: Engine, rows: list[bytes]) -> Iterator[bytes]:
    """Yield masked lines; originals are learnt batch by batch."""
    for at in range(0, len(rows), 4_000):
        batch = [Record.from_line(row) for row in rows[at : at + 4_000]]
        for spans, record in zip(batched(engine.find_many([t for r in batch for t in r.texts])), batch, strict=True):
            changed = record.with_texts(tuple(map(engine.replace, record.texts, spans))) if any(spans) else record
            yield changed.to_line()


def batched(spans: list) -> Iterator[tuple]:
    """Yield the spans of two texts at a time: every record here has two."""
    return zip(spans[::2], spans[1::2], strict=True)


def job_pass(engine: Engine, rows: list[bytes]) -> Iterator[bytes]:
    """Yield masked lines as the job writes them."""
    engine.learn(map(Record.from_line, rows))
    for done in engine.rewrite(map(Record.from_line, rows)):
        assert not done.survivors
        yield done.record.to_line()


def rate(run: Callable[[], list[bytes]], size: int) -> tuple[float, list[bytes]]:
    """Return megabytes of input per CPU second, and the output."""
    start = time.process_time()
    out = run()
    return size / 1e6 / (time.process_time() - start), out


def main() -> None:
    """Time both engines, interleaved, after they have agreed on every line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rows = lines((2 if quick else 16) << 20)
    size = sum(map(len, rows))
    ours = settings_for("default")
    peer = ours.model_copy(update={"engine": "re"})
    for case, work in (("engine", engine_pass), ("job", job_pass)):
        rates: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(3 if quick else 5):
            outputs = []
            for name, settings in (("ours", ours), ("peer", peer)):
                engine = Engine.build(settings, KEY)
                value, out = rate(lambda engine=engine, work=work: list(work(engine, rows)), size)
                rates[name].append(value)
                outputs.append(out)
            assert outputs[0] == outputs[1], "a fast wrong answer is not a result"
        best = {name: sorted(values)[len(values) // 2] for name, values in rates.items()}
        tell(
            {
                "bench": "deid_throughput",
                "case": case,
                "metric": "JSON Lines in, per core",
                "unit": "MB/s",
                "ours": round(best["ours"], 2),
                "peer": "Python re, the same ten patterns",
                "peer_value": round(best["peer"], 2),
                "ratio": round(best["ours"] / best["peer"], 2),
                "min": round(min(rates["ours"]), 2),
                "max": round(max(rates["ours"]), 2),
            }
        )


if __name__ == "__main__":
    main()
