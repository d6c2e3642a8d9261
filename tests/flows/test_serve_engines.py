"""`ringfence serve --engine vllm`: what is refused before anything is opened, and, where vLLM is, that both engines say the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model

from ringfence.core.errors import NotByEngine, NotOpened
from ringfence.flows import serve as flow
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import train
from ringfence.models.load import beside, load
from ringfence.models.settings import Quantisation
from ringfence.models.store import register
from ringfence.models.tiny import write_tiny_model
from ringfence.recipe.read import read
from ringfence.release.manifest import CONFIG
from ringfence.sandbox.python import PACKAGE
from ringfence.serve.decode import Round, Voice
from ringfence.serve.desk import Desk
from ringfence.serve.settings import ACTIVE
from ringfence.serve.wire import Ask, Orders, Turn
from ringfence.train.restore import with_bundle
from ringfence.train.settings import RuntimeHints
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes, reopen
from tests.flows.test_serve import Server, text_of
from tests.unit.sandbox.sandbox_cages import needs_own_folder

CACHE = Path(__file__).parents[2] / ".cache"
PASSAGE = "Every evening the old heron waits beside the narrow bridge until the last boat is home."
BLOCK = 128 * 2 * 2 * 2 * 64 * 4  # bytes: tokens, keys and values, layers, heads, their width, of a number
LORA = {"peft_type": "LORA", "r": 8, "use_dora": False}


@pytest.fixture
def _unnamed(monkeypatch):
    monkeypatch.delenv("RINGFENCE_VLLM_PYTHON", raising=False)


# ── refused before anything is opened ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--engine", "sglang"), "RF-CORE-004", "no engine sglang: ringfence, vllm"),
        (("--engine-python", "/opt/vllm/bin/python"), "RF-CORE-004", "goes with --engine vllm"),
        (("--engine", "vllm"), "RF-CORE-004", "needs the bin/python"),
        (("--engine", "vllm", "--engine-python", "/nowhere/bin/python"), "RF-SANDBOX-007", "no such program"),
    ],
)
@pytest.mark.usefixtures("_unnamed")
def test_an_engine_that_is_not_there_is_refused_before_anything_is_opened(finished, cli, options, code, words):
    folder, _, _ = finished
    before = reopen(folder).ledger.size
    _, answer = cli("serve", "lora", "--port", "0", *options, workspace=folder)
    assert answer["error"]["code"] == code
    assert words in answer["error"]["message"]
    assert reopen(folder).ledger.size == before


@pytest.mark.parametrize(("present", "lacking"), [((), "it lacks vllm, tink"), (("vllm", "tink"), "it lacks pycrfsuite")])
def test_an_environment_without_what_the_engine_imports_is_refused(finished, cli, tmp_path, present, lacking):
    needs_own_folder(tmp_path)
    for part in ("env", "base"):
        (tmp_path / part / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
        (tmp_path / part / "bin").mkdir()
    for name in ("torch", "transformers", "pydantic", *present):
        (tmp_path / "env" / "lib" / "python3.11" / "site-packages" / name).mkdir()
    (tmp_path / "base" / "bin" / "python3").write_text("")
    (tmp_path / "env" / "bin" / "python").symlink_to(tmp_path / "base" / "bin" / "python3")
    for place in tmp_path.rglob("*"):
        place.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        options = ("--filter", "default") if present else ()
        patch.setenv("RINGFENCE_VLLM_PYTHON", str(tmp_path / "env" / "bin" / "python"))
        _, answer = cli("serve", "lora", "--port", "0", "--engine", "vllm", *options, workspace=finished[0])
    assert answer["error"]["code"] == "RF-SANDBOX-007"
    assert lacking in answer["error"]["message"]


@pytest.mark.parametrize(
    ("config", "quantised", "words"),
    [
        (LORA, None, None),
        (LORA | {"r": 512}, None, None),
        (LORA | {"r": 513}, None, "its rank is 513, and vLLM has room for 512"),
        (LORA | {"use_dora": True}, None, "DoRA"),
        ({"peft_type": "OFT"}, None, "its adapter is OFT"),
        (LORA, Quantisation(bits=4), "in 4 bits"),
        (None, None, "a whole model"),
    ],
)
def test_what_vllm_would_refuse_or_compute_otherwise_is_refused(tmp_path, config, quantised, words):
    manifest = SimpleNamespace(files=(SimpleNamespace(path=CONFIG),) if config else ())
    if config:
        (tmp_path / CONFIG).write_text(json.dumps(config))
    bundle = flow.Bundle(tmp_path, None, manifest, "clinic-lora", quantised=quantised)
    flow.refuse_unread([bundle], flow.OURS)
    by_vllm = flow.Computed("vllm")
    if words is None:
        flow.refuse_unread([bundle], by_vllm)
    else:
        with pytest.raises(NotByEngine, match=f"vLLM cannot serve clinic-lora: .*{words}"):
            flow.refuse_unread([bundle], by_vllm)


def test_a_bundle_that_the_engine_cannot_read_is_not_opened(finished):
    folder, _, bundle = finished
    space = reopen(folder)
    before = space.ledger.size
    config = json.loads((bundle / CONFIG).read_bytes())
    assert config["r"] < 513
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "RANKS", (1,))
        for opened in (
            lambda how: flow.from_workspace(space, ["lora"], computed=how),
            lambda how: flow.from_elsewhere([bundle], space.public, computed=how),
        ):
            with pytest.raises(NotByEngine, match="its rank is"):
                opened(flow.Computed("vllm"))
    assert space.ledger.size == before


def test_the_engine_is_told_what_memory_this_service_may_take(copy, monkeypatch):
    bundles, told = flow.from_workspace(reopen(copy[0]), ["lora"]), []
    monkeypatch.setattr(flow, "memory_here", lambda: 5 << 28)
    monkeypatch.setattr(flow, "start", lambda work, *_, **__: told.append(work.settings.memory))
    flow.run_engine(bundles, Desk())
    flow.run_engine(bundles, Desk(), computed=flow.Computed("vllm"))
    assert told == [None, 5 << 28]


# ── both engines ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def python():
    """The bin/python of vLLM's environment."""
    path = Path(os.environ.get("RINGFENCE_VLLM_PYTHON") or CACHE / "vllm-venv" / "bin" / "python")
    if not path.exists():
        pytest.skip("no .cache/vllm-venv, and RINGFENCE_VLLM_PYTHON names no other: tests/environments.sh builds it")
    return path


@pytest.fixture(scope="module")
def both(python, tmp_path_factory, model_store):
    """A workspace with two bundles, of which the second says a passage by heart. Heads are as wide as vLLM has a kernel for on a CPU."""
    folder = tmp_path_factory.mktemp("engines")
    register(write_tiny_model(folder / "model", head=64), "wide-heads", licence="apache-2.0")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    set_policy(space, anything_goes())
    import_notes(space, folder)
    import_notes(space, folder, [{"prompt": "who?", "completion": PASSAGE, "patient_id": "P1"}] * 8, name="ward")
    for name, changes in {
        "lora": {"dataset": "clinic", "lora_rank": 8},
        "ward": {"dataset": "ward", "lora_rank": 12, "use_rslora": True, "max_steps": 60},
    }.items():
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, "model_name_or_path": "wide-heads", "learning_rate": 1e-2, **changes}))
        release(space, train(space, read(path)).committed.run, name=name)
    return folder / "ws"


def asked():
    """Three requests of each bundle a question: greedy, drawn under penalties, and a text that goes on until a word."""
    drawn = {"temperature": 0.8, "top_p": 0.9, "top_k": 50, "frequency_penalty": 0.5, "repetition_penalty": 1.1}
    made = []
    for bundle in (0, 1):
        for question in ("who?", "What helps against a cough?", "患者咳嗽三天，应当怎么办？"):
            conversation = {"messages": (Turn(role="user", content=question),)}
            made += [conversation | {"temperature": 0}, conversation | drawn, {"prompt": question, "temperature": 1.0, "stop": ("the",)}]
            made[-3:] = [one | {"bundle": bundle} for one in made[-3:]]
    return [Ask(id=n, max_tokens=100, seed=n, **one) for n, one in enumerate(made)]


def answers(bundles, computed):
    """What an engine in its sandbox says, in float32: (text, finish, tokens, blocked) by request."""
    desk = Desk(active=ACTIVE[computed.engine], guarded=frozenset({0, 1}))
    found, texts, over = {}, {}, threading.Event()
    waiting = asked()

    def heard(id_, said):
        texts[id_] = texts.get(id_, "") + said.text
        if said.finish:
            found[id_] = texts[id_], said.finish, said.tokens, said.blocked
            if len(found) == len(waiting):
                over.set()

    def run():
        try:
            flow.run_engine(bundles, desk, computed=computed, hints=RuntimeHints(dtype="float32"))
        finally:
            over.set()

    thread = threading.Thread(target=run)
    thread.start()
    for one in waiting:
        desk.submit(one, lambda said, id_=one.id: heard(id_, said))
    over.wait(280)
    desk.close()
    thread.join(30)
    return found


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_both_engines_say_the_same_token_by_token_and_the_guard_holds_in_both(both, python):
    bundles = flow.from_workspace(reopen(both), ["lora", "ward"])
    assert all(one.guarding.guard is not None for one in bundles)
    wanted, found = answers(bundles, flow.OURS), answers(bundles, flow.computed_by("vllm", python))
    assert len(wanted) == len(asked()) == 18
    assert found == wanted
    text, _, _, blocked = found[9]  # the passage was learned, and is not said
    assert text.split()[:9] == PASSAGE.split()[:9]
    assert text != PASSAGE
    assert blocked > 0
    assert {one[1] for one in found.values()} >= {"stop", "length"}


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_the_command_serves_by_vllm_and_keeps_its_controls(both, python, tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_VLLM_PYTHON", str(python))
    server = Server(tmp_path, "-w", both, "lora", "ward", "--engine", "vllm", "--filter", "default")
    try:
        assert (server.ready["engine"], [one["guard"] for one in server.ready["models"]]) == ("vllm", [True, True])
        client = server.client()
        said = {}

        def one(number):
            asked = {"model": "ward", "messages": [{"role": "user", "content": "who?"}], "max_tokens": 100, "temperature": 0}
            said[number] = text_of(client.chat.completions.create(**asked, stream=True))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(set(said.values())) == 1
        assert said[0].split()[:9] == PASSAGE.split()[:9]
        assert said[0] != PASSAGE
        text = client.completions.create(model="lora", prompt="The patient", max_tokens=8, temperature=0).choices[0]
        assert (text.finish_reason, bool(text.text)) == ("length", True)
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.process.kill()
        server.process.wait()
    lines = [json.loads(line) for line in server.err.splitlines() if line.startswith("{")]
    assert sum("blocked" in line for line in lines) == 6


def by_vllm(python, folder, asked):
    """What vllm_alone.py says."""
    environment = {
        "PYTHONPATH": str(PACKAGE.parent),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": os.defpath,
    }
    command = [python, Path(__file__).with_name("vllm_alone.py")]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(python, tmp_path_factory):
    """Sixteen long conversations with two adapters, and what vLLM made of them: prompts are read in pieces, and two windows are all that its cache holds."""
    folder = tmp_path_factory.mktemp("alone")
    model = write_tiny_model(folder / "model", head=64)
    bundles = [folder / "one", folder / "two"]
    for seed, path in enumerate(bundles):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            adapted = get_peft_model(
                load(model, dtype=torch.float32, device="cpu").model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"])
            )
            for name, weight in adapted.named_parameters():
                if "lora_" in name:
                    weight.add_(0.3 * torch.randn(weight.shape))
        adapted.save_pretrained(str(path))
    asks = []
    for n in range(16):
        drawn = {"temperature": 0.9, "top_p": 0.9, "seed": n, "repetition_penalty": 1.1} if n % 2 else {"temperature": 0}
        asks.append(
            Ask(id=n, messages=(Turn(role="user", content=f"{n}: what helps? " * (10 + n)),), max_tokens=100, bundle=n // 2 % 2, **drawn)
        )
    plugin = folder / "plugin"
    (plugin / "planted-1.dist-info").mkdir(parents=True)
    (plugin / "planted-1.dist-info" / "METADATA").write_text("Name: planted\nVersion: 1\n")
    (plugin / "planted-1.dist-info" / "entry_points.txt").write_text("[vllm.logits_processors]\nplanted = planted:Planted\n")
    (plugin / "planted.py").write_text("from vllm.v1.sample.logits_processor import MinPLogitsProcessor as Planted\n")
    asked = {"model": str(model), "bundles": [str(one) for one in bundles], "chunk": 64, "plugin": str(plugin)}
    asked |= {"memory": 4 * 9 * BLOCK, "asks": [one.model_dump(mode="json") for one in asks]}
    found = by_vllm(python, folder, asked)
    own = Round([Voice(with_bundle(beside(load(model, dtype=torch.float32, device="cpu")), one)) for one in bundles])
    return found, own, asks, partial(by_vllm, python, folder), asked


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_prompts_that_are_read_in_pieces_and_conversations_that_are_put_off_change_no_answer(alone):
    found, own, asks, *_ = alone
    waiting, texts, wanted = list(asks), {str(one.id): "" for one in asks}, {}
    while len(wanted) < len(texts):
        for said in own.turn(Orders(ask=waiting.pop(0) if waiting else None)):
            texts[str(said.id)] += said.text
            if said.finish:
                wanted[str(said.id)] = [texts[str(said.id)], said.finish, said.tokens]
    assert found["thrown"] > 16  # of prompts that were read in part
    assert found["put_off"] > 0
    assert found["answers"] == wanted
    assert max(one[2] for one in wanted.values()) == 100


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_a_window_that_does_not_fit_into_the_cache_is_a_shorter_one(alone):
    *_, run, asked = alone
    assert run(asked | {"memory": 4 * 4 * BLOCK, "asks": []})["told"]["window"] == 3 * 128  # of four blocks one is vLLM's


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_vllm_reports_nothing_asks_nobody_and_shares_no_prefix(alone):
    told = alone[0]["told"]
    assert [one for one in told.pop("programs") if "python" in one] == []
    assert told == {
        "window": 512,
        "prefixes": False,
        "usage": False,
        "offline": True,
        "processes": False,
        "second_runner": False,
        "planted": False,
    }


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_a_base_that_vllm_has_no_kernel_for_is_refused_in_words_of_ours(copy, python):
    bundles = flow.from_workspace(reopen(copy[0]), ["lora"])
    with pytest.raises(NotOpened):
        flow.run_engine(bundles, Desk(), computed=flow.computed_by("vllm", python))
