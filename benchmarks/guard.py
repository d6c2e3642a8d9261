"""What the replay guard costs, what it blocks, and what it blocks wrongly.

Run: .venv/bin/python benchmarks/guard.py [--quick] [--data FOLDER] >> benchmarks/results.jsonl

- decoding: one answer with the guard and one without, token by token in turns in one process, the same tokens in both. Goal: at most 1.05 times.
- building: MB of texts a second.
- copies: the same passages as they stand, behind other words, in capitals, in lines of 60 characters, with other quotation marks: which share of the runs of ten
  is refused by our guard, and by one that hashes token ids as MemFree does (Ippolito et al. 2022).
- false blocks: the share of words of unseen people's rows that would be refused, as the guard estimates it (leave-one-out) and as it is for the other half of the set.
- answers: a model that over-trained on questions and answers; answers with a run of its training set, and tokens refused, for questions that it learned and
  for others of the same kind.

--data: the folder of public medical texts that its SOURCES.md names; without it, rows of our own (as with --quick).
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from frame import tell, tiny_model
from frame.mix import DATA

GOAL = 1.05
RECIPE = """\
model_name_or_path: {model}
stage: sft
finetuning_type: lora
lora_rank: 16
lora_target: all
dataset: answers
cutoff_len: 160
per_device_train_batch_size: 8
learning_rate: {rate}
max_steps: {steps}
"""
Rows = list[tuple[str, str]]  # question, answer


def rows_of(data: Path) -> tuple[Rows, Rows]:
    """Return English and Chinese questions and answers; without the folder some of our own, each with a passage that no other has."""
    if not (data / "medical").is_dir():
        draw = random.Random(3)
        words = ["".join(draw.choices("abdeghiklmnoprstu", k=draw.randint(2, 8))) for _ in range(900)]
        own = [
            (f"case {n}?", " ".join(draw.choices(words, k=24)) + ". Take one tablet twice a day and come back if it does not help.")
            for n in range(240)
        ]
        return own, [
            (question, "".join(chr(0x4E00 + draw.randrange(1500)) for _ in range(40)) + "。请多喝水，注意休息，如有不适请及时复诊。")
            for question, _ in own
        ]
    english = [(one["QUESTION"], one["LONG_ANSWER"]) for one in json.loads((data / "medical" / "pubmedqa_pqal.json").read_text()).values()]
    lines = (data / "medical" / "huatuo_zh.jsonl").read_text(encoding="utf-8").splitlines()
    return english, [(one["instruction"], one["output"]) for one in map(json.loads, lines)]


def guard_over(rows: Rows) -> Any:
    """Return the guard of rows, each of a person of its own."""
    from ringfence.guard.replay import build
    from ringfence.guard.settings import GuardSettings

    return build(((str(n), row) for n, row in enumerate(rows)), GuardSettings())[0]


def building(case: str, rows: Rows) -> None:
    """Print how fast a guard is built, and how large it is."""
    size = sum(len(text.encode()) for row in rows for text in row)
    began = time.perf_counter()
    guard = guard_over(rows)
    seconds = time.perf_counter() - began
    tell(line(f"building, {case}", "throughput", "MB/s", round(size / seconds / 1e6, 2)) | {"bytes": size, "guard_bytes": 8 * len(guard)})


def false_blocks(case: str, rows: Rows) -> None:
    """Print how much of unseen rows is refused: the guard's own estimate, and what is true of rows that it never saw."""
    half = len(rows) // 2
    guard = guard_over(rows[:half])
    refused = words = 0
    for row in rows[half : half + 2_000]:
        for text in row:
            hits, size = refused_in(guard, text)
            refused, words = refused + hits, words + size
    true = refused / max(1, words)
    tell(
        line(
            f"false blocks, {case}",
            "words refused",
            "share",
            round(guard.false_blocks, 5),
            peer="rows of the other half",
            value=round(true, 5),
        )
    )


def refused_in(guard: Any, text: str) -> tuple[int, int]:
    """Return how many words of a text a guard refuses, and how many there are."""
    from ringfence.guard.words import words_of

    return guard.runs_in(text), len(words_of(text))


# ── copies ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def lines_of(text: str, width: int = 60) -> str:
    """Return a text broken into lines, as an answer in a code block has them."""
    made, room = [], width
    for word in text.split(" "):
        is_over = len(word) > room
        made.append(("\n" if is_over else " ") + word)
        room = (width if is_over else room) - len(word) - 1
    return "".join(made).strip()


VARIANTS = {
    "as it stands": lambda text: text,
    "behind other words": lambda text: "As the record says: " + text,
    "in capitals": str.upper,
    "in lines of 60": lines_of,
    "with other marks": lambda text: text.replace("'", "\u2019").replace('"', "\u201d").replace("-", "\u2013").replace(", ", " , "),
    "as a list": lambda text: text.replace(" ", " \u2022 "),
}


def copies(case: str, rows: Rows, tokenizer: Any) -> None:
    """Print which share of the runs of a copied passage is refused, by words and by token ids."""
    answers = [answer for _, answer in rows[:400]]
    guard, n = guard_over(rows), 10
    of_rows: Counter[tuple[int, ...]] = Counter()
    for row in rows:
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in row]
        of_rows.update({tuple(one[at : at + n]) for one in ids for at in range(len(one) - n + 1)})
    held = {run for run, times in of_rows.items() if times < guard.settings.common}
    for name, change in VARIANTS.items():
        ours = peer = runs = peers = 0
        for answer in answers:
            copy = change(answer)
            hits, size = refused_in(guard, copy)
            ours, runs = ours + hits, runs + max(0, size - n + 1)
            ids = tokenizer(copy, add_special_tokens=False).input_ids
            peer += sum(tuple(ids[at : at + n]) in held for at in range(len(ids) - n + 1))
            peers += max(0, len(ids) - n + 1)
        tell(
            line(
                f"copies {name}, {case}",
                "runs refused",
                "share",
                round(ours / max(1, runs), 4),
                peer="token ids, as MemFree",
                value=round(peer / max(1, peers), 4),
            )
        )


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def decoding(case: str, loaded: Any, guard: Any, questions: Sequence[str], tokens: int, *, answers: Sequence[str] = ()) -> None:
    """Print the seconds of a token with the guard and without, and those of the guard's own work on the same tokens. answers: given before."""
    from ringfence.serve.decode import Decoder

    pairs: list[tuple[float, float]] = []
    own: list[float] = []
    for number, question in enumerate(questions):
        plain, guarded = (Decoder(loaded, asked(question, tokens, answers), guard=one) for one in (None, guard))
        watch = guard.watch([question], said=answers)
        for answer in (plain, guarded):  # the prompt is read
            answer.step()
        for step in range(tokens - 1):
            order = (plain, guarded) if (step + number) % 2 else (guarded, plain)
            times, said = {}, {}
            for answer in order:
                began = time.perf_counter()
                said[answer] = answer.step()
                times[answer] = time.perf_counter() - began
            assert said[plain].text == said[guarded].text or said[guarded].blocked, "the two answers differ"
            if said[guarded].blocked or said[plain].finish or said[guarded].finish:
                break
            pairs.append((times[guarded], times[plain]))
            began = time.perf_counter()
            watch.would_replay(said[plain].text)
            watch.add(said[plain].text)
            own.append(time.perf_counter() - began)
    ours, peer = (statistics.median(one) for one in zip(*pairs, strict=True))
    sums = sum(a for a, _ in pairs) / sum(b for _, b in pairs)
    row = line(f"decoding, {case}", "seconds of a token, greedy", "s", round(ours, 5), peer="without a guard", value=round(peer, 5))
    more = {"ratio": round(statistics.median(a / b for a, b in pairs), 4), "ratio_of_sums": round(sums, 4), "goal": GOAL}
    tell(row | more | {"guard_seconds": round(statistics.median(own), 7), "tokens": len(pairs), "held": len(guard)})


def asked(question: str, tokens: int, answers: Sequence[str] = (), **more: Any) -> Any:
    """Return a request, after answers that were given before."""
    from ringfence.serve.wire import Ask, Turn

    turns = [Turn(role=role, content=text) for one in answers for role, text in (("user", question), ("assistant", one))]
    return Ask(id=0, messages=(*turns, Turn(role="user", content=question)), max_tokens=tokens, **{"temperature": 0} | more)


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def trained(folder: Path, model: str, rows: Rows, *, steps: int, rate: float) -> tuple[Any, Any]:
    """Return a model that learned rows, and their guard as `serve` opens it."""
    import torch

    from ringfence.core.policy import Policy, Require, TrainRules
    from ringfence.flows import serve
    from ringfence.flows.import_ import import_file
    from ringfence.flows.init import init
    from ringfence.flows.policy import set_policy
    from ringfence.flows.release import release
    from ringfence.flows.train import train
    from ringfence.guard.replay import FILE, ReplayGuard
    from ringfence.ingest.settings import ImportSettings
    from ringfence.models import store
    from ringfence.models.load import load
    from ringfence.recipe.read import read
    from ringfence.train.restore import with_bundle
    from ringfence.vault.files import read_file
    from ringfence.vault.keys import Passphrase

    space = init(folder / "space", Passphrase(secrets.token_hex(16).encode()))
    source = folder / "answers.jsonl"
    source.write_text("".join(json.dumps({"prompt": question, "completion": answer}) + "\n" for question, answer in rows))
    import_file(space, source, name="answers", settings=ImportSettings(source=source.name))
    set_policy(space, Policy(train=TrainRules(require=Require())))
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(model=model, steps=steps, rate=rate))
    bundle = release(space, train(space, read(recipe)).committed.run, name="lora").path
    held, key = serve.from_workspace(space, ["lora"])[0].guarding.guard
    slot = held.slot.model_copy(update={"path": str(held.folder)})
    loaded = with_bundle(load(store.find(model).path, dtype=torch.float32, device="cpu"), bundle)
    return loaded, ReplayGuard.from_bytes(read_file(slot, key, FILE))


def answered(loaded: Any, guard: Any, question: str, tokens: int, **how: Any) -> tuple[str, int, int]:
    """Return an answer, how many tokens it has, and how many were refused."""
    from ringfence.serve.decode import Decoder

    answer, parts = Decoder(loaded, asked(question, tokens, **how), guard=guard), []
    while True:
        said = answer.step()
        parts.append(said.text)
        if said.finish:
            return "".join(parts), said.tokens, said.blocked


def answers(case: str, loaded: Any, guard: Any, *, learned: Rows, others: Rows, tokens: int) -> None:
    """Print how many answers hold a run of the training set without the guard and with it, and the share of tokens that it refuses."""
    for name, rows in (("learned", learned), ("others of the kind", others)):
        for how in ({"temperature": 0}, {"temperature": 0.7, "seed": 1}):
            free = [answered(loaded, None, question, tokens, **how) for question, _ in rows]
            kept = [answered(loaded, guard, question, tokens, **how) for question, _ in rows]
            runs = [[bool(refused_in(guard, text)[0]) for text, _, _ in side] for side in (free, kept)]
            row = line(
                f"answers to questions {name}, {case}, temperature {how['temperature']}",
                "answers with a run of the training set",
                "answers",
                sum(runs[1]),
                peer="without a guard",
                value=sum(runs[0]),
            )
            refused, said = sum(one[2] for one in kept), sum(one[1] for one in kept)
            tell(row | {"asked": len(rows), "refused_tokens": refused, "tokens": said, "refused_share": round(refused / said, 5)})


def line(case: str, metric: str, unit: str, ours: float, *, peer: str = "", value: float | None = None) -> dict[str, Any]:
    """Return one result."""
    ratio = round(ours / value, 4) if value else None
    return {"bench": "guard", "case": case, "metric": metric, "unit": unit, "ours": ours, "peer": peer, "peer_value": value, "ratio": ratio}


def parts(folder: Path, data: Path, *, is_quick: bool) -> Iterator[None]:
    """Yield after each part."""
    from ringfence.models import store
    from ringfence.models.load import load_tokenizer

    model = "tiny" if is_quick else "smollm2"
    if is_quick:
        tiny_model(folder)
    english, chinese = rows_of(data)
    for case, rows in (("en", english), ("zh", chinese)):
        building(case, rows[:20_000])
        false_blocks(case, rows[:20_000])
    yield
    copies("en", english, load_tokenizer(store.find(model).path))
    yield
    few = 16 if is_quick else 64
    loaded, guard = trained(folder, model, english[:few], steps=60 if is_quick else 120, rate=1e-2 if is_quick else 1e-3)
    yield
    held, questions, tokens = guard_over(english + chinese), [question for question, _ in english[-8:]], 24 if is_quick else 64
    decoding(model, loaded, held, questions, tokens)
    decoding(
        f"{model}, after 16 answers", loaded, held, questions, tokens, answers=[" ".join(one.split()[:12]) for _, one in english[-24:-8]]
    )
    yield
    several = 4 if is_quick else 8
    answers(model, loaded, guard, learned=english[:several], others=english[few : few + several], tokens=60 if is_quick else 48)
    yield


def main() -> None:
    """Measure and print."""
    from ringfence.core.environment import silence_libraries

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    chosen = parser.parse_args()
    silence_libraries()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bench-guard-") as name:
        for _ in parts(Path(name), Path("-") if chosen.quick else chosen.data, is_quick=chosen.quick):
            pass


if __name__ == "__main__":
    main()
