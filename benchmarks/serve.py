"""Seconds to the first token of a served answer, and what the HTTP front adds to the engine alone.

Run: .venv/bin/python benchmarks/serve.py [--quick] >> benchmarks/results.jsonl

A bundle of smollm2 (--quick: of a two-layer model) is trained for two steps, released, and served as `ringfence serve` does it. In turn, the
stock `openai` client asks over HTTP and the same question goes straight to the engine's desk; both must bring the same answer. Goals: first token
within 1 s on smollm2; the front adds at most 10 ms.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
import threading
import time
from pathlib import Path

from frame import tell, tiny_model

QUESTION = "Patient, 54, has coughed for three weeks and lost some weight. Which examination would you order first, and why? Answer in two sentences."
TOKENS = 16
RECIPE = """\
model_name_or_path: {model}
stage: sft
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: clinic
cutoff_len: 96
per_device_train_batch_size: 2
learning_rate: 1.0e-4
max_steps: 2
"""


def bundle(folder: Path, model: str):
    """Return a released bundle, as `serve` opens it."""
    from ringfence.clinic.notes import write_jsonl
    from ringfence.core.policy import Policy, Require, TrainRules
    from ringfence.flows import serve
    from ringfence.flows.import_ import import_file
    from ringfence.flows.init import init
    from ringfence.flows.policy import set_policy
    from ringfence.flows.release import release
    from ringfence.flows.train import train
    from ringfence.ingest.settings import ImportSettings
    from ringfence.recipe.read import read
    from ringfence.vault.keys import Passphrase

    space = init(folder / "space", Passphrase(secrets.token_hex(16).encode()))
    source = folder / "clinic.jsonl"
    write_jsonl(source, 40, seed=1)
    import_file(space, source, name="clinic", settings=ImportSettings(source=source.name))
    set_policy(space, Policy(train=TrainRules(require=Require())))
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(model=model))
    release(space, train(space, read(recipe)).committed.run, name="lora")
    return serve.from_workspace(space, ["lora"])


def over_http(client) -> tuple[float, float, str]:
    """Return seconds to the first token and to the last, and the answer."""
    began = time.perf_counter()
    first, parts = 0.0, []
    for event in client.chat.completions.create(
        model="lora", messages=[{"role": "user", "content": QUESTION}], max_tokens=TOKENS, temperature=0, stream=True
    ):
        first = first or time.perf_counter() - began
        parts.append(event.choices[0].delta.content or "")
    return first, time.perf_counter() - began, "".join(parts)


def alone(desk, number: int) -> tuple[float, float, str]:
    """Return the same of the engine, without the front."""
    from ringfence.serve.wire import Ask, Turn

    began = time.perf_counter()
    times, parts, done = [], [], threading.Event()

    def notify(said) -> None:
        times.append(time.perf_counter() - began)
        parts.append(said.text)
        if said.finish:
            done.set()

    desk.submit(Ask(id=number, messages=(Turn(role="user", content=QUESTION),), max_tokens=TOKENS, temperature=0), notify)
    assert done.wait(120)
    return times[0], times[-1], "".join(parts)


def line(case: str, metric: str, *, ours: list[float], theirs: list[float]) -> None:
    """Print one result."""
    a, b = statistics.median(ours), statistics.median(theirs)
    row = {"bench": "serve", "case": case, "metric": metric, "unit": "s", "ours": round(a, 4), "peer": "the engine's desk, no HTTP"}
    row |= {"peer_value": round(b, 4), "ratio": round(a / b, 3), "added_ms": round((a - b) * 1e3, 2)}
    row |= {"min": round(min(ours), 4), "max": round(max(ours), 4), "rounds": len(ours)}
    tell(row)


def measure(opened, case: str, rounds: int) -> None:
    """Serve, measure and print."""
    from openai import OpenAI

    from ringfence.flows import serve
    from ringfence.serve.desk import Desk
    from ringfence.serve.front import Front, Model, run
    from ringfence.serve.supervisor import Supervisor

    desk, token, listener = Desk(), serve.new_token(), serve.listen("127.0.0.1", 0)
    Supervisor(desk, lambda: serve.run_engine(opened, desk), on_lost=lambda *_: None).start()
    desk.wait()
    ready = threading.Event()
    front = threading.Thread(target=run, args=(Front(desk, [Model("lora")], token, 1024), listener), kwargs={"on_ready": ready.set})
    front.start()
    ready.wait()
    client = OpenAI(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", api_key=token)
    assert over_http(client)[2] == alone(desk, 1 << 40)[2], "the two ways answer differently"
    http, desks = [], []
    for number in range(rounds):
        http.append(over_http(client))
        desks.append(alone(desk, (1 << 40) + number + 1))
    desk.close()
    front.join()
    line(case, "first token", ours=[one[0] for one in http], theirs=[one[0] for one in desks])
    line(case, f"whole answer of {TOKENS} tokens", ours=[one[1] for one in http], theirs=[one[1] for one in desks])


def main() -> None:
    """Measure and print."""
    from ringfence.core.environment import silence_libraries

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    is_quick = parser.parse_args().quick
    silence_libraries()
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as name:
        folder = Path(name)
        if is_quick:
            tiny_model(folder)
        case = "tiny" if is_quick else "smollm2"
        measure(bundle(folder, case), case, 10 if is_quick else 20)


if __name__ == "__main__":
    main()
