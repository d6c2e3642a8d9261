"""Tokens a CPU second and memory of several adapters on one base, by the ways that there are to choose between them.

Run: .venv/bin/python benchmarks/adapters.py [--quick] >> benchmarks/results.jsonl

Four conversations of smollm2 (--quick: of a two-layer model) run side by side, a token each a turn as `serve` steps them, under one, two or four LoRA adapters of
rank 8 on all linear layers:

- layers: each adapter has layers of its own over the base's weights, which are there once (what `serve` does).
- switched: one model holds all adapters; peft's `set_adapter` before those conversations of a turn that go on with another one.
- named: one model holds all; peft's `adapter_names` with each forward.
- batched: as named, the four as one batch of equal length: no way to decode them as they come, but a bound of what that could bring.

The first three must say the same tokens. Of "batched" it is counted how many answers do: a batch rounds otherwise.
Memory is the anonymous memory of an engine's process with so many adapters, against as many processes with one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from frame import tell, tiny_model

CONVERSATIONS = 4
QUESTIONS = ["Patient, 54, has coughed for three weeks. Which examination first?"] * CONVERSATIONS
Ids = list[list[int]]  # [conversation][token]


def write_adapters(model: str, folder: Path, count: int) -> list[Path]:
    """Write adapters that change answers, as peft saves them, and return their folders."""
    import torch
    from peft import LoraConfig, get_peft_model

    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        peft = get_peft_model(opened(model).model, config)
        with torch.no_grad():
            for name, weight in peft.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.01)
        made.append(folder / f"adapter{seed}")
        peft.save_pretrained(str(made[-1]))
    return made


def opened(model: str) -> Any:
    """Return the base model."""
    import torch

    from ringfence.models import store
    from ringfence.models.load import load

    return load(store.find(model).path, dtype=torch.float32, device="cpu")


# ── the ways ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def layers(model: str, adapters: Sequence[Path]) -> Callable[[int], Ids]:
    """Return what decodes so many tokens of each conversation, an adapter with layers of its own for each."""
    from ringfence.models.load import beside
    from ringfence.train.restore import with_bundle

    base = opened(model)
    models = [with_bundle(beside(base), folder).model for folder in adapters]
    return lambda tokens: stepped(base, tokens, lambda at, **more: models[at % len(models)](**more))


def held(model: str, adapters: Sequence[Path]) -> tuple[Any, Any]:
    """Return the base and one model that holds all adapters."""
    from peft import PeftModel

    base = opened(model)
    peft = PeftModel.from_pretrained(base.model, str(adapters[0]), adapter_name="0", autocast_adapter_dtype=False)
    for number, folder in enumerate(adapters[1:], start=1):
        peft.load_adapter(str(folder), str(number), autocast_adapter_dtype=False)
    return base, peft


def switched(model: str, adapters: Sequence[Path]) -> Callable[[int], Ids]:
    """As `layers`, by `set_adapter`, the conversations of a turn in the order of their adapters."""
    base, peft = held(model, adapters)
    active = [-1]

    def forward(at: int, **more: Any) -> Any:
        if at % len(adapters) != active[0]:
            active[0] = at % len(adapters)
            peft.set_adapter(str(active[0]), inference_mode=True)
        return peft(**more)

    return lambda tokens: stepped(base, tokens, forward, order=sorted(range(CONVERSATIONS), key=lambda at: at % len(adapters)))


def named(model: str, adapters: Sequence[Path]) -> Callable[[int], Ids]:
    """As `layers`, by `adapter_names`."""
    base, peft = held(model, adapters)
    return lambda tokens: stepped(base, tokens, lambda at, **more: peft(**more, adapter_names=[str(at % len(adapters))]))


def batched(model: str, adapters: Sequence[Path]) -> Callable[[int], Ids]:
    """All conversations as one batch, by `adapter_names`."""
    import torch

    base, peft = held(model, adapters)
    names = [str(at % len(adapters)) for at in range(CONVERSATIONS)]

    def decode(tokens: int) -> Ids:
        ids = torch.cat([prompt(base, question) for question in QUESTIONS])
        made, cache = [], None
        with torch.inference_mode():
            for _ in range(tokens):
                output = peft(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, adapter_names=names)
                cache, ids = output.past_key_values, output.logits[:, -1].argmax(-1, keepdim=True)
                made.append(ids[:, 0].tolist())
        return [list(one) for one in zip(*made, strict=True)]

    return decode


def stepped(base: Any, tokens: int, forward: Callable[..., Any], *, order: Sequence[int] = range(CONVERSATIONS)) -> Ids:
    """Return so many tokens of each conversation, one each a turn."""
    import torch

    ids = [prompt(base, question) for question in QUESTIONS]
    caches: list[Any] = [None] * CONVERSATIONS
    made: Ids = [[] for _ in QUESTIONS]
    with torch.inference_mode():
        for _ in range(tokens):
            for at in order:
                output = forward(at, input_ids=ids[at], past_key_values=caches[at], use_cache=True, logits_to_keep=1)
                caches[at] = output.past_key_values
                token = int(output.logits[0, -1].argmax())
                made[at].append(token)
                ids[at] = torch.tensor([[token]])
    return made


def prompt(base: Any, question: str) -> Any:
    """Return the ids of a conversation."""
    from ringfence.serve.engine import fitted

    return fitted(base, [{"role": "user", "content": question}], room=256)


WAYS = {one.__name__: one for one in (layers, switched, named, batched)}


def speed(case: str, model: str, adapters: Sequence[Path], *, tokens: int, rounds: int) -> None:
    """Print the tokens a CPU second of each way on one thread, measured in turns."""
    ways = {name: way(model, adapters) for name, way in WAYS.items()}
    said = {name: decode(tokens) for name, decode in ways.items()}
    assert said["layers"] == said["switched"] == said["named"], "the ways say different tokens"
    assert len({tuple(one) for one in said["layers"]}) == len(adapters), "two adapters say the same"
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, decode in ways.items():
            began = time.process_time()
            decode(tokens)
            rates[name].append(CONVERSATIONS * tokens / (time.process_time() - began))
    alike = sum(a == b for a, b in zip(said["layers"], said["batched"], strict=True))
    for name, found in rates.items():
        row = {"bench": "adapters", "case": case, "adapters": len(adapters), "metric": f"decoding, {name}", "unit": "tokens a CPU second"}
        row |= {"ours": round(statistics.median(found), 2), "min": round(min(found), 2), "max": round(max(found), 2), "rounds": rounds}
        tell(row | ({"answers_alike": alike, "of": CONVERSATIONS} if name == "batched" else {}))


def memory(case: str, model: str, adapters: Sequence[Path]) -> None:
    """Print the memory of an engine with one adapter, and with all."""
    found = {}
    for count in (1, len(adapters)):
        command = [sys.executable, __file__, "--process", model, *map(str, adapters[:count])]
        found[count] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    every, one = found[len(adapters)], found[1]
    row = {"bench": "adapters", "case": case, "adapters": len(adapters), "metric": "memory of an engine", "unit": "MB", "ours": every}
    tell(row | {"peer": "as many engines of one", "peer_value": len(adapters) * one, "ratio": round(every / (len(adapters) * one), 3)})


def anonymous() -> int:
    """Return the memory of this process that no file stands behind, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1000


def main() -> None:
    """Measure and print."""
    from ringfence.core.environment import silence_libraries

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--process", nargs="+", help="print the memory of an engine of these: the base and folders of adapters")
    chosen = parser.parse_args()
    silence_libraries()
    import torch

    torch.set_num_threads(1)
    if chosen.process:
        model, *folders = chosen.process
        layers(model, list(map(Path, folders)))(4)
        print(anonymous())
        return
    with tempfile.TemporaryDirectory(prefix="bench-adapters-") as name:
        folder = Path(name)
        if chosen.quick:
            tiny_model(folder)
        case = "tiny" if chosen.quick else "smollm2"
        adapters = write_adapters(case, folder, CONVERSATIONS)
        for count in (1, 2, 4):
            speed(case, case, adapters[:count], tokens=12, rounds=3)
        for count in (2, 4):
            memory(case, case, adapters[:count])


if __name__ == "__main__":
    main()
