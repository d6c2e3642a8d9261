"""How much of what is labelled as sensitive is covered, how much of the rest is masked, and how fast, against Presidio 2.2.366 in the same run.

Run: python benchmarks/deid_quality.py [DATA] [--taggers zh-names.v1,lac.v1=FOLDER,...] [--no-peer] [--misses N] [--quick] >> benchmarks/results.jsonl
DATA is a folder that holds the sets of docs/experiment-log.md below `deid`; without it nothing is measured. --quick: some rows of each set.
Covered: a labelled span every character of which lies in what was found, of whatever type. Missed: characters of labelled spans that nothing covers.
Over: characters outside them that are covered.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from frame import tell
from frame.mix import DATA

from ringfence.deid.engine import Engine
from ringfence.deid.profile import settings_for

PRESIDIO = Path(__file__).parents[1] / ".cache" / "presidio-venv" / "bin" / "python"
PEER = Path(__file__).parent / "peers" / "presidio.py"
_QUICK = 150  # rows of each set
CLUENER = {
    "name": "PERSON",
    "address": "LOCATION",
    "organization": "ORGANISATION",
    "company": "ORGANISATION",
    "government": "ORGANISATION",
    "scene": "LOCATION",
}


class Labelled(NamedTuple):
    """A text with its labelled spans."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def glued(data: Path) -> Iterator[Labelled]:
    """Yield Chinese sentences with one identifier each."""
    for line in (data / "zh-glued-ids" / "cases.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Labelled(row["text"], tuple((a, b, kind) for a, b, kind in row["spans"]))


def cluener(data: Path) -> Iterator[Labelled]:
    """Yield the development set; its ends are inclusive."""
    for line in (data / "zh-cluener" / "dev.json").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        spans = (
            (a, b + 1, CLUENER[kind])
            for kind, values in row["label"].items()
            if kind in CLUENER
            for places in values.values()
            for a, b in places
        )
        yield Labelled(row["text"], tuple(sorted(spans)))


def synth(data: Path) -> Iterator[Labelled]:
    """Yield the English sentences of presidio-research."""
    for row in json.loads((data / "en-presidio" / "synth_dataset_v2.json").read_text(encoding="utf-8")):
        yield Labelled(row["full_text"], tuple((s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]))


def wnut(data: Path) -> Iterator[Labelled]:
    """Yield the noisy English texts."""
    yield from _conll(
        (data / "en-wnut17" / "emerging.test.annotated").read_text(encoding="utf-8"),
        "\t",
        {"person": "PERSON", "location": "LOCATION", "corporation": "ORGANISATION", "group": "ORGANISATION"},
    )


def wikigold(data: Path) -> Iterator[Labelled]:
    """Yield sentences of Wikipedia."""
    yield from _conll(
        (data / "en-wikigold" / "wikigold.conll.txt").read_text(encoding="utf-8"),
        " ",
        {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANISATION"},
    )


def _conll(text: str, mark: str, kinds: dict[str, str]) -> Iterator[Labelled]:
    for block in text.split("\n\n"):
        words, spans, at, open_kind = [], [], 0, ""
        for line in block.splitlines():
            word, _, tag = line.partition(mark)
            kind = kinds.get(tag.strip().rpartition("-")[2], "")
            if kind and tag.strip()[:1] == "I" and open_kind == kind and spans:
                spans[-1] = (spans[-1][0], at + len(word), kind)
            elif kind:
                spans.append((at, at + len(word), kind))
            open_kind = kind
            words.append(word)
            at += len(word) + 1
        if words:
            yield Labelled(" ".join(words), tuple(spans))


SETS = {
    "zh-glued-ids": (glued, None),
    "zh-cluener-dev": (cluener, "PERSON"),
    "en-presidio-synth": (synth, None),
    "en-wnut17": (wnut, "PERSON"),
    "en-wikigold": (wikigold, "PERSON"),
}


def measured(rows: Sequence[Labelled], found: Sequence[Sequence[tuple[int, int]]], kind: str | None) -> dict[str, Any]:
    """Return the share of spans covered, of characters missed, and of others masked; `kind`: the spans that are counted, all if None."""
    covered = spans = missed = sensitive = over = others = 0
    by_kind: dict[str, list[int]] = {}
    for row, ranges in zip(rows, found, strict=True):
        mask = bytearray(len(row.text))
        for start, end in ranges:
            mask[start:end] = b"\1" * (end - start)
        gold = bytearray(len(row.text))
        for start, end, label in row.spans:
            gold[start:end] = b"\1" * (end - start)
            is_covered = all(mask[start:end])
            tally = by_kind.setdefault(label, [0, 0])
            tally[0] += is_covered
            tally[1] += 1
            if kind in (None, label):
                spans += 1
                covered += is_covered
                sensitive += end - start
                missed += mask[start:end].count(0)
        over += sum(m and not g for m, g in zip(mask, gold, strict=True))
        others += gold.count(0)
    return {
        "spans": spans,
        "covered": round(covered / spans, 4),
        "missed": round(missed / sensitive, 4),
        "over": round(over / others, 4),
        "by_kind": {label: f"{a}/{b}" for label, (a, b) in sorted(by_kind.items())},
    }


def ours(texts: Sequence[str], taggers: dict[str, Path | None]) -> tuple[list[list[tuple[int, int]]], float]:
    """Return what ringfence finds, and CPU seconds."""
    settings = settings_for("default").model_copy(update={"taggers": tuple(taggers)})
    engine = Engine.build(settings, bytes(32), models={name: folder for name, folder in taggers.items() if folder})
    engine.find("Warm up: 张伟 and John Smith, 212-555-0123。")
    start = time.process_time()
    found = engine.find_many(texts)
    return [[(s.start, s.end) for s in spans] for spans in found], time.process_time() - start


def presidio(texts: Sequence[str], mode: str) -> tuple[list[list[tuple[int, int]]], float]:
    """Return what Presidio finds, and CPU seconds."""
    done = subprocess.run(
        [PRESIDIO, PEER, mode], input="".join(json.dumps(t) + "\n" for t in texts), capture_output=True, text=True, check=True
    )
    *rows, last = map(json.loads, done.stdout.splitlines())
    return [[(a, b) for a, b, _ in row] for row in rows], last["cpu_seconds"]


def main() -> None:
    """Measure every set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", default=DATA)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--taggers", default="zh-names.v1,en-names.v1")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument(
        "--misses", type=int, default=0, help="print so many labelled spans that were not covered; never commit what it prints"
    )
    given = parser.parse_args()
    if not (given.data / "deid").is_dir():
        print("# there are no sets here to measure on")
        return
    taggers = {
        name: Path(folder) if folder else None for name, _, folder in (one.partition("=") for one in given.taggers.split(",") if one)
    }
    for name in given.sets.split(","):
        read, kind = SETS[name]
        rows = list(read(given.data / "deid"))[: _QUICK if given.quick else None]
        texts = [row.text for row in rows]
        characters = sum(map(len, texts))
        systems = {"ringfence": lambda texts=texts: ours(texts, taggers)}
        if not given.no_peer and PRESIDIO.exists():
            systems |= {f"presidio {mode}": lambda mode=mode, texts=texts: presidio(texts, mode) for mode in ("analyze", "batch")}
        for system, run in systems.items():
            found, seconds = run()
            tell(
                {
                    "bench": "deid_quality",
                    "case": name,
                    "system": system,
                    "taggers": sorted(taggers),
                    "characters_per_cpu_second": round(characters / seconds),
                    "kind": kind,
                }
                | measured(rows, found, kind)
            )
            if system == "ringfence" and given.misses:
                _show_misses(rows, found, kind, given.misses)


def _show_misses(rows: Sequence[Labelled], found: Sequence[Sequence[tuple[int, int]]], kind: str | None, most: int) -> None:
    for row, ranges in zip(rows, found, strict=True):
        for start, end, label in row.spans:
            if kind in (None, label) and not any(a <= start and end <= b for a, b in ranges) and most > 0:
                most -= 1
                print(
                    f"#   {label}: {row.text[max(0, start - 12) : start]}[{row.text[start:end]}]{row.text[end : end + 12]}".replace(
                        "\n", "⏎"
                    )
                )


if __name__ == "__main__":
    main()
